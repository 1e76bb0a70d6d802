"""Versions of CUDA: which one a build of an engine was made with, and which driver that needs."""

import re
from collections.abc import Mapping
from types import MappingProxyType

MIN_DRIVER: Mapping[int, tuple[int, ...]] = MappingProxyType({11: (450,), 12: (525,), 13: (580,)})
"""Oldest driver per major version of CUDA, within which minor versions do not matter.

NVIDIA, "CUDA Compatibility", table of minor version compatibility: CUDA 11.x >= 450, 12.x >= 525, 13.x >= 580.
"""
_IN_VERSION = re.compile(r"cu(?:da)?[-_ ]?(\d\d)", re.IGNORECASE)


def cuda_of(version: str) -> int | None:
    """Returns the major version of CUDA that an engine's version tells of, e.g. 12 for ``0.32.0+cu129``."""
    found = _IN_VERSION.search(version)
    major = int(found[1]) if found else None
    return major if major in MIN_DRIVER else None
