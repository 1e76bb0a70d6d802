"""Engines' logs on disk: bounded, and read by offsets that stay true."""

import asyncio
from pathlib import Path

from moorage_agent.engines.log_file import LogFile
from moorage_agent.engines.logs import follow_log


def whole(log: LogFile, offset: int = 0) -> bytes:
    parts = []
    while (chunk := log.read(offset, limit_bytes=7)).data:
        parts.append(chunk.data)
        offset = chunk.next_offset
    return b"".join(parts)


def test_what_is_not_there_is_empty(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    assert (log.end, log.tail_offset(10), log.tail(100), whole(log)) == (0, 0, "", b"")


def test_offsets_stay_true_when_the_log_is_cut(tmp_path: Path) -> None:
    log = LogFile(tmp_path, limit_bytes=100)
    written = b""
    with log.path.open("ab", buffering=0) as engine:
        for number in range(60):
            line = b"line %d\n" % number
            engine.write(line)
            written += line
            log.rotate()
    assert log.end == len(written)
    kept = whole(log)
    assert written.endswith(kept)
    assert 100 < len(kept) < 220
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == len(kept)
    for offset in range(len(written) - len(kept), len(written)):
        assert whole(log, offset) == written[offset:]


def test_what_was_cut_away_is_skipped(tmp_path: Path) -> None:
    log = LogFile(tmp_path, limit_bytes=4)
    for text in (b"aaaaa", b"bbbbb", b"ccccc"):
        with log.path.open("ab") as engine:
            engine.write(text)
        assert log.rotate()
    assert whole(log, 0) == b"ccccc"
    assert log.read(0).next_offset == 15


def test_without_room_for_a_copy_the_content_goes_and_the_offsets_stay(tmp_path: Path) -> None:
    log = LogFile(tmp_path, limit_bytes=4)
    log.path.write_bytes(b"aaaaa")
    (tmp_path / "engine.log.partial").symlink_to("/dev/full")
    assert log.rotate()
    with log.path.open("ab") as engine:
        engine.write(b"bb")
    assert (log.end, whole(log)) == (7, b"bb")
    assert log.read(5).data == b"bb"


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = LogFile(tmp_path, limit_bytes=100)
    log.path.write_bytes(b"x" * 100)
    assert not log.rotate()


def test_the_last_lines(tmp_path: Path) -> None:
    log = LogFile(tmp_path, limit_bytes=10)
    log.path.write_bytes(b"one\ntwo\nthree\n")
    log.rotate()
    with log.path.open("ab") as engine:
        engine.write(b"four\nfive")
    assert whole(log, log.tail_offset(1)) == b"five"
    assert whole(log, log.tail_offset(3)) == b"three\nfour\nfive"
    assert whole(log, log.tail_offset(100)) == b"one\ntwo\nthree\nfour\nfive"
    assert log.tail(6) == "r\nfive"


def test_lines_longer_than_a_piece(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    log.path.write_bytes(b"a" * 200_000 + b"\n" + b"b" * 200_000 + b"\n")
    assert whole(log, log.tail_offset(1)) == b"b" * 200_000 + b"\n"


def test_an_offset_past_the_end_starts_at_what_is_there(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    log.path.write_bytes(b"new")
    assert whole(log, 1_000) == b"new"


async def test_following_goes_on_as_more_is_printed(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    log.path.write_bytes(b"old\nlast\n")
    chunks = follow_log(log, tail_lines=1, offset=0, follow=True)
    assert (await anext(chunks)).data == b"last\n"
    more = asyncio.ensure_future(anext(chunks))
    with log.path.open("ab") as engine:
        engine.write(b"more\n")
    chunk = await more
    assert (chunk.data, chunk.next_offset) == (b"more\n", 14)
    await chunks.aclose()


async def test_without_following_it_ends(tmp_path: Path) -> None:
    log = LogFile(tmp_path)
    log.path.write_bytes(b"0123456789")
    chunks = [chunk async for chunk in follow_log(log, tail_lines=0, offset=4, follow=False)]
    assert [(chunk.data, chunk.next_offset) for chunk in chunks] == [(b"456789", 10)]
