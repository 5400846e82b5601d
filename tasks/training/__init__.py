"""Batches, pretext tasks, fitting, moments, adaptation."""
