"""Ids that nobody chooses: unique ids of resources and short ids for names."""

import secrets
import string
import uuid

_SHORT_ALPHABET = string.ascii_lowercase + string.digits


def new_uid() -> str:
    """Returns a UUID (version 4) as text: unique for ever, also after its resource's name is used again."""
    return str(uuid.uuid4())


def new_short_id() -> str:
    """Returns 8 random lowercase letters and digits, a valid id in a resource name.

    Of 36**8 values, two of 10,000 siblings collide once in about 56,000 fleets: the store's unique
    constraint decides, and the caller draws again.
    """
    return "".join(secrets.choice(_SHORT_ALPHABET) for _ in range(8))
