"""Long runs: batches and streams."""
