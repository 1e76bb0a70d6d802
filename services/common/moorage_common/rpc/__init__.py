"""Servers and channels of the mesh: the one place where they are made."""
