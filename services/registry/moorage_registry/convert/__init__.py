"""Records to protos and back."""
