"""How llama.cpp is started where nobody asks for anything else: what agents do, and estimates count on."""

DEFAULT_CONTEXT = 4096
"""Tokens of context for a model that can do as many or more."""
DEFAULT_MICRO_BATCH = 512
"""Tokens that are computed at once."""
CONTEXT_CHECKPOINTS = 4
"""How often a slot's states are set aside, to go back to: those that a recurrence overwrites, and a window forgets."""
