"""How many tokens a model is served with when nobody says: as vLLM derives it from config.json."""

from collections.abc import Iterator

from moorage_common.modelfiles.config_keys import ConfigKeys

_LENGTH_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
"""The smallest of these counts."""
_UNKNOWN = 2048
"""vLLM's, for a model that gives no length."""
_MAX_TOKENS = 2**31 - 1

_ALREADY_SCALED = frozenset(
    {"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "telechat3-yarn"}
)
"""Ways of stretching positions whose models give the length as stretched."""
_LONG_ROPE = frozenset({"su", "longrope"})


def read_context_length(language: ConfigKeys, sentences: ConfigKeys | None) -> int:
    """Returns the context length, in tokens.

    Args:
        language: What config.json says of the language model.
        sentences: What sentence-transformers says of the texts that it takes; None: nothing.
    """
    if sentences is not None and (length := sentences.number("max_seq_length", default=0)):
        return length
    ropes = list(_ropes(language))
    length = _stretched(language, ropes)
    if any(_kind(rope) in _LONG_ROPE for rope in ropes):
        # Beyond this, short texts are answered worse: it has to be asked for.
        return language.number("original_max_position_embeddings", default=length) or length
    return length


def _stretched(language: ConfigKeys, ropes: list[ConfigKeys]) -> int:
    given = [number for key in _LENGTH_KEYS if (number := language.number(key, default=0))]
    length = language.number("model_max_length", default=0) or min(given, default=_UNKNOWN)
    # Gemma 3 gives its length as stretched.
    if "gemma3" in language.model_type:
        return length
    factor = 1.0
    for rope in ropes:
        if _kind(rope) not in _ALREADY_SCALED:
            factor = rope.ratio("factor", default=factor)
    if length * factor > _MAX_TOKENS:
        raise language.fail(f"it stretches {length:,} positions by {factor:g}")
    return max(1, int(length * factor))


def _ropes(language: ConfigKeys) -> Iterator[ConfigKeys]:
    """How positions are made: once for all layers, or by the kind of layer."""
    rope = language.section("rope_parameters") or language.section("rope_scaling")
    if rope is None:
        return
    nested = rope.all_sections()
    yield from nested or (rope,)


def _kind(rope: ConfigKeys) -> str:
    return rope.text("rope_type") or rope.text("type")
