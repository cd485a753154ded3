"""The hot loops. They know arrays and nothing else of stgraph."""
