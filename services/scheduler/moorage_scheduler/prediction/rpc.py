"""What llama.cpp sends to a device of another worker and back for each token.

Read out of llama.cpp's ggml-rpc.cpp, protocol 8.0, and counted on the wire (docs/prediction.md): the activations and
the other inputs of the device's part of the graph go out one message each, unanswered; a short message has the
graph computed that the server already knows; asking for the result is the one round trip.
"""

from dataclasses import dataclass

from moorage_scheduler.prediction.shape import ModelShape

_HEADER_BYTES = 1 + 8
"""Command and size of every request."""
_TENSOR_BYTES = 296
"""``sizeof(rpc_tensor)``, which describes a tensor in every message about one."""
_SET_BYTES = _HEADER_BYTES + _TENSOR_BYTES + 1 + 8
_GET_BYTES = _HEADER_BYTES + _TENSOR_BYTES + 8 + 8
_RECOMPUTE_BYTES = _HEADER_BYTES + 4 + 8
_ANSWER_BYTES = 8
_INPUTS = 7
"""Tensors sent for one token: counted, 6 to 9 by where in the graph the device comes."""
_HIDDEN_STATES = 2
"""How many of them are as wide as the model: counted, 1 to 3."""
_FLOAT_BYTES = 4
_MASK_BYTES = 2
_MASK_STEP = 256
"""Cells of the attention mask grow by so many."""
_BATCH = 512
"""Tokens of a prompt that are sent together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One remote device, one token."""

    bytes: float
    """There and back."""
    round_trips: float
    prefill_bytes: float
    """Of one token of a prompt."""
    prefill_round_trips: float


def traffic(shape: ModelShape, *, depth: int, last: bool) -> Traffic:
    """Returns the traffic of one remote device.

    Args:
        shape: The model.
        depth: Tokens of context.
        last: Whether the device makes the logits: then they come back in place of activations.
    """
    hidden = _FLOAT_BYTES * shape.hidden
    mask = _MASK_BYTES * -(-(depth + 1) // _MASK_STEP) * _MASK_STEP
    messages = _INPUTS * _SET_BYTES + _RECOMPUTE_BYTES + _GET_BYTES + _ANSWER_BYTES
    answer = _FLOAT_BYTES * shape.vocabulary if last else hidden
    # Of a prompt only the last token's logits are asked for.
    prefill_answer = answer / _BATCH if last else hidden
    return Traffic(
        bytes=messages + _HIDDEN_STATES * hidden + mask + answer,
        round_trips=1,
        prefill_bytes=_HIDDEN_STATES * hidden + mask + prefill_answer + messages / _BATCH,
        prefill_round_trips=1 / _BATCH,
    )
