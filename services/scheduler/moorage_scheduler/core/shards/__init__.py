"""vLLM: every layer cut over GPUs, each of which gives a fixed part of its memory."""
