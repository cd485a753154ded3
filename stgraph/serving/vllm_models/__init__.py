"""Model classes for vLLM, one family per file. They import vLLM at the top, since only vLLM imports them, by name."""
