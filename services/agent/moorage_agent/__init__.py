"""The agent: one per node. Artifacts on disk and engine processes up, as the registry wants them."""
