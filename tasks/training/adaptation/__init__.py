"""Carrying a detector over to another camera."""
