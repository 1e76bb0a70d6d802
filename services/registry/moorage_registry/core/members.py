"""Instances over several workers: what their members' parts come to, and what becomes of them when one is lost.

Each member's agent reports its own part; the instance stands where the parts together put it:

    the lease of a member lapsed  ─► UNREACHABLE      otherwise the primary's RUNNING  ─► RUNNING
    a part failed                 ─► ERROR            otherwise                        ─► STARTING

A member that has stopped has stopped for good: the others are told to stop as well (STOPPING), and once the last of
them has confirmed it the instance is STOPPED. Until then all that it claimed stays claimed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from moorage_common.core.names import worker_name
from moorage_common.core.states import InstanceState as S
from moorage_registry.core.instances import Move, apply
from moorage_registry.core.records import Instance, Json, Member
from moorage_registry.core.transitions import InstanceEvent as E


@dataclass(frozen=True, slots=True)
class MemberMove:
    """An instance and its members after something happened to one of them."""

    move: Move
    members: tuple[Member, ...]
    """As they are now."""


def members_of(instance: Instance, *, exclusive: bool) -> list[Member]:
    """Returns the members of an instance that was just bound; none if it is on one worker alone."""
    if not instance.subordinates:
        return []
    return [
        Member(instance_uid=instance.uid, worker_id=worker_id, rank=rank, exclusive=exclusive)
        for rank, worker_id in enumerate(instance.workers)
    ]


def part_reported(
    instance: Instance, members: Sequence[Member], reported: Member, *, now: datetime, restart_count: int
) -> MemberMove:
    """Moves an instance by what one of its members reports of its part.

    Args:
        instance: The instance, which holds its claims.
        members: Its members as they were.
        reported: The member as it is now.
        now: The time.
        restart_count: How often the member's engine was started again.
    """
    before = next(member for member in members if member.rank == reported.rank)
    late = instance.state is S.STOPPING and reported.state is not S.STOPPED
    if before.state is S.STOPPED or late:
        return MemberMove(Move(instance, instance), tuple(members))
    parts = tuple(reported if member.rank == reported.rank else member for member in members)
    if reported.state is S.STOPPED:
        event = E.REPORT_STOPPED if all(part.state is S.STOPPED for part in parts) else E.MEMBER_LOST
        return MemberMove(apply(instance, event, now=now), parts)
    count = restart_count if reported.rank == 0 else instance.restart_count
    return MemberMove(_stood(replace(instance, restart_count=count), instance, parts, now), parts)


def parts_unreachable(
    instance: Instance, members: Sequence[Member], away: Collection[str], *, now: datetime
) -> MemberMove:
    """Moves an instance of which some members' leases lapsed. Where their parts stood is not known any more."""
    parts = tuple(
        replace(part, state=S.UNREACHABLE, endpoint="", error=None)
        if part.worker_id in away and part.state is not S.STOPPED
        else part
        for part in members
    )
    return MemberMove(apply(instance, E.LEASE_LAPSED, now=now), parts)


def parts_restarted(members: Sequence[Member]) -> list[Member]:
    """Returns the members of an instance whose engines are started again. Who is out of reach stays so."""
    return [
        member
        if member.state is S.UNREACHABLE
        else replace(member, state=S.STARTING, endpoint="", error=None)
        for member in members
    ]


def part_gone(instance: Instance, members: Sequence[Member], worker_id: str, *, now: datetime) -> MemberMove:
    """Moves an instance of which a member's worker was removed: that part counts as stopped.

    If others have not stopped theirs, the next of them by rank stands for the instance until they have.
    """
    left = [member for member in members if member.worker_id != worker_id]
    if all(member.state is S.STOPPED for member in left):
        return MemberMove(apply(instance, E.WORKER_GONE, now=now), ())
    first, *others = (member.worker_id for member in left)
    move = apply(
        instance,
        E.MEMBER_LOST,
        now=now,
        worker_id=first,
        subordinates=others,
        placement=_without(instance.placement or {}, worker_id, first),
    )
    return MemberMove(move, tuple(left))


def _stood(counted: Instance, before: Instance, parts: Sequence[Member], now: datetime) -> Move:
    primary = parts[0]
    failed = next((part for part in parts if part.state is S.ERROR), None)
    if any(part.state is S.UNREACHABLE for part in parts):
        move = apply(counted, E.LEASE_LAPSED, now=now)
    elif failed is not None:
        move = apply(counted, E.REPORT_ERROR, now=now, endpoint="", error=_told(failed))
    elif primary.state is S.RUNNING:
        move = apply(counted, E.REPORT_RUNNING, now=now, endpoint=primary.endpoint, error=None)
    else:
        move = apply(counted, E.REPORT_STARTING, now=now, endpoint="")
    return Move(before=before, after=move.after)


def _told(failed: Member) -> Json | None:
    """A member's error as the instance's: of a subordinate's it must be said whose it is."""
    if failed.rank == 0 or failed.error is None:
        return failed.error
    return {**failed.error, "message": f"{worker_name(failed.worker_id)}: {failed.error.get('message', '')}"}


def _without(placement: Json, gone: str, first: str) -> Json:
    """A placement as what is left of it on other workers."""
    lost = {worker_name(gone), worker_name(first)}
    return {
        **placement,
        "worker": worker_name(first),
        "subordinates": [name for name in placement.get("subordinates", ()) if name not in lost],
        "claims": [claim for claim in placement.get("claims", ()) if claim["worker"] != worker_name(gone)],
    }
