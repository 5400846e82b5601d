"""Figures of merit, with labels used for scoring only."""
