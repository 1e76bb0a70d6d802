"""The RPCs: validate, convert, delegate, convert."""
