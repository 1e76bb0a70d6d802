"""What benchmarks share: a real PostgreSQL, registries as processes of their own, and a fleet that is played."""
