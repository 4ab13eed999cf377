"""jieba's word segmentation, quiet: no log lines, no cache file in /tmp, no guessing of words it does not know."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable


class Segmenter:
    """Cuts Chinese text into words of jieba's dictionary, and of ``words``."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        with warnings.catch_warnings():  # jieba 0.42 has invalid escapes and asks for pkg_resources
            warnings.simplefilter("ignore")
            import jieba
        self._cutter = jieba.Tokenizer()
        self._cutter.FREQ, self._cutter.total = self._cutter.gen_pfdict(self._cutter.get_dict_file())
        self._cutter.initialized = True
        for word in words:
            self._cutter.add_word(word)

    def cut(self, text: str) -> list[str]:
        """The words of ``text``, in order; together they are the text."""
        return self._cutter.lcut(text, HMM=False)

    def tags(self) -> dict[str, str]:
        """Word -> part of speech, as jieba's dictionary has it."""
        with self._cutter.get_dict_file() as file:
            return {word: tag for word, _, tag in (line.decode("utf-8").split() for line in file)}

    def rarity(self, word: str) -> float:
        """-log10 of the word's share in jieba's counts: about 3 for frequent words, 7 for rare ones."""
        return -math.log10((self._cutter.FREQ.get(word) or 1) / self._cutter.total)
