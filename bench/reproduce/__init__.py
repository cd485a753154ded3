"""The paper's tables and figures, run anew beside the printed numbers."""
