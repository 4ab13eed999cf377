"""What a translation must be: pure rules, each with a name that is counted and a sentence the model is told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from litgpt_zh.constraints import Constraints, check, parse, render
from litgpt_zh.corpus.clean import chinese_share
from litgpt_zh.prompts import plain
from litgpt_zh.translate.prompts import Country
from litgpt_zh.translate.read import Item
from litgpt_zh.translate.reply import Parts

RATIO = (0.7, 3.5)
"""Chinese characters per English word. 36 picture books translated by people lie between 0.9 and 2.2, in the middle 1.5;
outside these wider bounds something is missing or was added."""
CHINESE = 0.9
_DIGITS = re.compile(r"[0-9]+")
_CLOSED = re.compile(r"[。！？…～!?.][”’」』）\"'*]*\Z")
_HAN = re.compile(r"[\u3400-\u9fff]")
_WORD = re.compile(r"[A-Za-z']+")
_ENDING = r"(?:e?s|e?d|e?r|e?st|ing|ings|ly|i(?:es|ed|er|est|ly|ness)|'s)?"
_SENTENCE = re.compile(r"[^。！？…\n]+[。！？…]*[”」]?")
_PREAMBLE = re.compile(
    r"\A\s*(?:以下是|下面是|这是.{0,8}翻译|這是.{0,8}翻譯|(?:中文)?(?:译文|翻译|譯文|翻譯)\s*[:：]|here is|here's|sure|certainly|translation)",
    re.I,
)
# "好的，" is the model's own word, except where the English says it too
_YES = re.compile(r"\A\s*(?:好的|好吧|当然|當然)(?:可以)?[\s，,。.！!：:]")
_ENGLISH_YES = re.compile(
    r"\A\W*(?:ok|okay|sure|good|fine|all right|alright|of course|certainly|well|yes|great)\b", re.I
)
_LABELLED = re.compile(
    r"^\s*(?:故事|词汇|关键词|单词|特征|特点|摘要|总结|概要|随机句子|译文|翻译|story|words|summary|features|random sentence)\s*[:：]",
    re.I | re.M,
)
_MARKS = re.compile(r"```|<<<|>>>|\*\*|^#+ |</?[A-Za-z_]+>", re.M)
# Common characters that exist in one script only: enough to tell which of the two a text is in.
_SIMPLIFIED = re.compile("[这来说们个时会对国学见过还没让问头开门东车马鸟鱼龙欢乐边样师妈吗红给从现发进远飞树听话]")
_TRADITIONAL = re.compile("[這來說們個時會對國學見過還沒讓問頭開門東車馬鳥魚龍歡樂邊樣師媽嗎紅給從現發進遠飛樹聽話]")


@dataclass(frozen=True)
class Problem:
    """``rule`` is counted, ``text`` is told to the model, ``word`` names the word it is about."""

    rule: str
    text: str
    word: str = ""


def problems(
    item: Item, parts: Parts, keys: Sequence[str], country: Country, glossary: Mapping[str, str]
) -> list[Problem]:
    """Everything that is wrong with ``parts``; empty when the record can be used."""
    found = [
        problem for name in keys if name != "words" for problem in _text(name, getattr(parts, name), item, country)
    ]
    if "story" in keys:
        found += _story(item, parts.story, glossary)
    return found + _words(item, parts, keys) + _sentence(item, parts, keys) + _form(parts)


def constraints_of(item: Item, parts: Parts) -> Constraints:
    """The Chinese request."""
    return Constraints(parts.words, item.features, parts.summary, parts.sentence)


def settle_sentence(item: Item, parts: Parts) -> Parts:
    """Where the sentence was translated a little differently from the story, the story's own sentence is taken: free."""
    story = parts.story or item.given
    if not parts.sentence or parts.sentence in story or not _sentence_there(item):
        return parts
    best = max(_SENTENCE.findall(story), key=lambda text: _alike(text, parts.sentence), default="").strip()
    return replace(parts, sentence=best) if best and _alike(best, parts.sentence) >= 0.6 else parts


def salvage(item: Item, parts: Parts, found: Sequence[Problem]) -> Parts | None:
    """``parts`` without the words and the sentence that are not in the story; None when more is wrong or nothing is left."""
    if any(problem.rule not in ("words", "sentence") for problem in found):
        return None
    bad = {problem.word for problem in found if problem.rule == "words"}
    words = tuple(word for word in parts.words if word not in bad)
    sentence = "" if any(problem.rule == "sentence" for problem in found) else parts.sentence
    left = replace(parts, words=words, sentence=sentence)
    return left if constraints_of(item, left) else None


