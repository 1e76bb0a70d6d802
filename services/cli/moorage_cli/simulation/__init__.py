"""Fleets and models that people write down as YAML, as a request for SimulatePlacement."""
