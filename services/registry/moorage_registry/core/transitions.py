"""The life of an instance: every state, every event, and what comes of it.

    PENDING ─nominate─► FETCHING ─artifact ready─► FETCHED ─bind─► STARTING ─report─► RUNNING ⇄ ERROR
       ▲                   │ refuse, lapse            │ refuse, lapse │                  │        │
       └───────────────────┴──────────────────────────┘               └─lapse─► UNREACHABLE ◄─lapse┘
    STOP leads to STOPPED at once where nothing is held, else by way of STOPPING. RESTART leads back to STARTING,
    with everything that is held; out of reach it waits, and what has no engine yet stays where it is.
    MEMBER_LOST leads to STOPPING: what is left of an instance over several workers stops before it is placed anew.

A pair that is not in the table is not allowed. Events of agents arrive late and repeated, so the table says
for each of them whether it changes something, changes nothing, or is refused.
"""

from enum import StrEnum

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.states import InstanceState as S


class InstanceEvent(StrEnum):
    """What happens to an instance."""

    NOMINATE = "NOMINATE"
    """A scheduler chose a worker whose copy of the artifact is still to come."""
    ARTIFACT_READY = "ARTIFACT_READY"
    """The artifact is ready on the nominated worker."""
    BIND = "BIND"
    """A scheduler's claims were committed."""
    REFUSE = "REFUSE"
    """A bind was refused, or the nominated worker can no longer take it."""
    REPORT_STARTING = "REPORT_STARTING"
    REPORT_RUNNING = "REPORT_RUNNING"
    REPORT_ERROR = "REPORT_ERROR"
    REPORT_STOPPED = "REPORT_STOPPED"
    """The agent says that no engine of it is left."""
    LEASE_LAPSED = "LEASE_LAPSED"
    """The worker's lease lapsed."""
    WORKER_GONE = "WORKER_GONE"
    """The worker's record was removed: nothing is known of what runs there."""
    MEMBER_LOST = "MEMBER_LOST"
    """One of several workers has stopped its part, or its record was removed, and others have not stopped theirs."""
    START = "START"
    """The user wants it running."""
    STOP = "STOP"
    """The user wants it stopped, or it is surplus."""
    RESTART = "RESTART"
    """The user wants its engine started again, where it is. What has none yet will start anyway."""


E = InstanceEvent

HOLDS_CLAIM = frozenset({S.STARTING, S.RUNNING, S.ERROR, S.UNREACHABLE, S.STOPPING})
"""States in which an instance holds memory on its worker."""

NOMINATED = frozenset({S.FETCHING, S.FETCHED})
"""States in which an instance has a worker and holds nothing on it."""

TRANSITIONS: dict[S, dict[InstanceEvent, S]] = {
    S.PENDING: {
        E.NOMINATE: S.FETCHING,
        E.BIND: S.STARTING,
        E.REFUSE: S.PENDING,
        E.REPORT_STOPPED: S.PENDING,
        E.START: S.PENDING,
        E.STOP: S.STOPPED,
        E.RESTART: S.PENDING,
    },
    S.FETCHING: {
        E.ARTIFACT_READY: S.FETCHED,
        E.REFUSE: S.PENDING,
        E.REPORT_STOPPED: S.FETCHING,
        E.LEASE_LAPSED: S.PENDING,
        E.WORKER_GONE: S.PENDING,
        E.START: S.FETCHING,
        E.STOP: S.STOPPED,
        E.RESTART: S.FETCHING,
    },
    S.FETCHED: {
        # The nominated worker no longer fits: another one does.
        E.NOMINATE: S.FETCHING,
        E.BIND: S.STARTING,
        E.REFUSE: S.PENDING,
        E.REPORT_STOPPED: S.FETCHED,
        E.LEASE_LAPSED: S.PENDING,
        E.WORKER_GONE: S.PENDING,
        E.START: S.FETCHED,
        E.STOP: S.STOPPED,
        E.RESTART: S.FETCHED,
    },
    S.STARTING: {
        E.REPORT_STARTING: S.STARTING,
        E.REPORT_RUNNING: S.RUNNING,
        E.REPORT_ERROR: S.ERROR,
        E.REPORT_STOPPED: S.PENDING,
        E.LEASE_LAPSED: S.UNREACHABLE,
        E.WORKER_GONE: S.PENDING,
        E.MEMBER_LOST: S.STOPPING,
        E.START: S.STARTING,
        E.STOP: S.STOPPING,
        E.RESTART: S.STARTING,
    },
    S.RUNNING: {
        E.REPORT_STARTING: S.STARTING,
        E.REPORT_RUNNING: S.RUNNING,
        E.REPORT_ERROR: S.ERROR,
        E.REPORT_STOPPED: S.PENDING,
        E.LEASE_LAPSED: S.UNREACHABLE,
        E.WORKER_GONE: S.PENDING,
        E.MEMBER_LOST: S.STOPPING,
        E.START: S.RUNNING,
        E.STOP: S.STOPPING,
        E.RESTART: S.STARTING,
    },
    S.ERROR: {
        E.REPORT_STARTING: S.STARTING,
        E.REPORT_RUNNING: S.RUNNING,
        E.REPORT_ERROR: S.ERROR,
        E.REPORT_STOPPED: S.PENDING,
        E.LEASE_LAPSED: S.UNREACHABLE,
        E.WORKER_GONE: S.PENDING,
        E.MEMBER_LOST: S.STOPPING,
        E.START: S.ERROR,
        E.STOP: S.STOPPING,
        E.RESTART: S.STARTING,
    },
    S.UNREACHABLE: {
        E.REPORT_STARTING: S.STARTING,
        E.REPORT_RUNNING: S.RUNNING,
        E.REPORT_ERROR: S.ERROR,
        E.REPORT_STOPPED: S.PENDING,
        E.LEASE_LAPSED: S.UNREACHABLE,
        E.WORKER_GONE: S.PENDING,
        E.MEMBER_LOST: S.STOPPING,
        E.START: S.UNREACHABLE,
        E.STOP: S.STOPPING,
        E.RESTART: S.UNREACHABLE,
    },
    S.STOPPING: {
        # The agent has not heard of the stop yet: what it reports of the engine changes nothing.
        E.REPORT_STARTING: S.STOPPING,
        E.REPORT_RUNNING: S.STOPPING,
        E.REPORT_ERROR: S.STOPPING,
        E.REPORT_STOPPED: S.STOPPED,
        E.LEASE_LAPSED: S.STOPPING,
        E.WORKER_GONE: S.STOPPED,
        E.MEMBER_LOST: S.STOPPING,
        # It has to stop before it can start: START is applied again once it is STOPPED.
        E.START: S.STOPPING,
        E.STOP: S.STOPPING,
    },
    S.STOPPED: {
        E.REPORT_STOPPED: S.STOPPED,
        E.START: S.PENDING,
        E.STOP: S.STOPPED,
    },
}

_REMEDIES = {
    E.RESTART: "Start its model: it is placed anew once it has stopped.",
}
"""What to do instead, where there is something."""


def next_state(state: S, event: InstanceEvent) -> S:
    """Returns the state that an event leads to.

    Raises:
        FailedPrecondition: The event cannot happen in this state (TRANSITION_NOT_ALLOWED).
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise FailedPrecondition(
            f"the instance is {state.value}: {event.value} is not possible",
            reason=ErrorReason.TRANSITION_NOT_ALLOWED,
            remedy=_REMEDIES.get(event, ""),
            metadata={"state": state.value, "event": event.value},
        ) from None
