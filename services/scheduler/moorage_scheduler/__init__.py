"""The scheduler: decides where instances go, and says why."""
