"""Every change, in order, to whoever watches."""
