"""Fixtures of the registry's tests."""

from collections.abc import AsyncIterator

import pytest
from fleet_tools import Fleet

from moorage_registry.convert.events import encode_change
from moorage_registry.store.database import Database


@pytest.fixture
def fleet(registry) -> Fleet:
    return Fleet(registry.client)


@pytest.fixture
async def store(database) -> AsyncIterator[Database]:
    """The store alone, on the test's database."""
    opened = Database(database.application, encode_event=encode_change, pool_size=2)
    yield opened
    await opened.close()
