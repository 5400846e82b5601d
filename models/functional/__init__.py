"""Mathematics without state."""
