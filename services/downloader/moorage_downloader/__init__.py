"""Moorage's downloader: from a source to a verified blob, once, and on to whoever asks."""
