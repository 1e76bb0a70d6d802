"""What orders equals: as good as random, and the same again for the same seed."""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def tie(seed: str, name: str) -> int:
    """Returns a number that orders one of several equals."""
    return int.from_bytes(blake2b(name.encode(), key=seed.encode()[:64], digest_size=8).digest())


def tie_order(identities: NDArray[np.uint64], seed: str) -> NDArray[np.uint64]:
    """Returns numbers that order equal workers, given hashes of their names."""
    key = np.uint64(int.from_bytes(blake2b(seed.encode(), digest_size=8).digest()))
    mixed = identities ^ key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
