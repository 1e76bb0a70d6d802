import pytest

from moorage_cli import names
from moorage_common.core.errors import InvalidArgument


def test_models_and_workers_by_id_or_name() -> None:
    assert names.model_of("tiny") == names.model_of("models/tiny") == "models/tiny"
    assert names.worker_of("gpu-07") == names.worker_of("workers/gpu-07") == "workers/gpu-07"
    with pytest.raises(InvalidArgument):
        names.model_of("Not A Model")


def test_several_workers_by_commas_or_one_by_one_each_once() -> None:
    assert names.workers_of(["a,b", "workers/c", " b "]) == ["workers/a", "workers/b", "workers/c"]
    assert names.workers_of([]) == []
    for wrong in ("a,Not A Worker", "a,", ""):
        with pytest.raises(InvalidArgument):
            names.workers_of([wrong])


def test_instances_are_told_from_models() -> None:
    assert names.instance_of("tiny/a1b2") == "models/tiny/instances/a1b2"
    assert names.instance_of("models/tiny/instances/a1b2") == "models/tiny/instances/a1b2"
    assert names.instance_of("tiny") is None
    assert names.instance_of("models/tiny") is None
    with pytest.raises(InvalidArgument):
        names.instance_of("tiny/a1b2/c3")


@pytest.mark.parametrize(
    ("source", "model_id"),
    [
        ("hf:moorage/dinghy/dinghy-f32.gguf", "dinghy"),
        ("hf:Org/Llama-3.2_1B-GGUF@main/q4.gguf", "llama-3.2-1b-gguf"),
        ("hf:gpt2", "gpt2"),
        ("https://host/a/b/Some%20Model.gguf?download=true", "some-20model"),
        ("file:/srv/models/Tiny.GGUF", "tiny"),
        ("hf:org/" + "x" * 80, "x" * 63),
    ],
)
def test_a_model_id_is_made_of_its_source(source: str, model_id: str) -> None:
    assert names.model_id_from_source(source) == model_id
    assert names.model_of(model_id) == f"models/{model_id}"


@pytest.mark.parametrize("source", ["", "hf:", "hf:org/___", "file:/"])
def test_a_source_without_any_name_needs_one(source: str) -> None:
    with pytest.raises(InvalidArgument, match="no name"):
        names.model_id_from_source(source)


def test_full_names_of_any_kind_and_ids_of_models() -> None:
    assert names.resource_of("tiny") == "models/tiny"
    assert names.resource_of("tiny/a1") == "models/tiny/instances/a1"
    for name in ("workers/gpu-07", "models/tiny", "artifacts/a/copies/w", "downloads/d"):
        assert names.resource_of(name) == name
    with pytest.raises(InvalidArgument):
        names.resource_of("Not A Name")


def test_a_model_is_watched_with_its_instances() -> None:
    assert names.watched_names(["tiny", "workers/w", "tiny"]) == [
        "models/tiny",
        "models/tiny/instances/-",
        "workers/w",
    ]
