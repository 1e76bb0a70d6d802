"""What stands around every handler of every server."""
