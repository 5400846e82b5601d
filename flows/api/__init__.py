"""The calls of ``flows``, for your own code; take them from ``flows`` itself."""
