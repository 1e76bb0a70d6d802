"""What the downloader does without being called: resolving sources and pulling artifacts under leases."""
