"""From a detector to the bytes and back; reproduction."""
