"""Cleaning rules for what web pages, markdown and translator models leave in a story."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from litgpt_zh.corpus.clean_marks import newlines, spaces
from litgpt_zh.corpus.clean_rule import HAN, Drop, Limits, around
from litgpt_zh.prompts import plain

_REASONING = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.S)
_HIDDEN = tuple(
    (re.compile(opening, re.I), re.compile(closing, re.I))
    for opening, closing in (("<!--", "-->"), (r"<script\b[^<>]*>", "</script>"), (r"<style\b[^<>]*>", "</style>"))
)
_NAMES = (
    "a abbr article b big blockquote body br center code dd div dl dt em figure font footer h[1-6] head header hr html "
    "i img iframe input label li link main meta nav ol p pre s script section small span strong style sub sup table tbody td th thead "
    "title tr u ul video"
).replace(" ", "|")
_TAG = re.compile(rf"(?<!`)</?(?:{_NAMES})(?:\s[^<>]*|/)?>", re.I)
_BREAK = re.compile(r"<(?:br|hr)\s*/?>|</(?:p|div|li|tr|h[1-6]|blockquote|section|article)>", re.I)
_ENTITY = re.compile(r"&(?:#\d{2,7}|#x[0-9a-f]{2,6}|[a-z]{2,8});", re.I)

_PICTURE = re.compile(r"!\[[^\]\n]*\]\([^()\s]*(?:\s+\"[^\"\n]*\")?\)")
_LINKED = re.compile(r"\[([^\]\n]+)\]\((?:https?:|www\.|mailto:|/|#)[^()\s]*(?:\s+\"[^\"\n]*\")?\)")
_FENCE = re.compile(r"\A```[a-z]*\n(.*?)\n?```\Z", re.S)
_HEADING = re.compile(r"^ *#{1,6} +(.*?)(?: +#+)?$", re.M)
_QUOTED = re.compile(r"^ *> ?", re.M)
_RULE = re.compile(r"^ *([-*_])(?: *\1){2,} *$", re.M)
_BOLD = re.compile(r"(\*\*|__)(?=\S)([^*_\n]+?)(?<=\S)\1")
_MARKDOWN = re.compile(r"```|\*\*|__|^ *(?:#|>|[-*_] *[-*_])|\]\(", re.M)
_ADDRESS = f'(?:https?://|www\\.)[^\\s<>()"`{HAN}，。！？；：、“”（）《》【】]+'
_LINK = re.compile(f" ?\\({_ADDRESS}\\)|（{_ADDRESS}）|<{_ADDRESS}>|`{_ADDRESS}`|“{_ADDRESS}”|{_ADDRESS}(?<![.,;:!?])")

_OPENING = re.compile(
    r"(?:(?:好的|当然可以|当然|没问题|可以|您好|你好|Sure|Of course|Certainly|Okay|OK)[，,。！!～~]?\s*)?"
    r"(?:(?:以下|下面|这|此|这里)(?:就)?(?:是|为)[^\n。！？：:]{0,24}(?:翻译|译文|译本|中文版|改写|故事|内容)[^\n。！？：:]{0,12}[：:]"
    r"|(?:中文|故事|参考|简体中文)?(?:翻译|译文)(?:结果|版本|内容|如下)?[：:]"
    r"|(?:Here(?:'s| is)|The following is|This is)[^\n]{0,60}(?:translat|Chinese|story)[^\n]{0,30}[：:]"
    r"|Translation[：:])\s*",
    re.I,
)
_GREETING = re.compile(
    r"(?:好的|当然可以|没问题)[，,！!。]\s*(?:我来|我会|让我)[^\n：:]{0,30}(?:翻译|改写|写)[^\n]{0,20}[：:。！!]\s*\n"
)
_CLOSING = re.compile(
    r"\n\s*[（(【*]*(?:希望(?:这|以上|我的|上述)[^\n]{0,40}(?:翻译|译文|帮助|回答|满意|喜欢|要求)[^\n]*"
    r"|(?:如果|如|若)(?:您|你)?[^\n]{0,24}(?:需要|问题|修改|要求|帮助)[^\n]{0,40}(?:告诉我|告知|联系|提出|随时|帮助您|为您)[^\n]*"
    r"|(?:以上(?:就)?(?:是|为)[^\n]{0,24}(?:翻译|译文|全部内容)[^\n]*)"
    r"|(?:翻译|译)(?:者)?(?:注|说明|备注|完毕|完成|结束)[^\n]*"
    r"|(?:注|说明|备注)[：:][^\n]{0,60}(?:翻译|译文|原文|英文|直译|意译)[^\n]*"
    r"|(?:I hope this|Note:|Let me know)[^\n]*)\s*\Z",
    re.I,
)
_AS_A_MODEL = re.compile(
    r"(?<![你您他她它以])(?:作为|身为)(?:一|1)?(?:个|名|款|位|种)?[^，。！？\n你您他她它们]{0,10}?(?:AI|人工智能|语言模型|大模型|聊天机器人|虚拟助手|智能助手)"
    r"|我(?:只|仅仅)是(?:一)?(?:个|名|款)?(?:AI|人工智能|[大型]*语言模型)"
    r"|As an? (?:AI|artificial intelligence|(?:large )?language model)|I'm (?:just )?an AI",
    re.I,
)
_SORRY = re.compile(
    r"\W*(?:(?:非常|很|十分|真)?(?:抱歉|对不起|遗憾)[^\n。！？“]{0,16}?)?(?:我|本人)?(?:无法|不能|不可以|没有办法|没法)"
    r"(?:为您|帮您|为你|帮你|协助您|直接|继续|完成)?[^\n。！？，“]{0,8}?"
    r"(?:翻译|生成|提供|满足|回答|处理|协助|访问|执行|创作|输出|完成)(?:[^\n。！？，“]{0,12})?"
    r"(?:请求|要求|内容|问题|故事|文本|译文|翻译|信息|任务|链接|帮助|这|该|您)"
    r"|\W*(?:I'm sorry|I am sorry|Sorry|I apologi[sz]e)[,，]?[^\n]{0,20}(?:can't|cannot|unable|can not)"
    r"|\W*I (?:can't|cannot|am unable to|can not) (?:assist|help|translate|fulfill|provide|generate)",
    re.I,
)
_UNTRANSLATED = re.compile(r"(?<![A-Za-z])(?:[A-Za-z][A-Za-z'’]*[ ,.;:!?\"“”'’—\n-]+){7}[A-Za-z]{2,}")


def _outside_code(change: Callable[[str], str], text: str, limits: Limits) -> str:
    """``change`` where the text is not fenced as code."""
    parts = text.split("```")
    parts[::2] = map(change, parts[::2])
    return spaces("```".join(parts), limits)


def markup(text: str, limits: Limits) -> str:
    """Without HTML tags, comments, scripts and a model's ``<think>`` passages; entities such as ``&nbsp;`` as characters.

    Only HTML's own tag names count: ``<三只小熊>`` stays, and so does code.
    """
    if "<" in text and (_TAG.search(text) or "<!--" in text or _REASONING.search(text)):
        text = _outside_code(_untagged, _REASONING.sub("", text), limits)
    if "&" in text and _ENTITY.search(text):
        text = _outside_code(lambda part: newlines(_ENTITY.sub(_entity, part), limits), text, limits)
    return text


def _untagged(text: str) -> str:
    for opening, closing in _HIDDEN:
        text = _without(text, opening, closing)
    return _TAG.sub("", _BREAK.sub("\n", text))


def _without(text: str, opening: re.Pattern[str], closing: re.Pattern[str]) -> str:
    """Without what stands between each pair, the pair included; an opening that is never closed stays (one pattern for
    both would look for the missing end again from every opening)."""
    parts, at = [], 0
    while (start := opening.search(text, at)) and (end := closing.search(text, start.end())):
        parts.append(text[at : start.start()])
        at = end.end()
    return "".join(parts) + text[at:]


def _entity(found: re.Match[str]) -> str:
    character = html.unescape(found.group())
    return character if character.isprintable() or character.isspace() else found.group()


def markdown(text: str, limits: Limits) -> str:
    """Headings, bold, quotes, rules and a fence around all as plain text; of a link its words, of a picture nothing.

    Lists keep their dashes and numbers, code its fences, and a lone asterisk stays.
    """
    return _outside_code(_unmarked, _FENCE.sub("\\1", text), limits) if _MARKDOWN.search(text) else text


def _unmarked(text: str) -> str:
    text = _LINKED.sub("\\1", _PICTURE.sub("", _RULE.sub("", text)))
    return _BOLD.sub("\\2", _QUOTED.sub("", _HEADING.sub("\\1", text)))


def links(text: str, limits: Limits) -> str:
    """Without web addresses, and the brackets around one."""
    if "://" not in text and "www." not in text:
        return text
    return _outside_code(lambda part: _LINK.sub("", part), text, limits)


def remarks(text: str, limits: Limits) -> str:
    """Without what a translator model says before and after its translation: 以下是翻译：, 译文：, 希望这个翻译对您有帮助。"""
    opened = _GREETING.match(text)
    rest = text[opened.end() :] if opened else text
    opened = _OPENING.match(rest)
    rest = rest[opened.end() :] if opened else rest
    if "\n" in rest and (closed := _CLOSING.search(rest)):
        rest = rest[: closed.start()]
    return text if len(rest) == len(text) else rest.strip()


def refusals(text: str, limits: Limits) -> str | Drop:
    """Dropped when it speaks as a model (作为一个AI…, As an AI) or begins by declining (抱歉，我无法翻译…)."""
    found = _AS_A_MODEL.search(text) or _SORRY.match(text)
    return Drop(around(text, *found.span())) if found else text


def untranslated(text: str, limits: Limits) -> str | Drop:
    """Dropped when eight English words follow each other: a passage was left untranslated, or the source came along.

    With ``min_chinese`` 0, which keeps any language, it does not apply.
    """
    found = _UNTRANSLATED.search(text) if limits.min_chinese > 0 else None
    return Drop(around(text, *found.span())) if found else text


def control_pieces(text: str, limits: Limits) -> str | Drop:
    """Dropped when it holds a control piece such as ``<|user|>``: it would forge a turn or an ending."""
    return text if "<|" not in text or plain(text) == text else Drop(around(text, text.find("<|"), text.find("<|") + 8))
