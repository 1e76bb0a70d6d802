"""Calls that come at the same time are answered together, each with its own answer."""

import asyncio

import pytest

from moorage_common.core.errors import InvalidArgument, MoorageError, Unavailable
from moorage_registry.gathering import Gathering


class Work:
    """Doubles numbers; negative ones are refused, and so is everything with them."""

    def __init__(self):
        self.batches = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, items):
        self.batches.append(list(items))
        await self.go_on.wait()
        for item in items:
            if isinstance(item, Exception):
                raise item
            if item < 0:
                raise InvalidArgument(f"{item} is negative")
        return [2 * item for item in items]


@pytest.fixture
async def work():
    return Work()


async def test_one_alone_waits_for_nobody(work):
    gathering = Gathering(work, most=10)
    assert await gathering.ask(1) == 2
    assert await gathering.ask(2) == 4
    assert work.batches == [[1], [2]]


async def test_those_who_come_while_others_are_at_work_are_the_next_batch(work):
    gathering = Gathering(work, most=3)
    work.go_on.clear()
    asked = [asyncio.create_task(gathering.ask(0))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked += [asyncio.create_task(gathering.ask(item)) for item in (1, 2, 3, 4)]
    await asyncio.sleep(0)
    work.go_on.set()
    assert await asyncio.gather(*asked) == [0, 2, 4, 6, 8]
    assert work.batches == [[0], [1, 2, 3], [4]]


async def test_what_one_is_refused_for_is_told_to_it_alone(work):
    gathering = Gathering(work, most=10)
    first, bad, last = await asyncio.gather(
        gathering.ask(1), gathering.ask(-1), gathering.ask(2), return_exceptions=True
    )
    assert (first, last) == (2, 4)
    assert "-1 is negative" in str(bad)


@pytest.mark.parametrize("error", [Unavailable("the database is away"), ZeroDivisionError()])
async def test_a_database_that_is_away_is_not_asked_for_each_of_them(work, error):
    gathering = Gathering(work, most=10)
    told = await asyncio.gather(gathering.ask(1), gathering.ask(error), return_exceptions=True)
    assert told == [error, error]
    assert len(work.batches) == 1
    assert await gathering.ask(3) == 6


async def test_who_leaves_takes_nobody_along(work):
    gathering = Gathering(work, most=10)
    work.go_on.clear()
    leaving, staying = (asyncio.create_task(gathering.ask(item)) for item in (1, 2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    work.go_on.set()
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_an_error_that_nobody_waits_for_is_no_defect(work, caplog):
    gathering = Gathering(work, most=10)
    work.go_on.clear()
    leaving = asyncio.create_task(gathering.ask(-1))
    await asyncio.sleep(0.01)
    leaving.cancel()
    work.go_on.set()
    assert await gathering.ask(1) == 2
    with pytest.raises((asyncio.CancelledError, MoorageError)):
        await leaving
    assert not caplog.records
