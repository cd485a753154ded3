"""Graph analytics of video tokens for efficient video-language models."""
__version__ = "0.1.0"
