"""Self-supervised pretext tasks: solving them, tracks, several processes."""
