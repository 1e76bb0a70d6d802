"""Readers of model files' headers: bytes in, facts out."""
