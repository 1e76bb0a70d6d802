"""What the registry knows without a database: records, transitions, plans. Standard library only."""
