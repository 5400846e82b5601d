"""HTTP, batches, champions."""
