import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage_common.core import names
from moorage_common.core.errors import ErrorReason, InvalidArgument

ids = st.from_regex(names.ID_PATTERN, fullmatch=True)


@given(model=ids, instance=ids)
def test_what_is_formatted_is_parsed_back(model: str, instance: str) -> None:
    assert names.parse_model(names.model_name(model)) == model
    assert names.parse_instance(names.instance_name(model, instance)) == (model, instance)


def test_each_kind_has_its_own_shape() -> None:
    assert names.worker_name("gpu-07") == "workers/gpu-07"
    assert names.artifact_copy_name("a1", "gpu-07") == "artifacts/a1/copies/gpu-07"
    assert names.parse_artifact_copy("artifacts/a1/copies/gpu-07") == ("a1", "gpu-07")
    assert names.parse_artifact("artifacts/a1") == "a1"
    assert names.parse_download(names.download_name("d1")) == "d1"
    assert names.parse_worker("workers/w") == "w"
    assert str(names.INSTANCE) == "models/{model}/instances/{instance}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "llama",
        "models/",
        "models//",
        "models/Llama",
        "models/-x",
        "models/x-",
        "models/.b",
        "models/a_b",
        "models/a\n",
        f"models/{'a' * 64}",
        "workers/llama",
        "models/llama/instances/a1",
        "/models/llama",
    ],
)
def test_what_is_not_a_model_name_is_refused_with_its_field(name: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        names.parse_model(name, field="model.name")
    assert raised.value.reason is ErrorReason.INVALID_REQUEST
    assert [violation.field for violation in raised.value.violations] == ["model.name"]
    assert not names.MODEL.matches(name)


def test_a_bad_id_is_refused_when_a_name_is_built() -> None:
    with pytest.raises(InvalidArgument):
        names.instance_name("llama", "A1")


def test_the_error_does_not_repeat_a_huge_name() -> None:
    with pytest.raises(InvalidArgument) as raised:
        names.parse_model("models/" + "x" * 100_000)
    assert len(raised.value.message) < 300


def test_the_longest_id_is_accepted() -> None:
    assert names.parse_model("models/" + "a" * 63) == "a" * 63
