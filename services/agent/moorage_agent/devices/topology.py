"""Which of a node's GPUs are close to each other."""

from collections.abc import Callable, Sequence


def groups(uuids: Sequence[str], near: Callable[[int, int], bool]) -> list[str]:
    """Returns, for each GPU, the name of its group: the least UUID in it. Empty: it is close to no other.

    Args:
        uuids: Of the GPUs.
        near: Whether two of them, by their positions, are close. What is close to the same is taken for close.
    """
    names = list(uuids)
    for one in range(len(uuids)):
        for other in range(one):
            if near(one, other):
                joined = {names[one], names[other]}
                names = [min(joined) if name in joined else name for name in names]
    return [name if names.count(name) > 1 else "" for name in names]
