"""A real hub, over real sockets, serving a folder of the test's own."""

import pytest

from moorage_cli.quickstart.hub import Hub


@pytest.fixture
def hub_root(tmp_path):
    (root := tmp_path / "hub").mkdir()
    return root


@pytest.fixture
async def hub(hub_root):
    async with Hub(hub_root) as hub:
        yield hub


@pytest.fixture
def add_file(hub_root):
    """Puts a file into a repository of the hub."""

    def add(path, content, *, repo="org/model"):
        location = hub_root / repo / path
        location.parent.mkdir(parents=True, exist_ok=True)
        location.write_bytes(content)
        return location

    return add
