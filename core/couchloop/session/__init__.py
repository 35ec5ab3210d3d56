"""One bucket, whole."""