def _text(name: str, text: str, item: Item, country: Country) -> list[Problem]:
    if not text:
        return [Problem("empty", f"{name} is empty")]
    found = []
    if chinese_share(_DIGITS.sub("", text)) < CHINESE:
        found.append(Problem("chinese", f"{name} is not all in Chinese"))
    agrees = _YES.search(text) and not _ENGLISH_YES.search(getattr(item, name))
    if agrees or _PREAMBLE.search(text) or _LABELLED.search(text):
        found.append(
            Problem("preamble", f"{name} begins with a heading or an introduction; write only the translation")
        )
    if _MARKS.search(text) or plain(text) != text:
        found.append(Problem("marks", f"{name} contains tags or markup"))
    here = len(_SIMPLIFIED.findall(text)), len(_TRADITIONAL.findall(text))
    right, wrong = here if country == "大陆" else here[::-1]
    if wrong > right * 0.1:
        found.append(
            Problem("script", f"{name} must be in {'Simplified' if country == '大陆' else 'Traditional'} characters")
        )
    return found


def _story(item: Item, story: str, glossary: Mapping[str, str]) -> list[Problem]:
    found = []
    if story and _CLOSED.search(item.story) and not _CLOSED.search(story):
        found.append(Problem("closing", "the story breaks off: it must end with a full stop or closing quotation mark"))
    words = len(_WORD.findall(item.story))
    ratio = len(_HAN.findall(story)) / max(1, words)
    if story and words >= 8 and not RATIO[0] <= ratio <= RATIO[1]:
        found.append(Problem("length", f"the story is too {'short, something is missing' if ratio < 1 else 'long'}"))
    if story and not _same_paragraphs(item.story, story):
        found.append(Problem("paragraphs", "the story must keep the paragraphs of the English story"))
    if "对话" in item.features and not check(Constraints(features=("对话",)), story)["feature:对话"]:
        found.append(Problem("dialogue", "the speech in the story must stand in quotation marks, “ ” or 「 」"))
    for name, chinese in glossary.items():
        if chinese not in story:
            found.append(Problem("names", f"{name} must be written {chinese} in the story"))
    return found


def _same_paragraphs(english: str, chinese: str) -> bool:
    here, there = (len([line for line in text.split("\n") if line.strip()]) for text in (english, chinese))
    return here / 2 <= there <= here * 2


def _words(item: Item, parts: Parts, keys: Sequence[str]) -> list[Problem]:
    if "words" not in keys:
        return []
    found, story = [], parts.story or item.given
    for english, word in zip(item.words, parts.words, strict=True):
        if not _HAN.search(word) or _WORD.search(word):
            found.append(Problem("words", f"the translation of {english!r} is not a Chinese word", word))
        elif stands_in(english, item.story) and word not in story:
            text = f"{english!r} stands in the English story, but {word!r} does not stand in the Chinese one: the two must match"
            found.append(Problem("words", text, word))
    return found


def stands_in(word: str, story: str) -> bool:
    """Whether an English word stands in the story, in a regular form (climb, climbed; happy, happily; run, running)."""
    stem = word[:-1] if len(word) > 3 and word[-1] in "ey" else word
    twice = re.escape(word[-1]) if word[-1:].isalpha() else ""
    return bool(re.search(rf"\b{re.escape(stem)}{twice}?{_ENDING}\b", story, re.I))


def _sentence_there(item: Item) -> bool:
    return " ".join(item.sentence.split()).strip(' .!?"').lower() in " ".join(item.story.split()).lower()


def _sentence(item: Item, parts: Parts, keys: Sequence[str]) -> list[Problem]:
    story = parts.story or item.given
    if "sentence" not in keys or not parts.sentence or parts.sentence in story or not _sentence_there(item):
        return []
    return [Problem("sentence", "the sentence must stand in the story character by character")]


def _form(parts: Parts) -> list[Problem]:
    """The request must come out of ``render`` as it went in, or training would see another one."""
    asked = Constraints(parts.words, (), parts.summary, parts.sentence)
    if not asked or parse(render(asked)) == asked:
        return []
    return [
        Problem("form", "words, summary and sentence must be plain text without headings, lists or commas in a word")
    ]


def _alike(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
