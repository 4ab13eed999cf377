"""Cleaning rules for what stands between the words: invisible characters, spaces, line ends, punctuation; and writing."""

from __future__ import annotations

import functools
import re
from typing import Any

from litgpt_zh.corpus.clean_rule import HAN, Limits
from litgpt_zh.prompts import EOS

_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_NEWLINE = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[ \t\xa0\u2000-\u200a\u202f\u205f\u3000]+")
_AT_EDGE = re.compile("(?<=\n) +| +(?=\n)")
_MANY_LINES = re.compile("\n{3,}")

_SAME = str.maketrans(
    "﹐﹑﹒﹔﹕﹖﹗﹙﹚｡｢｣､「」『』", "，、。；：？！（）。“”、“”‘’"
) | {code: code - 0xFEE0 for first, last in ("０９", "ＡＺ", "ａｚ") for code in range(ord(first), ord(last) + 1)}  # fmt: skip
_UNUSUAL = re.compile("[﹐﹑﹒﹔-﹗﹙﹚｡-､「」『』０-９Ａ-Ｚａ-ｚ]")
_ASCII = re.compile("[!\"'(),.:;?-]|。。")
_FULL = str.maketrans(",;:!?", "，；：！？")
_CODE = "([{=0123456789"
_BESIDE = tuple("，。！？；：、…“”‘’（）《》")
_MARK = re.compile(
    f"(?<=[{HAN}”’》）])(?:[,!?]|;(?![)D])|:(?![()DPp/]))[,!?]* ?|(?<=[A-Za-z0-9])[,;!?](?= ?[{HAN}“]) ?"
)
_STOP = re.compile(f"(?<=[{HAN}”’》）])\\.(?![.A-Za-z0-9]) ?")
_DOTS = re.compile("(?<![A-Za-z0-9./])\\.{3,}(?![./])|。{2,}")
_DASHES = re.compile(f"(?<=[{HAN}，。！？”])--+(?!>)")
_PARENTHESES = re.compile("(?<![A-Za-z0-9_\\]])\\(([^()\n]*)\\)(?![A-Za-z0-9_])")
_SINGLE = re.compile("(?<![A-Za-z0-9'])'([^'\n]*)'(?![A-Za-z0-9'])")
_SPACE_BEFORE_HAN = re.compile(f"^ (?=[{HAN}])")
_HAN = re.compile(f"[{HAN}]")


def strip_invisible(text: str, limits: Limits) -> str:
    """Without control characters, BOM, zero-width and direction marks (U+200D, which joins emoji, stays)."""
    return _INVISIBLE.sub("", text)


def newlines(text: str, limits: Limits) -> str:
    r"""Every kind of line end as ``\n``."""
    return _NEWLINE.sub("\n", text)


def spaces(text: str, limits: Limits) -> str:
    """Runs of any kind of space as one; none at the edge of a line; at most one empty line."""
    return _MANY_LINES.sub("\n\n", _AT_EDGE.sub("", _SPACES.sub(" ", text))).strip()


def end_marks(text: str, limits: Limits) -> str:
    """Without ``<|endoftext|>`` at its ends: a separator that came along, not a part of the story."""
    while text.startswith(EOS) or text.endswith(EOS):
        text = text.removeprefix(EOS).removesuffix(EOS).strip()
    return text


def punctuation(text: str, limits: Limits) -> str:
    """Beside Hanzi the marks of Chinese: ，。：；！？（）“”‘’ ……; corner brackets as quotation marks; full-width letters and
    digits as ASCII.

    Numbers (3.14, 1,000, 8:30), addresses, file names, code and English keep their marks; a straight quotation mark is
    only turned where a line has an even number of them.
    """
    if _UNUSUAL.search(text):
        text = text.translate(_SAME)
    if not _ASCII.search(text):
        return text
    text = _DOTS.sub("……", text)
    text = _STOP.sub("。", text)
    text = _MARK.sub(lambda found: found.group().rstrip(" ").translate(_FULL), text)
    text = _PARENTHESES.sub(lambda found: _if_chinese(found, "（", "）"), _DASHES.sub("——", text))
    if "'" in text:
        text = _SINGLE.sub(lambda found: _if_chinese(found, "‘", "’"), text)
    if '"' in text:
        text = "\n".join(map(_quotes, text.split("\n")))
    return text


def _if_chinese(found: re.Match[str], opening: str, closing: str) -> str:
    return f"{opening}{found[1]}{closing}" if _HAN.search(found[1]) else found.group()


def _quotes(line: str) -> str:
    parts = line.split('"')
    if len(parts) == 1 or len(parts) % 2 == 0 or not _HAN.search(line):
        return line
    for n in range(1, len(parts), 2):
        before = parts[n - 1][-1:]
        chinese = _HAN.search(parts[n]) or _HAN.match(before) or before in _BESIDE
        if chinese and not (before and before in _CODE):
            parts[n] = f"“{parts[n]}”"
            parts[n + 1] = _SPACE_BEFORE_HAN.sub("", parts[n + 1])
        else:
            parts[n] = f'"{parts[n]}"'
    return _MARK.sub(lambda found: found.group().rstrip(" ").translate(_FULL), "".join(parts))


def simplified(text: str, limits: Limits) -> str:
    """Traditional characters as simplified ones, by OpenCC's dictionaries of words and characters (t2s).

    A text of GB2312 characters alone has none and is left as it is.
    """
    if not limits.simplified:
        return text
    try:
        text.encode("gb2312")
    except UnicodeEncodeError:
        return converter().convert(text)
    return text


@functools.cache
def converter() -> Any:
    """OpenCC, loaded once a process.

    Raises:
        ImportError: the package ``opencc`` is not installed.
    """
    from opencc import OpenCC

    return OpenCC("t2s")
