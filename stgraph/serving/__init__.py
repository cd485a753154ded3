"""Plugins of serving engines: vLLM, found by its entry point ``vllm.general_plugins``. Nothing here imports an engine
before the engine itself does."""
