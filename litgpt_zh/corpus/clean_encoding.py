"""Cleaning rules for text that was read in the wrong encoding, or lost characters on its way."""

from __future__ import annotations

import re

from litgpt_zh.corpus.clean_rule import Drop, Limits, around

_BYTE = {chr(byte): byte for byte in range(0x80, 0x100)} | {
    bytes([byte]).decode("cp1252"): byte for byte in range(0x80, 0xA0) if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
"""The byte behind a character of Latin-1 or Windows-1252; a text may mix both."""
_NEXT = "[" + "".join(re.escape(c) for c, byte in _BYTE.items() if byte < 0xC0) + "]"
_UTF8_IN_LATIN = re.compile(f"(?:[\xc2-\xdf]{_NEXT}|[\xe0-\xef]{_NEXT}{{2}}|[\xf0-\xf4]{_NEXT}{{3}})+")
_SURELY_UTF8 = re.compile(f"(?:[\xe3-\xe9\xef]{_NEXT}{{2}}){{2}}|\xe2[\x80\u20ac]{_NEXT}")
"""Two Hanzi or full-width marks in a row, or one quotation mark or dash."""
_GBK_IN_LATIN = re.compile("(?:[\xa1-\xf7][\xa1-\xfe])+")
_SURELY_GBK = re.compile("(?:[\xa1-\xf7][\xa1-\xfe]){4}")
_IN_GBK = re.compile("[锛銆鈥紝紵紒]")
"""What ，：！（ 。《》 “”—… become where UTF-8 is read as GBK, by the two ways their three bytes fall into pairs."""
SIGNS = "锛銆鈥紝紵紒鐨鏄鍦浜鍜锟"
"""Characters that misread text is full of (也 的 是 在 and the marks) and Chinese hardly knows."""
_RUINED = re.compile(f"锟斤拷|[{SIGNS}][\ufffd?]|[{SIGNS}]")
_BROKEN = re.compile("[\ufffd\ufffe\uffff\ue000-\uf8ff]+")


def mojibake(text: str, limits: Limits) -> str | Drop:
    """UTF-8 read as Latin-1, Windows-1252 or GBK, and GBK read as Latin-1, decoded again (twice if need be).

    Dropped when such text is there but bytes of it were lost: 锟斤拷, or three or more of the characters that UTF-8 read
    as GBK is full of and Chinese is not, at a share of 1% or more.
    """
    for _ in range(2):
        before = text
        if any(_is_chinese(_decode(found.group(), "utf-8")) for found in _SURELY_UTF8.finditer(text)):
            text = _UTF8_IN_LATIN.sub(lambda found: _decode(found.group(), "utf-8"), text)
        if _SURELY_GBK.search(text):
            text = _latin_to_gbk(text)
        if _IN_GBK.search(text):
            text = _gbk_to_utf8(text)
        if text == before:
            break
    ruined = list(_RUINED.finditer(text))
    if any(len(found.group()) > 1 for found in ruined) or (len(ruined) >= 3 and len(ruined) * 100 >= len(text)):
        return Drop(around(text, ruined[0].start(), ruined[0].end()))
    return text


def _decode(misread: str, encoding: str) -> str:
    try:
        return bytes(_BYTE[c] for c in misread).decode(encoding)
    except UnicodeDecodeError:
        return misread


def _latin_to_gbk(text: str) -> str:
    """Only where four in five of the pairs are common Hanzi (GB2312 level 1) or marks."""
    leads = [c for found in _GBK_IN_LATIN.finditer(text) for c in found.group()[::2]]
    if 5 * sum("\xb0" <= c < "\xd8" or c in "\xa1\xa3" for c in leads) < 4 * len(leads):
        return text
    return _GBK_IN_LATIN.sub(lambda found: _decode(found.group(), "gb2312"), text)


def _gbk_to_utf8(text: str) -> str:
    """Line by line, so that one that lost bytes does not take the others along."""
    return "\n".join(_line(line) for line in text.split("\n"))


def _line(line: str) -> str:
    try:
        found = line.encode("gb18030").decode("utf-8") if _IN_GBK.search(line) else line
    except UnicodeError:
        return line
    return found if _is_chinese("".join(filter(str.isalpha, found))) else line


def _is_chinese(text: str) -> bool:
    for encoding in ("gb2312", "big5"):
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            continue
        return True
    return False


def broken_characters(text: str, limits: Limits) -> str | Drop:
    """Without U+FFFD and private-use characters that stand alone, such as a lost emoji; dropped when they are inside or
    beside a word: what stood there is gone."""
    for found in _BROKEN.finditer(text):
        beside = text[max(0, found.start() - 1) : found.start()] + text[found.end() : found.end() + 1]
        if any(c.isalnum() for c in beside):
            return Drop(around(text, found.start(), found.end()))
    return _BROKEN.sub("", text)
