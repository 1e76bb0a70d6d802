"""The one-machine launcher: PostgreSQL and the four services as supervised processes."""
