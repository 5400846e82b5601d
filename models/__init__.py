"""Unsupervised visual models in plain PyTorch. Nothing here knows Prefect, MLflow, DVC or GX."""
