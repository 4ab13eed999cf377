"""Text of tokens as they come: never half a character, never part of a stop string."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

_BROKEN = "\ufffd"
_HOLD = 8
"""Tokens held back while they end in half a character (UTF-8 has at most 4 bytes); then what is whole is shown."""


class Decoder:
    """Token ids in, text out, as soon as it is sure.

    A rare character or an emoji lies in up to four byte pieces; they are held back until it is whole. Bytes that never
    become a character are left out. Control pieces have no text.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor  # a tokenizers.Tokenizer
        self.shown: list[int] = []  # the last ids shown: some decoders need what stands before
        self.held: list[int] = []

    def step(self, token: int) -> str:
        """Text that became sure with ``token``; may be empty."""
        self.held.append(token)
        text = self._text()
        if text.endswith(_BROKEN) and len(self.held) < _HOLD:
            return ""
        return self._show(text)

    def flush(self) -> str:
        """What is still held, without broken characters."""
        return self._show(self._text()) if self.held else ""

    def _text(self) -> str:
        before = self.processor.decode(self.shown, skip_special_tokens=True)
        return self.processor.decode(self.shown + self.held, skip_special_tokens=True)[len(before) :]

    def _show(self, text: str) -> str:
        # a broken tail changes how what follows it is decoded, so it is not kept as context
        self.shown = [] if _BROKEN in text else self.held
        self.held = []
        return text.replace(_BROKEN, "")


class Reader:
    """The text of one answer, up to the first stop string."""

    def __init__(self, processor: Any, stop: Sequence[str]) -> None:
        self._decoder, self._stop = Decoder(processor), tuple(stop)
        self._sure = 0  # characters decoded
        self._after: list[int] = []  # of them after each token
        self._held = ""  # decoded, and perhaps the beginning of a stop string
        self._pieces: list[str] = []
        self.stopped = False

    @property
    def text(self) -> str:
        """What was shown so far."""
        return "".join(self._pieces)

    @property
    def kept(self) -> int:
        """Tokens that lie wholly before the stop string."""
        if not self.stopped:
            return len(self._after)
        end = sum(map(len, self._pieces))
        whole = bisect_left(self._after, end) if end else 0
        return whole + (end > 0 and whole < len(self._after) and self._after[whole] == end)

    def step(self, token: int) -> str:
        """Text that is sure to belong to the answer, after one more token; ``stopped`` tells whether a stop string came."""
        return self._read(self._decoder.step(token), token_ends=True)

    def flush(self) -> str:
        """What was held back, now that no more tokens come."""
        shown = self._read(self._decoder.flush(), token_ends=False)
        if not self.stopped:
            self._pieces.append(self._held)
            shown, self._held = shown + self._held, ""
        return shown

    def _read(self, piece: str, token_ends: bool) -> str:
        if self.stopped:
            return ""
        self._sure += len(piece)
        if token_ends:
            self._after.append(self._sure)
        self._held += piece
        found = [place for place in (self._held.find(stop) for stop in self._stop) if place >= 0]
        if found:
            self.stopped, safe = True, min(found)
        else:
            safe = len(self._held) - self._overlap()
        shown, self._held = self._held[:safe], self._held[safe:]
        if shown:
            self._pieces.append(shown)
        return shown

    def _overlap(self) -> int:
        """Characters at the end of what is held that may begin a stop string."""
        most = min(len(self._held), max(map(len, self._stop), default=1) - 1)
        return next((n for n in range(most, 0, -1) if any(s.startswith(self._held[-n:]) for s in self._stop)), 0)
