"""Many texts through a BPE tokenizer at once, in arrays: the ids of the tokenizer, made several times as fast.

Why the ids are equal. Without normaliser and pre-tokeniser a text is one long word to the tokenizer: it begins with one
piece a character and joins neighbours, the merge that stands first in the list before all others, leftmost first. A piece
over the border between two characters ``a|b`` can only come of a merge whose left part ends in ``a`` and whose right part
begins with ``b``. Where the list has no such merge the two sides never meet, and since merges on one side change nothing
on the other, each side has the ids it has by itself. Most borders are of that kind (punctuation, and most pairs of Hanzi),
so a text falls into short runs:

- a run of one character is that character's entry;
- of two characters, one table says which piece they make, if any;
- longer ones (a tenth of the runs) are given to the tokenizer once, and remembered.

A character without an entry becomes the byte pieces of its UTF-8, which no merge touches. What stands for itself wherever
it is found in a text (``<|user|>``) is looked for first, as the tokenizer does.

All this holds for a tokenizer of which :func:`_is_local` can say so; any other encodes its texts by itself.
"""

from __future__ import annotations

import functools
import json
import re
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import tokenizers

Encode = Callable[[Sequence[str]], tuple[np.ndarray, list[int]]]
"""Texts -> (N,) uint16, the ids of all texts, each with the end's id after it; and how many are of each text."""

