"""Whole models in safetensors: config.json, index and shards together."""

import json

import pytest
from safetensors_files import LLAMA, TENSORS, write_file, write_model

from moorage_common.core.errors import ErrorReason, FailedPrecondition
from moorage_common.core.placement import ModelCategory
from moorage_common.modelfiles.safetensors import read_safetensors_folder
from moorage_common.modelfiles.safetensors_files import choose_weights

INDEX = "model.safetensors.index.json"


def error_of(folder):
    with pytest.raises(FailedPrecondition) as caught:
        read_safetensors_folder(folder)
    assert caught.value.reason is ErrorReason.MODEL_FILE_INVALID
    assert caught.value.metadata["file"] in caught.value.message
    return caught.value.message


def write_index(folder, weight_map):
    content = weight_map if isinstance(weight_map, str) else json.dumps({"weight_map": weight_map})
    (folder / INDEX).write_text(content)


def test_shards_say_the_same_as_one_file(tmp_path):
    whole = read_safetensors_folder(write_model(tmp_path / "whole"))
    assert whole.weights == ("model.safetensors",)
    facts = whole.facts
    embedding = 2 * 320 * 64 * 2
    assert facts.embedding_bytes == embedding
    assert facts.total_tensor_bytes == embedding + 2 * 64 * 64 * 2 + 128 * 64 * 2 + 64 * 4
    assert facts.tensor_bytes_by_dtype == {"BF16": facts.total_tensor_bytes - 256, "F32": 256}
    assert facts.parameter_count == 2 * 320 * 64 + 2 * 64 * 64 + 128 * 64 + 64
    for shards in (2, 3, 6):
        model = read_safetensors_folder(write_model(tmp_path / f"{shards}", shards=shards))
        assert len(model.weights) == shards
        assert model.facts == facts
    (tmp_path / "3" / INDEX).unlink()
    assert read_safetensors_folder(tmp_path / "3").facts == facts


def test_only_what_the_index_names_counts(tmp_path):
    folder = write_model(tmp_path, shards=2)
    write_file(folder / "consolidated.safetensors", TENSORS)
    write_file(folder / "model.safetensors", TENSORS)
    assert read_safetensors_folder(folder).weights == tuple(
        f"model-0000{n}-of-00002.safetensors" for n in (1, 2)
    )


