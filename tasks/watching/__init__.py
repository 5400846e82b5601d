"""Scoring what cameras, streams and folders show, without anybody who asks."""
