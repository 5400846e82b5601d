"""Domain adaptation: an encoder for images of another camera, without labels of them."""