def test_files_beside_config_json_are_read_too(tmp_path):
    folder = write_model(tmp_path, config={**LLAMA, "architectures": ["Qwen3ForCausalLM"]})
    (folder / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP8"}}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 512}')
    (folder / "modules.json").write_text("[]")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    facts = read_safetensors_folder(folder).facts
    assert (facts.quantization, facts.context_length) == ("modelopt", 512)
    assert facts.category is ModelCategory.EMBEDDING


SHARD = "model-00001-of-00002.safetensors"


@pytest.mark.parametrize(
    ("weight_map", "said"),
    [
        ({"a": "model-00009.safetensors"}, "'a' is in 'model-00009.safetensors', and there is no such file"),
        ({"a": "../model.safetensors"}, "is in '../model.safetensors', which does not stay in the model's folder"),
        ({"a": "/etc/passwd"}, "does not stay in the model's folder"),
        ({"a": f"./{SHARD}"}, "does not stay in the model's folder"),
        ({"a": f"x/../{SHARD}"}, "does not stay in the model's folder"),
        ({"a": "..\\model.safetensors"}, "does not stay in the model's folder"),
        ({"a": "C:\\model.safetensors"}, "does not stay in the model's folder"),
        ({"a": "https://host/model.safetensors"}, "does not stay in the model's folder"),
        ({"a": INDEX}, "is in 'model.safetensors.index.json', which is no safetensors file"),
        ({"a": "sub/model.safetensors"}, "and there is no such file"),
        ({"a": 7}, "is in 7, which is no file's name"),
        ({"a": [SHARD]}, "which is no file's name"),
        ({}, "its weight_map names no tensors"),
        ({"nowhere.weight": SHARD}, "it names tensor 'nowhere.weight', which none of its files holds"),
        (f'{{"weight_map": {{"a": "{SHARD}", "a": "{SHARD}"}}}}', "it names tensor 'a' twice"),
        ('{"metadata": {}}', "its weight_map names no tensors"),
        ('{"weight_map": []}', "not JSON: expected { in '[]}'"),
        ('{"weight_map": {"a"', "not JSON: it ends too early"),
        ("[]", "not JSON: expected { in '[]'"),
        ("", "not JSON: it ends too early"),
    ],
)  # fmt: skip
def test_an_index_that_cannot_be_is_refused(tmp_path, weight_map, said):
    folder = write_model(tmp_path, shards=2)
    write_index(folder, weight_map)
    message = error_of(folder)
    assert message.startswith(f"{INDEX} is not usable: ")
    assert said in message


def test_shards_that_hold_the_same_are_refused(tmp_path):
    folder = write_model(tmp_path, shards=2)
    (folder / "model-00002-of-00002.safetensors").write_bytes((folder / SHARD).read_bytes())
    assert "'model.embed_tokens.weight' is in model-0000" in error_of(folder)


def test_a_shard_that_is_a_link_to_another_is_refused(tmp_path):
    folder = write_model(tmp_path, shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    (folder / "model-00002-of-00002.safetensors").symlink_to(SHARD)
    assert ", too" in error_of(folder)


def test_a_header_that_lies_is_refused(tmp_path):
    folder = write_model(tmp_path, shards=2)
    with (folder / SHARD).open("r+b") as file:
        file.truncate(2000)
    assert f"{SHARD} is not usable: truncated: its tensors have" in error_of(folder)
    (folder / SHARD).write_bytes(b"\xff\xff\xff\0\0\0\0\0{}")
    assert "truncated: its header ends at byte 16,777,223, the file has 10" in error_of(folder)


def test_a_model_without_tensors_is_refused(tmp_path):
    assert "it holds no tensors" in error_of(write_model(tmp_path, tensors={}))


def test_a_folder_without_config_or_weights_is_refused(tmp_path):
    folder = write_model(tmp_path)
    (folder / "model.safetensors").unlink()
    assert "config.json is not usable: there are 0 files of weights beside it" in error_of(folder)
    (folder / "config.json").unlink()
    assert "config.json is not usable: there is none" in error_of(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has 0 bytes, where a JSON object is expected"),
        (b"[]", "it is [], where a JSON object is expected"),
        (b"not json", "not JSON: Expecting value; it begins with b'not json'"),
        (b'{"a": "\xff"}', "not JSON: 'utf-8' codec can't decode"),
        (b"\xff\xfe{\0}\0", "it gives no num_hidden_layers"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "Exceeds the limit"),
        (b" " * (3 << 20), "it has 3,145,728 bytes"),
    ],
)
def test_a_config_that_is_none_is_refused(tmp_path, content, said):
    folder = write_model(tmp_path)
    (folder / "config.json").write_bytes(content)
    assert said in error_of(folder)


def test_infinity_is_as_common_in_configs_as_it_is_no_json(tmp_path):
    config = {**LLAMA, "time_step_limit": [0.0, float("inf")]}
    assert read_safetensors_folder(write_model(tmp_path, config=config)).facts.block_count == 2


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["model.safetensors", "adapter_model.safetensors"], ("model.safetensors",)),
        (["model.safetensors", "consolidated.safetensors"], ("model.safetensors",)),
        (["consolidated.safetensors"], ("consolidated.safetensors",)),
        (["b.safetensors", "a.safetensors", "consolidated.safetensors"], ("a.safetensors", "b.safetensors")),
        (
            ["model-2-of-000002.safetensors", "model-1-of-000002.safetensors", "x-1-of-3.safetensors"],
            ("model-1-of-000002.safetensors", "model-2-of-000002.safetensors"),
        ),
        (["config.json"], ()),
        (["sub/model.safetensors"], ()),
    ],
)
def test_weights_are_chosen_by_name_where_there_is_no_index(names, expected):
    assert choose_weights(names, None) == expected


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["model-1-of-3.safetensors", "model-3-of-3.safetensors"], "of its 3 shards number 2 is missing"),
        (["model-1-of-2.safetensors", "model-1-of-3.safetensors"], "are shards of different sets"),
        (["model-1-of-999999.safetensors"], "of its 999,999 shards number 2 is missing"),
    ],
)
def test_shards_that_do_not_add_up_are_refused(names, said):
    with pytest.raises(FailedPrecondition) as caught:
        choose_weights(names, None)
    assert said in caught.value.message
