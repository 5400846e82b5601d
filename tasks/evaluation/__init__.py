"""Scores, figures, pictures, comparison of two versions."""
