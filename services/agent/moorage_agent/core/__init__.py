"""The agent's rules: pure, with no clock, no files, no network."""
