"""What the command line shows: pure functions from messages to words, tables and progress."""
