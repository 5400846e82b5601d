"""Prune and backup."""
