"""What `make quickstart` deploys, and where it comes from: a tiny model and a small hub."""
