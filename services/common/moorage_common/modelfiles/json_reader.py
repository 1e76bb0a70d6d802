"""JSON in a file that is read piece by piece, taken member by member: a long object is never held whole."""

import codecs
import re
from collections.abc import Callable, Generator
from json import JSONDecodeError, JSONDecoder

from moorage_common.core.errors import FailedPrecondition
from moorage_common.modelfiles.ranges import Need

MAX_MEMBER = 1 << 20
"""Characters of one member. More are not waited for."""

_SPACE = re.compile(r"[ \t\n\r]*")
_SHOWN = 40

Take = Callable[[str, object], None]


def _refuse_constant(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


DECODER = JSONDecoder(parse_constant=_refuse_constant)
"""Strict: it knows no NaN and no Infinity."""


class JsonReader:
    """A position in a file's JSON, and the text around it that has been sent so far.

    Args:
        start: Where in the file the JSON begins, in bytes.
        end: Where it ends; within the file.
        fail: Makes the error for a problem.
        sent: What has been sent of it already.
    """

    def __init__(
        self, start: int, end: int, fail: Callable[[str], FailedPrecondition], *, sent: bytes = b""
    ) -> None:
        self._next = start
        self._end = end
        self._fail = fail
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._append(sent)

    def token(self, allowed: str) -> Generator[Need, bytes, str]:
        """Steps over the next character that is no space and returns it; it must be one of those allowed."""
        while True:
            self._at = self._skip_space(self._at)
            if self._at < len(self._text):
                break
            yield from self._more()
        found = self._text[self._at]
        if found not in allowed:
            raise self._invalid(f"expected {' or '.join(allowed)}", self._at)
        self._at += 1
        return found

    def value(self) -> Generator[Need, bytes, object]:
        """Steps over the next value and returns it."""
        while True:
            decoded = self._value()
            if decoded and self._is_over(decoded[1]):
                self._at = decoded[1]
                return decoded[0]
            yield from self._more()

    def members(self, take: Take) -> Generator[Need, bytes, None]:
        """Steps over an object, handing over each member's name and value as it comes."""
        yield from self.token("{")
        if (yield from self._peek()) == "}":
            self._at += 1
            return
        while not self._take_members(take):
            yield from self._more()

    def finish(self) -> Generator[Need, bytes, None]:
        """Makes sure that nothing but space is left."""
        while True:
            self._at = self._skip_space(self._at)
            if self._at < len(self._text):
                raise self._invalid("more comes after its end", self._at)
            if self._complete:
                return
            yield from self._more()

    @property
    def _complete(self) -> bool:
        """Whether all of the text has been sent."""
        return self._next == self._end

    def _peek(self) -> Generator[Need, bytes, str]:
        while True:
            self._at = self._skip_space(self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            yield from self._more()

    def _take_members(self, take: Take) -> bool:
        """Takes what the text so far has of whole members; returns whether the object ended."""
        while member := self._member():
            name, value, at = member
            if not isinstance(name, str):
                raise self._invalid("a name must be a string", self._at)
            mark, self._at = self._text[at], at + 1
            if mark not in ",}":
                raise self._invalid("expected , or }", at)
            take(name, value)
            if mark == "}":
                return True
        return False

    def _member(self) -> tuple[object, object, int] | None:
        """The next member, and where the mark after it is. None: not all of that has been sent."""
        text, at = self._text, self._at
        try:
            # Spaces are looked for only where there is one: it saves half of the time.
            name, at = DECODER.raw_decode(text, at if text[at] > " " else self._skip_space(at))
            at = at if text[at] > " " else self._skip_space(at)
            if text[at] != ":":
                raise self._invalid("expected :", at)
            at += 1
            value, at = DECODER.raw_decode(text, at if text[at] > " " else self._skip_space(at))
            if not self._is_over(at):
                return None
            at = at if text[at] > " " else self._skip_space(at)
            return (name, value, at) if at < len(text) else None
        except IndexError:
            return None
        except (ValueError, RecursionError) as error:
            self._check_incomplete(error)
            return None

    def _value(self) -> tuple[object, int] | None:
        """The next value, and where it ends. None: not all of it has been sent."""
        try:
            return DECODER.raw_decode(self._text, self._skip_space(self._at))
        except (ValueError, RecursionError) as error:
            self._check_incomplete(error)
            return None

    def _is_over(self, end: int) -> bool:
        """Whether a value that seems to end there does: that of 0 in 0.5e+7 shows two characters later."""
        return end + 2 < len(self._text) or self._complete

    def _check_incomplete(self, error: Exception) -> None:
        """Raises unless the error may only mean that more text must be sent."""
        if isinstance(error, RecursionError):
            raise self._fail("not JSON that could be meant: it is nested too deeply") from error
        if not isinstance(error, JSONDecodeError):
            raise self._invalid(str(error)[:80], self._at) from error
        if self._complete or len(self._text) - self._at > MAX_MEMBER:
            raise self._invalid(error.msg, error.pos) from error

    def _skip_space(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def _more(self) -> Generator[Need, bytes, None]:
        if self._complete:
            raise self._invalid("it ends too early", len(self._text))
        if len(self._text) - self._at > MAX_MEMBER:
            raise self._invalid(f"a part of it is longer than {MAX_MEMBER >> 20} MiB", self._at)
        # Twice what did not suffice: a long member is not gone through again for every byte of it.
        length = min(max(1, len(self._text) - self._at), self._end - self._next)
        window = yield Need(self._next, length)
        if len(window) < length:
            raise self._fail(f"truncated: only {self._next + len(window):,} bytes could be read")
        self._append(window)

    def _append(self, window: bytes) -> None:
        window = window[: self._end - self._next]
        self._next += len(window)
        try:
            text = self._decoder.decode(window, final=self._complete)
        except UnicodeDecodeError as error:
            raise self._fail(f"not JSON: it is not UTF-8 before byte {self._next:,}") from error
        self._text = self._text[self._at :] + text
        self._at = 0

    def _invalid(self, problem: str, at: int) -> FailedPrecondition:
        shown = self._text[at : at + _SHOWN]
        where = f"in {shown!r}" if shown else "at its end"
        return self._fail(f"not JSON: {problem} {where}")
