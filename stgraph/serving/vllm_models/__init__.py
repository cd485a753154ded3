"""Model classes for vLLM, one family per file. They import vLLM at the top: only vLLM imports them, by name."""
