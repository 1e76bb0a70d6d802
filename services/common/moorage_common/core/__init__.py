"""Names, states, errors and time: the standard library only."""
