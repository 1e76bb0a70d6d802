"""Agents: their leases and what their nodes should hold and run."""
