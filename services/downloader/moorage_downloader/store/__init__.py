"""Content on disk: complete, and still arriving."""
