"""A real hub, over real sockets, serving a folder of the test's own."""

import pytest

from moorage_cli.quickstart.hub import Hub
from moorage_cli.quickstart.tiny_model import TinyModel, write_tiny_model
from moorage_downloader.sources.catalog import SourceCatalog
from moorage_downloader.sources.http_reader import HttpReader
from moorage_downloader.sources.hub import HubSource
from moorage_downloader.sources.hub_limits import bound_hub_library
from moorage_downloader.sources.local import LocalSource
from moorage_downloader.sources.web import WebSource


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


@pytest.fixture
async def http():
    async with HttpReader(idle_timeout_s=5) as reader:
        yield reader


@pytest.fixture
def new_sources(http, tmp_path):
    """Every scheme, against the given hub."""

    def new(hub, *, token=""):
        bound_hub_library()
        return SourceCatalog(
            hub=HubSource(http, endpoint=hub.url, token=token, timeout_s=5),
            web=WebSource(http),
            local=LocalSource(tmp_path),
        )

    return new


@pytest.fixture
def sources(new_sources, hub):
    return new_sources(hub)


@pytest.fixture
def tiny_model(tmp_path):
    """The bytes of a real model."""
    (path,) = write_tiny_model(tmp_path / "tiny.gguf", TinyModel())
    return path.read_bytes()
