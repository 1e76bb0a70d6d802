"""What the commands are called and take, by topic. Nothing here imports what they do: `moor --help` is quick."""
