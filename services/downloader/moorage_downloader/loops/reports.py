"""Results that cost work to get are reported until the registry has heard them."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from moorage_common.core.backoff import Backoff, BackoffPolicy
from moorage_common.core.errors import Aborted, InvalidArgument, MoorageError
from moorage_common.runtime.logs import get_logger

log = get_logger(__name__)

_POLICY = BackoffPolicy(first_s=0.2, cap_s=5.0)


async def report_until_heard(call: Callable[[], Awaitable[object]], random: Random) -> None:
    """Makes a call again and again until the registry answers.

    Args:
        call: Makes the call, once.
        random: For the back-off's jitter.

    Raises:
        Aborted: LEASE_STALE: it is no longer this downloader's to report.
        InvalidArgument: The registry does not take the report, and will not.
    """
    backoff = Backoff(_POLICY, random)
    while True:
        try:
            await call()
        except (Aborted, InvalidArgument):
            raise
        except MoorageError as error:
            delay = backoff.next_delay_s()
            log.warning("report not heard", error=error.message, retry_in_s=round(delay, 2))
            await asyncio.sleep(delay)
        else:
            return
