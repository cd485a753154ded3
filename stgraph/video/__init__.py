"""Videos: files, frames and times, pixels and patches, and the dump of a video's tokens."""