REMEMBERED = 1 << 18
"""Characters of runs that are remembered; then it begins anew, so memory stays flat (about 20 MB)."""
_TABLE = 1 << 25  # entries of the table of pairs: 64 MB
# places without an id: taken in by the left one, end of a text, no entry
_GONE, _END, _UNKNOWN = 0xFFFF, 0xFFFE, 0xFFFD
_APART, _LONGER = 0xFFFF, 0xFFFE  # pairs that make no piece: no merge joins them; one does, inside of a longer piece
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def encoder(tokenizer: tokenizers.Tokenizer, eos_id: int) -> Encode:
    """How to encode with this tokenizer; ``eos_id`` ends each text. The ids are those of ``encode_batch_fast``.

    Truncation and padding, which some files ask for, are turned off: a corpus is encoded whole.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    made = json.loads(tokenizer.to_str())
    made["model"]["vocab"] = tokenizer.get_vocab(with_added_tokens=False)  # the file names each id once
    if eos_id < _UNKNOWN and _is_local(made):
        return _Bulk(tokenizer, made, eos_id).encode
    return functools.partial(_each, tokenizer, eos_id)


def _each(tokenizer: tokenizers.Tokenizer, eos_id: int, texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    flat, lengths = array("H"), []
    for encoded in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
        ids = encoded.ids
        ids.append(eos_id)
        flat.fromlist(ids)
        lengths.append(len(ids))
    return np.asarray(flat), lengths


def _is_local(made: dict[str, Any]) -> bool:
    """Whether a tokenizer (its ``tokenizer.json``) is the plain kind that the reasoning above is about.

    Nothing acts on a text before or after the merges; every character has an entry or 256 byte pieces to be spelt with,
    none of which takes part in a merge; the pieces that are found in a text are found as they are written.
    """
    model, steps = made["model"], ("normalizer", "pre_tokenizer", "post_processor")
    if model["type"] != "BPE" or any(made[step] is not None for step in steps):
        return False
    changes = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")
    vocab, merges = model["vocab"], model["merges"]
    parts, ids = {part for merge in merges for part in merge}, set(vocab.values())
    if not model["byte_fallback"] or not vocab.keys() >= set(_BYTES) or not parts.isdisjoint([*_BYTES, ""]):
        return False
    if any(model[change] for change in changes) or len(ids) < len(vocab) or max(ids) >= _UNKNOWN:
        return False
    if not all(_is_found_as_written(added, vocab, ids) for added in made["added_tokens"]):
        return False
    return (len({left[-1] for left, _ in merges}) + 1) * (len({right[0] for _, right in merges}) + 1) <= _TABLE


def _is_found_as_written(added: dict[str, Any], vocab: dict[str, int], ids: set[int]) -> bool:
    """Longer than a character, without conditions on what stands around it, and its id means nothing else."""
    content, index = added["content"], added["id"]
    conditions = any(added[name] for name in ("single_word", "lstrip", "rstrip", "normalized"))
    alone = vocab.get(content) == index or index not in ids
    return len(content) > 1 and "\0" not in content and alone and index < _UNKNOWN and not conditions


class _Bulk:
    """The tables of a tokenizer, and the longer runs that have been seen."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, made: dict[str, Any], eos_id: int) -> None:
        vocab, merges = made["model"]["vocab"], made["model"]["merges"]
        self._tokenizer, self._eos_id = tokenizer, eos_id
        self._known: dict[str, bytes] = {}
        self._size = 0
        self._added = {added["content"]: added["id"] for added in made["added_tokens"]}
        self._starts = {content[:2] for content in self._added}
        self._any_added = re.compile("|".join(map(re.escape, sorted(self._added, key=len, reverse=True))))
        self._bytes = np.array([vocab[piece] for piece in _BYTES], np.uint16)
        self._single = np.full(0x110000, _UNKNOWN, np.uint16)
        for piece, index in vocab.items():
            if len(piece) == 1:
                self._single[ord(piece)] = index
        self._pair_tables(vocab, merges)

    def _pair_tables(self, vocab: dict[str, int], merges: list[list[str]]) -> None:
        """``pairs[left[a] + right[b]]``: what the characters with ids a and b make; 0 is for all that join nothing."""
        lefts = {c: n + 1 for n, c in enumerate(sorted({left[-1] for left, _ in merges}))}
        rights = {c: n + 1 for n, c in enumerate(sorted({right[0] for _, right in merges}))}
        width = len(rights) + 1
        self._left, self._right = np.zeros(1 << 16, np.intp), np.zeros(1 << 16, np.intp)
        for table, places, step in ((self._left, lefts, width), (self._right, rights, 1)):
            for character, place in places.items():
                if character in vocab:
                    table[vocab[character]] = place * step
        self._pairs = np.full((len(lefts) + 1) * width, _APART, np.uint16)
        for left, right in merges:
            at = lefts[left[-1]] * width + rights[right[0]]
            if len(left) == len(right) == 1:
                self._pairs[at] = vocab[left + right]
            elif self._pairs[at] == _APART:
                self._pairs[at] = _LONGER

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        """See `Encode`."""
        joined = "\0".join(texts) + "\0"
        points = np.frombuffer(joined.encode("utf-32-le"), "<u4")  # (C,) one for each character
        ids = self._single.take(points)
        ids[np.cumsum([len(text) + 1 for text in texts]) - 1] = _END
        if any(start in joined for start in self._starts):
            for found in self._any_added.finditer(joined):
                start, stop = found.span()
                ids[start], ids[start + 1 : stop] = self._added[found.group()], _GONE
        self._merge(joined, ids)
        flat = self._spelt(ids[ids != _GONE], points[ids == _UNKNOWN])
        ends = np.flatnonzero(flat == _END)
        flat[ends] = self._eos_id
        return flat, np.diff(ends, prepend=-1).tolist()

    def _merge(self, joined: str, ids: np.ndarray) -> None:
        """(C,) ids of characters become those of pieces, each at its first character or, in a longer run, to the left."""
        pairs = self._pairs.take(self._left.take(ids[:-1]) + self._right.take(ids[1:]))  # (C - 1,)
        linked = np.zeros(len(pairs) + 2, np.bool_)  # one more on each side: nothing
        np.not_equal(pairs, _APART, out=linked[1:-1])
        two = linked[1:-1] & ~linked[:-2] & ~linked[2:]
        linked[1:-1] ^= two
        at = np.flatnonzero(two & (pairs != _LONGER))
        ids[at], ids[at + 1] = pairs[at], _GONE
        edges = np.flatnonzero(linked[1:] != linked[:-1])
        if not len(edges):
            return
        runs = [joined[a : b + 1] for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)]
        ids[linked[1:] | linked[:-1]] = np.frombuffer(self._pieces(runs), np.uint16)

    def _pieces(self, runs: list[str]) -> bytes:
        """The ids of all runs, uint16; as many as characters, `_GONE` where there are fewer."""
        known = self._known
        if new := set(runs).difference(known):
            if self._size > REMEMBERED:
                known.clear()
                self._size, new = 0, set(runs)
            names = list(new)
            self._size += sum(map(len, names))
            for run, encoded in zip(
                names, self._tokenizer.encode_batch_fast(names, add_special_tokens=False), strict=True
            ):
                ids = encoded.ids
                known[run] = array("H", ids + [_GONE] * (len(run) - len(ids))).tobytes()
        return b"".join(map(known.__getitem__, runs))

    def _spelt(self, flat: np.ndarray, unknown: np.ndarray) -> np.ndarray:
        """``flat`` with the byte pieces of each unknown character in its place."""
        if not len(unknown):
            return flat
        times = np.ones(len(flat), np.intp)
        times[flat == _UNKNOWN] = 1 + (unknown > 0x7F) + (unknown > 0x7FF) + (unknown > 0xFFFF)
        flat = np.repeat(flat, times)
        utf8 = unknown.tobytes().decode("utf-32-le").encode()
        flat[flat == _UNKNOWN] = self._bytes.take(np.frombuffer(utf8, np.uint8))
        return flat
