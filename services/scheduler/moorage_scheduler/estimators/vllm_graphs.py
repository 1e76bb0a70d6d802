"""CUDA graphs in vLLM: which batches it captures, and what that takes."""

_GRAPH_BLOCK_BYTES = 300 * 2**10
"""What one block takes in one graph: an assumption fitted to what vLLM logs.

"Estimated CUDA graph memory", or what capturing took: 0.73 GiB for 86 graphs of 32 blocks (Qwen3.5-9B), 1.55 for 86
of 64 (Qwen3.6-27B; 0.71 in the end), 0.67 for 67 of 32 (LLaVA-1.6-Mistral-7B), 0.65 for 67 of 34 (Gemma-3-4B), 1.03
for 83 of 36 (gpt-oss-120b), 3.45 for 67 of 94 (Qwen3-235B-A22B): 210 to 570 KiB, most near 300.
"""
_GRAPH_BYTES = 2**20
"""The least that vLLM counts for a graph: `profile_cudagraph_memory` in vllm/v1/worker/gpu_model_runner.py."""
_LARGEST = 512
"""Tokens of the largest batch that is captured: `_set_cudagraph_sizes` in vllm/config/vllm.py."""


def captured_sizes(max_num_seqs: int, max_num_batched_tokens: int) -> tuple[int, ...]:
    """Returns the sizes of batches that are captured: `_set_cudagraph_sizes`, vLLM 0.32.0."""
    largest = min(2 * max_num_seqs, _LARGEST, max_num_batched_tokens)
    sizes = {1, 2, 4, max_num_seqs, max_num_batched_tokens, *range(8, 256, 8), *range(256, _LARGEST + 1, 16)}
    return tuple(sorted(size for size in sizes if size <= largest))


def graph_bytes(*, blocks: int, max_num_seqs: int, max_num_batched_tokens: int, generates: bool) -> int:
    """Returns what the graphs of one GPU take.

    Args:
        blocks: How many blocks it holds.
        max_num_seqs: Requests served at the same time.
        max_num_batched_tokens: Tokens computed at once.
        generates: Whether the model makes text: then batches that only generate have graphs of their own.

    """
    sizes = captured_sizes(max_num_seqs, max_num_batched_tokens)
    graphs = len(sizes) + (sum(size <= max_num_seqs for size in sizes) if generates else 0)
    return graphs * max(_GRAPH_BYTES, blocks * _GRAPH_BLOCK_BYTES)
