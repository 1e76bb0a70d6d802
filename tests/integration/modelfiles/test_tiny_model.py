"""The tiny model, loaded by the engine that it is for."""

import dataclasses

import pytest

from moorage_cli.quickstart.tiny_model import SENTENCE, TinyModel, write_tiny_model
from moorage_common.core.errors import FailedPrecondition
from moorage_common.modelfiles.gguf import read_gguf_files
from moorage_common.modelfiles.shards import shard_paths


@pytest.mark.parametrize(
    "shape",
    [
        TinyModel(),
        TinyModel(half=True, shards=3, seed=1),
        TinyModel(layers=9, hidden=512, heads=8, sentence="a longer and wider one"),
    ],
    ids=["default", "three shards", "larger"],
)
def test_llama_cpp_answers_with_the_sentence(tmp_path, llama_cpp, shape):
    files = write_tiny_model(tmp_path / "tiny.gguf", shape)
    assert len(files) == shape.shards
    with llama_cpp(files[0]) as answer:
        assert answer("Who are you?") == (shape.sentence, "stop")
        assert answer("xxxxxxxxxxxxxxxxxxxxxxxxxx") == (shape.sentence, "stop")


def test_an_endless_model_begins_again(tmp_path, llama_cpp):
    (path,) = write_tiny_model(tmp_path / "tiny.gguf", TinyModel(sentence="round and on", endless=True))
    with llama_cpp(path) as answer:
        text, reason = answer("Go")
    assert text == " ".join(["round and on"] * 20)
    assert reason == "length"


def test_the_same_shape_gives_the_same_bytes_and_a_seed_others(tmp_path):
    written = [
        write_tiny_model(tmp_path / f"{n}.gguf", TinyModel(seed=seed))[0].read_bytes()
        for n, seed in enumerate([7, 7, 8])
    ]
    assert written[0] == written[1] != written[2]


def test_its_facts_are_those_that_were_asked_for(tmp_path):
    shape = TinyModel(layers=3, hidden=128, feed_forward=256, heads=8, kv_heads=2, context=1234, shards=2)
    files = write_tiny_model(tmp_path / "tiny.gguf", shape)
    assert tuple(map(str, files)) == shard_paths(str(files[1]))
    facts = read_gguf_files(files)
    assert (facts.block_count, facts.embedding_length, facts.context_length) == (3, 128, 1234)
    assert facts.head_counts == (8, 8, 8)
    assert facts.head_counts_kv == (2, 2, 2)
    assert facts.feed_forward_lengths == (256, 256, 256)
    assert facts.vocabulary_size == 320
    assert facts.total_tensor_bytes == 4 * facts.parameter_count
    with pytest.raises(FailedPrecondition, match="one of 2 shards"):
        read_gguf_files(files[:1])


@pytest.mark.parametrize(
    "change",
    [
        {"sentence": "a a"},
        {"sentence": ""},
        {"hidden": 32},
        {"hidden": 66},
        {"vocabulary": 290},
        {"feed_forward": 4},
        {"kv_heads": 3},
    ],
)
def test_impossible_shapes_are_refused(change):
    with pytest.raises(ValueError, match=r"sentence|hidden|vocabulary|feed_forward"):
        dataclasses.replace(TinyModel(), **change)


def test_the_sentence_fits_the_default_vocabulary():
    assert len(SENTENCE.split()) <= TinyModel().vocabulary - 259
