"""Telling somebody outside: who wants to know what, an outbox on the disk, and its delivery."""
