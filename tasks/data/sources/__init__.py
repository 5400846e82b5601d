"""Data sets that can be had by name."""
