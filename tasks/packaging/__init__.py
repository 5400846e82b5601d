"""Exactly what travels with a model, and how it is loaded and scores elsewhere."""
