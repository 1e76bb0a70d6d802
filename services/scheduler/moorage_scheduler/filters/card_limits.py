"""Asks what engines need of cards once per sort of worker, and holds all cards against it."""

from collections.abc import Callable

import numpy as np

from moorage_common.core.states import AcceleratorKind
from moorage_scheduler.core.cluster import Accelerator
from moorage_scheduler.core.codes import ACCELERATORS
from moorage_scheduler.core.snapshot import Int64s
from moorage_scheduler.core.wishes import asked_cards
from moorage_scheduler.filters.base import Mask, Request, Snapshot
from moorage_scheduler.filters.card_needs import CardNeeds, needs_of

IMPOSSIBLE = 2**63 - 1
"""A limit that no card meets, also none of which nothing is known."""


def admitted(snapshot: Snapshot, request: Request, column: Int64s, limit: Callable[[CardNeeds], int]) -> Mask:
    """Returns, as [slot, pool], which cards are at or above the limit of some build of the engine that is there.

    Args:
        snapshot: The fleet.
        request: What is to be computed.
        column: A property of cards that changes with the workers' rows only.
        limit: What is needed of it.
    """
    key = (limit, request.engine, request.engine_version, request.quantization, request.vllm.dtype)
    return snapshot.rows.kept(key, lambda: _admitted(snapshot, request, column, limit))


def _admitted(
    snapshot: Snapshot, request: Request, column: Int64s, limit: Callable[[CardNeeds], int]
) -> Mask:
    builds = snapshot.rows.builds(request.engine, request.engine_version)
    limits = np.zeros((len(builds.versions), len(ACCELERATORS)), np.int64)
    for position, versions in enumerate(builds.versions):
        for kind in AcceleratorKind:
            needs = [_needs(request, kind, version) for version in versions]
            limits[position, ACCELERATORS.of(kind)] = min(map(limit, needs), default=0)
    return np.asarray(column >= limits[builds.version[:, np.newaxis], snapshot.columns.kinds])


def needs_on(snapshot: Snapshot, request: Request, slot: int, kind: AcceleratorKind) -> CardNeeds:
    """Returns what the least demanding build of a worker needs of a card."""
    builds = snapshot.rows.builds(request.engine, request.engine_version)
    needs = [_needs(request, kind, version) for version in builds.versions[builds.version[slot]]]
    return min(needs, key=lambda each: (not each.supported, each.min_capability, each.min_driver))


def nearest(
    snapshot: Snapshot,
    request: Request,
    slot: int,
    admits: Mask,
    key: Callable[[Accelerator], tuple[int, ...]],
) -> Accelerator:
    """Returns, of a worker's cards that the engine drives and a rule does not admit, the one nearest to doing."""
    worker = snapshot.rows.at(slot)
    asked = asked_cards(worker, request)
    refused = [
        card
        for position, card in enumerate(worker.accelerators, start=1)
        if card in asked and not admits[slot, 0 if worker.unified_memory else position]
    ]
    driven = snapshot.rows.builds(request.engine, request.engine_version).drives[slot]
    near = [card for card in refused if driven & ACCELERATORS.bits([card.kind])] or refused
    return max(near, key=lambda card: (key(card), card.kind))


def text(version: tuple[int, ...]) -> str:
    """Returns a version as people write it."""
    return ".".join(map(str, version)) or "unknown"


def _needs(request: Request, kind: AcceleratorKind, version: str) -> CardNeeds:
    return needs_of(request.engine, request.quantization, request.vllm.dtype, kind, version=version)
