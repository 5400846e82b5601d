"""One file per claim of the README; each prints its result as JSON last."""
