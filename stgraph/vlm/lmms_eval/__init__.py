"""The model that lmms-eval finds by entry point."""
