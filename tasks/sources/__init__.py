"""Where data sets come from: one file per source, each writes the canonical layout."""
