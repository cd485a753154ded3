"""The synthetic probe: procedural videos, questions about them, and a tiny video VLM that answers from kept tokens."""
