"""How much of a story stands word for word in other stories: exact, in one pass over a corpus of any size.

The stories are put into a suffix automaton (Blumer et al. 1985); the corpus streams past it. Only where ``LEAST`` of its
characters in a row are known to occur in a story, by their hash, is the corpus followed character by character.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

COPIED = 20
"""Characters in a row that stand in the corpus too: copied. About one and a half clauses."""
LEAST = 8
"""Shorter common spans are the language's, not the corpus's; they count as none. A power of two."""
_CHUNK = 1 << 20
_STORY, _CORPUS = "\0", "\1"
"""Between stories, and between texts of the corpus: unlike, so no span reaches over either."""


def copied(texts: Sequence[str], corpus: Iterable[str], run: int = COPIED) -> tuple[np.ndarray, np.ndarray]:
    """What the texts have in common with a corpus.

    A common span is a run of characters, punctuation included, that stands in the text and in one text of the corpus.

    Args:
        texts: N stories.
        corpus: texts; read once, never held.
        run: characters of a span that counts as copied, at least ``LEAST``.

    Returns:
        (N,) each, int64: characters of a text that lie in a common span of at least ``run`` characters; characters of its
        longest common span, 0 where that is shorter than ``LEAST``.
    """
    clean = [text.replace(_STORY, " ").replace(_CORPUS, " ") for text in texts]
    automaton = _Automaton(_STORY.join(clean))
    known = _Known(_STORY.join(clean))
    for chunk in _chunks(corpus):
        for span in set(known.spans(chunk)):
            automaton.follow(span)
    lengths = automaton.lengths()
    amounts, longest, start = [], [], 0
    for text in clean:
        own = lengths[start : start + len(text)]
        amounts.append(_covered(own, run))
        longest.append(max(own, default=0))
        start += len(text) + 1
    found = np.array(longest, dtype=np.int64)
    return np.array(amounts, dtype=np.int64), np.where(found < LEAST, 0, found)


def _covered(lengths: Sequence[int], run: int) -> int:
    """Positions under a span of at least ``run``, from the length of the longest span that ends at each position."""
    covered, reach = 0, 0
    for length in reversed(lengths):
        reach = max(reach - 1, length if length >= run else 0)
        covered += reach > 0
    return covered


def _chunks(corpus: Iterable[str]) -> Iterator[str]:
    """Texts joined to about ``_CHUNK`` characters."""
    held: list[str] = []
    size = 0
    for text in corpus:
        held.append(text)
        size += len(text) + 1
        if size >= _CHUNK:
            yield _CORPUS.join(held).replace(_STORY, _CORPUS)
            held, size = [], 0
    yield _CORPUS.join(held).replace(_STORY, _CORPUS)


class _Known:
    """The ``LEAST``-grams of a text by their 64-bit hash; a table of single bits of the hash answers most questions."""

    def __init__(self, text: str) -> None:
        self._hashes = np.unique(_hashes(text))
        self._shift = np.uint64(64 - max(16, (16 * len(self._hashes)).bit_length()))
        self._table = np.zeros(1 << (64 - int(self._shift)), dtype=bool)
        self._table[self._hashes >> self._shift] = True

    def spans(self, text: str) -> Iterator[str]:
        """Maximal pieces of ``text`` all of whose ``LEAST``-grams are known."""
        hashes = _hashes(text)
        hits = self._table[hashes >> self._shift]
        maybe = np.flatnonzero(hits)
        if not len(maybe):
            return
        place = np.searchsorted(self._hashes, hashes[maybe]).clip(max=len(self._hashes) - 1)
        hits[maybe] = self._hashes[place] == hashes[maybe]
        edges = np.flatnonzero(np.diff(hits, prepend=False, append=False)).tolist()
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            yield text[start : stop + LEAST - 1]


def _hashes(text: str) -> np.ndarray:
    """Polynomial hashes mod 2**64 of the ``LEAST``-grams, spread over the high bits; by doubling, 3 steps for 8."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    hashes, width, base = codes.astype(np.uint64), 1, 0x9E3779B97F4A7C15
    while width < LEAST:
        hashes = hashes[:-width] * np.uint64(base) + hashes[width:] if len(hashes) > width else hashes[:0]
        width, base = 2 * width, base * base % 2**64
    return hashes * np.uint64(0xD6E8FEB86659FD93)


class _Automaton:
    """The suffix automaton of a text. A state is a set of its substrings, all suffixes of the longest of them."""

    def __init__(self, text: str) -> None:
        self._next: list[dict[str, int]] = [{}]
        self._link = [-1]  # the state of the longest suffix that is in another state
        self._longest = [0]
        self._prefix: list[int] = []  # the state of every prefix of the text
        last = 0
        for character in text:
            last = self._append(last, character)
            self._prefix.append(last)
        self._best = [0] * len(self._next)  # longest span of the corpus that ends in each state

    def _append(self, last: int, character: str) -> int:
        new = self._state({}, 0, self._longest[last] + 1)
        at = last
        while at >= 0 and character not in self._next[at]:
            self._next[at][character] = new
            at = self._link[at]
        if at >= 0:
            there = self._next[at][character]
            if self._longest[there] != self._longest[at] + 1:  # its shorter substrings now end in other places too
                copy = self._state(dict(self._next[there]), self._link[there], self._longest[at] + 1)
                while at >= 0 and self._next[at].get(character) == there:
                    self._next[at][character] = copy
                    at = self._link[at]
                self._link[there] = copy
                there = copy
            self._link[new] = there
        return new

    def _state(self, following: dict[str, int], link: int, longest: int) -> int:
        self._next.append(following)
        self._link.append(link)
        self._longest.append(longest)
        return len(self._next) - 1

    def follow(self, text: str) -> None:
        """Remember for every state the longest span of ``text`` that ends there."""
        following, link, longest, best = self._next, self._link, self._longest, self._best
        state = length = 0
        for character in text:
            while state and character not in following[state]:
                state = link[state]
                length = longest[state]
            if character in following[state]:
                state = following[state][character]
                length += 1
            if length > best[state]:
                best[state] = length

    def lengths(self) -> list[int]:
        """For each position of the automaton's text: the longest span ending there that was followed."""
        best = self._best.copy()
        order = sorted(range(1, len(best)), key=self._longest.__getitem__)
        for state in reversed(order):  # what ends in a state ends in all shorter suffixes' states
            if best[state] and self._link[state] > 0:
                best[self._link[state]] = self._longest[self._link[state]]
        for state in order:  # and a longer prefix contains what its suffix has seen
            best[state] = max(best[state], best[self._link[state]])
        return [best[state] for state in self._prefix]
