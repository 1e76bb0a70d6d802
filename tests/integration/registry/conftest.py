"""Fixtures of the registry's tests."""

import pytest
from fleet_tools import Fleet


@pytest.fixture
def fleet(registry) -> Fleet:
    return Fleet(registry.client)
