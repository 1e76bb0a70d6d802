import pytest

from moorage_cli.chatting import piece_of


@pytest.mark.parametrize(
    ("line", "piece"),
    [
        (b'data: {"choices":[{"delta":{"content":"Ahoy"}}]}\n', "Ahoy"),
        (b'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n', ""),
        (b'data: {"choices":[],"usage":{}}\n', ""),
        (b"data: [DONE]\n", ""),
        (b": keep-alive\n", ""),
        (b"\n", ""),
    ],
)
def test_pieces_of_a_stream(line: bytes, piece: str) -> None:
    assert piece_of(line) == piece
