"""A conversation as token ids and a mask of what is learnt in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from litgpt_zh.constraints import parse
from litgpt_zh.prompts import ASSISTANT, CONTROL, EOS, INSTRUCTION, USER, chat_prompt, plain
from litgpt_zh.stage import UserError
from litgpt_zh.tokenizer import files

Turn = tuple[str, str]

LEARNT, ASKED = 1, 2
"""Values of a mask: a token of an answer, and one that belongs to a word which the request asks for."""


def render(turns: Sequence[Turn]) -> str:
    """The whole conversation as the model sees it: ``chat_prompt`` of it, without the opening of one more answer."""
    return chat_prompt(turns).removesuffix(ASSISTANT)


def answer_mask(ids: np.ndarray, assistant: int, eos: int) -> np.ndarray:
    """1 on the assistant's words and the ``<|endoftext|>`` that closes them, 0 elsewhere.

    No text can forge a control piece (``prompts.plain``), so the ids alone say where an answer starts and ends.

    Args:
        ids: token ids, (tokens,).
        assistant: id of ``<|assistant|>``.
        eos: id of ``<|endoftext|>``.

    Returns:
        uint8, (tokens,).
    """
    opens, closes = ids == assistant, ids == eos
    return (np.cumsum(opens) - opens - np.cumsum(closes) + closes).astype(np.uint8)


def asked_words(turns: Sequence[Turn]) -> tuple[str, ...]:
    """The words that the requests of a conversation ask for."""
    requests = (parse(content.removeprefix(INSTRUCTION)) for role, content in turns if role == "user")
    return tuple(word for request in requests if request for word in request.words)


def mark_asked(ids: np.ndarray, mask: np.ndarray, words: Sequence[Sequence[int]]) -> None:
    """Put ``ASKED`` into ``mask`` where the answer uses a word first; a word cut otherwise there stays unmarked.

    Args:
        ids: token ids, (tokens,).
        mask: of ``answer_mask``, (tokens,); changed in place.
        words: the ids of each word.
    """
    for word in words:
        starts = np.flatnonzero((ids[: len(ids) - len(word) + 1] == word[0]) & (mask[: len(ids) - len(word) + 1] > 0))
        for start in starts.tolist():
            if ids[start : start + len(word)].tolist() == list(word):
                mask[start : start + len(word)] = ASKED
                break


class Encoder:
    """The tokenizer of a folder, checked to know our control pieces."""

    def __init__(self, tokenizer_dir: Path | str) -> None:
        """
        Raises:
            UserError: no tokenizer.json, one without our control pieces, or one too large for uint16.
        """
        self.path = Path(tokenizer_dir) / files.TOKENIZER
        self.tokenizer = files.load(tokenizer_dir)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        found = {piece: self.tokenizer.token_to_id(piece) for piece in CONTROL}
        if missing := [piece for piece, id_ in found.items() if id_ is None]:
            raise UserError(
                f"{self.path}: lacks the control pieces {' '.join(missing)}; use one made by litgpt-zh tokenizer"
            )
        self.control = {piece: id_ for piece, id_ in found.items() if id_ is not None}
        if self.tokenizer.get_vocab_size() > 1 << 16:
            raise UserError(f"{self.path}: more than 65,536 entries do not fit uint16; use a smaller vocabulary")
        probe = self.tokenizer.encode(f"{USER}a{ASSISTANT}b{EOS}", add_special_tokens=False).ids
        if [id_ for id_ in probe if id_ in self.control.values()] != [self.control[p] for p in (USER, ASSISTANT, EOS)]:
            raise UserError(f"{self.path}: cuts the control pieces apart; they must be special tokens in added_tokens")

    def encode(self, conversations: Sequence[Sequence[Turn]]) -> list[tuple[np.ndarray, np.ndarray]]:
        """(ids uint16, mask uint8) of each conversation, both of shape (tokens,); see ``LEARNT`` and ``ASKED``."""
        arrays = self._ids([render(turns) for turns in conversations])
        masks = [answer_mask(ids, self.control[ASSISTANT], self.control[EOS]) for ids in arrays]
        for turns, ids, mask in zip(conversations, arrays, masks, strict=True):
            mark_asked(ids, mask, [word.tolist() for word in self._ids([plain(w) for w in asked_words(turns)])])
        return list(zip(arrays, masks, strict=True))

    def encode_prompts(self, prompts: Sequence[Sequence[Turn]]) -> list[np.ndarray]:
        """The ids of ``chat_prompt`` of each conversation, uint16 (tokens,)."""
        return self._ids([chat_prompt(turns) for turns in prompts])

    def _ids(self, texts: list[str]) -> list[np.ndarray]:
        found = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.uint16) for encoding in found]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Text with the control pieces in it."""
        return self.tokenizer.decode([int(id_) for id_ in ids], skip_special_tokens=False)
