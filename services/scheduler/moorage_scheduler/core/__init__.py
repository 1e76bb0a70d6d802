"""Pure placement: an immutable snapshot and a request in, a placement and its explanation out."""
