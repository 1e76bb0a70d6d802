"""The registry: every record, every state transition and every claim, in PostgreSQL."""
