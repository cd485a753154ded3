"""Plugins of serving engines: vLLM, found by its entry point ``vllm.general_plugins``. Engines are imported only after
they have been loaded themselves."""
