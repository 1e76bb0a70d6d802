"""What a model is for, by its architecture and by the files that sentence-transformers puts beside it."""

import re
from collections.abc import Iterable

from moorage_common.core.placement import ModelCategory

_MODULES = "modules.json"
_POOLING = re.compile(r"\d+_(Pooling|LastTokenPooling|WeightedLayerPooling)/config\.json")

_SUFFIXES = (
    ("ForCausalLM", ModelCategory.LLM),
    ("ForConditionalGeneration", ModelCategory.LLM),
    ("ChatModel", ModelCategory.LLM),
    ("LMHeadModel", ModelCategory.LLM),
    ("ForTextEncoding", ModelCategory.EMBEDDING),
    ("EmbeddingModel", ModelCategory.EMBEDDING),
    ("ForMaskedLM", ModelCategory.EMBEDDING),
    ("ForRetrieval", ModelCategory.EMBEDDING),
    ("ForSequenceClassification", ModelCategory.RERANKER),
    ("ForTokenClassification", ModelCategory.RERANKER),
    ("ForRanking", ModelCategory.RERANKER),
    ("ForRewardModel", ModelCategory.RERANKER),
    ("ForRewardModeling", ModelCategory.RERANKER),
    ("ForProcessRewardModel", ModelCategory.RERANKER),
    ("RewardModel", ModelCategory.RERANKER),
    ("Model", ModelCategory.EMBEDDING),
)
"""How names of architectures end; the first that fits counts."""
_GENERATING = frozenset({"ChatGLMModel", "NVLM_D_Model", "UltravoxModel"})
"""Architectures that make text though they are called models."""
_EMBEDDING = frozenset({"ColQwen3", "ColQwen3_5", "HF_ColBERT"})


def read_category(architecture: str, files: Iterable[str]) -> ModelCategory:
    """Returns what a model is for.

    Args:
        architecture: The first that config.json names.
        files: Paths in the model's folder.
    """
    named = _of_architecture(architecture)
    names = frozenset(files)
    pools = _MODULES in names and any(map(_POOLING.fullmatch, names))
    # Some models that embed are made of an architecture that makes text.
    return ModelCategory.EMBEDDING if pools and named is ModelCategory.LLM else named


def _of_architecture(architecture: str) -> ModelCategory:
    if architecture in _GENERATING:
        return ModelCategory.LLM
    if architecture in _EMBEDDING:
        return ModelCategory.EMBEDDING
    return next(
        (category for suffix, category in _SUFFIXES if architecture.endswith(suffix)), ModelCategory.LLM
    )
