"""Few engines load at a time, and no turn is lost or given twice."""

import asyncio

from moorage_agent.engines.turns import StartTurns


def never():
    return asyncio.Event()


async def test_no_more_than_the_limit_have_a_turn():
    turns = StartTurns(2)
    assert await turns.take("a", unless=never())
    assert await turns.take("b", unless=never())
    third = asyncio.create_task(turns.take("c", unless=never()))
    await asyncio.sleep(0.01)
    assert not third.done()
    turns.give_back("a")
    assert await third


async def test_giving_back_twice_gives_one_turn():
    turns = StartTurns(1)
    assert await turns.take("a", unless=never())
    turns.give_back("a")
    turns.give_back("a")
    assert await turns.take("b", unless=never())
    waiting = asyncio.create_task(turns.take("c", unless=never()))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()


async def test_what_is_called_off_takes_no_turn():
    turns = StartTurns(1)
    off = asyncio.Event()
    off.set()
    assert not await turns.take("a", unless=off)
    assert await turns.take("b", unless=never())
    off.clear()
    waiting = asyncio.create_task(turns.take("c", unless=off))
    await asyncio.sleep(0.01)
    off.set()
    assert not await waiting
    turns.give_back("b")
    assert await turns.take("d", unless=never())
