"""Statistics of what was served, and drift."""
