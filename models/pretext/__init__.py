"""Self-supervised problems whose by-product is an encoder."""
