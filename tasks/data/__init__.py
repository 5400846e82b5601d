"""DVC, manifests, Great Expectations, well-known sources."""
