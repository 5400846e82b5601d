"""Density models: one public class per file, found on disk by the contract tests."""
