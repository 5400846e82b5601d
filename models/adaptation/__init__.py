"""Making an encoder fit for another camera or site, without labels."""
