"""One verb per file. The only layer that touches the disk, DVC, Great Expectations and MLflow."""
