"""Names of the files of split models."""

import pytest

from moorage_common.core.errors import FailedPrecondition
from moorage_common.modelfiles.shards import parse_shard_name, shard_paths


def test_any_shard_names_all():
    expected = tuple(f"q4/m-0000{n}-of-00003.gguf" for n in (1, 2, 3))
    for path in expected:
        assert shard_paths(path) == expected


@pytest.mark.parametrize(
    "path", ["m.gguf", "m-00001-of-00003.safetensors", "m-1-of-3.gguf", "-00001-of-00002.gguf"]
)
def test_other_names_stand_for_themselves(path):
    assert parse_shard_name(path) is None
    assert shard_paths(path) == (path,)


@pytest.mark.parametrize("path", ["m-00000-of-00002.gguf", "m-00003-of-00002.gguf", "m-00001-of-99999.gguf"])
def test_impossible_shards_are_refused(path):
    with pytest.raises(FailedPrecondition, match="cannot be"):
        shard_paths(path)
