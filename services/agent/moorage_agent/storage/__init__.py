"""Artifacts on the node's disk: content-addressed, verified, hard-linked into plain directories."""
