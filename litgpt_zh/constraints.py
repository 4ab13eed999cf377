"""What a story must contain: words, features, a summary, a sentence. Parse, render and check, one form everywhere."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from litgpt_zh.stage import UserError

FEATURES = {
    "Dialogue": "对话",
    "BadEnding": "坏结局",
    "Conflict": "冲突",
    "Foreshadowing": "伏笔",
    "MoralValue": "道德价值",
    "Twist": "转折",
}
"""The closed set of TinyStories-Instruct features and their Chinese names."""

# The label written by `render` comes first; the others are what people (and translators) write for it.
_LABELS = {
    "words": ("词汇", "关键词", "单词", "词语"),
    "features": ("特征", "特点"),
    "summary": ("摘要", "总结", "概要"),
    "sentence": ("随机句子", "句子"),
}
_FIELD = {label: name for name, labels in _LABELS.items() for label in labels}
_LABEL = re.compile(rf"(?:^|[\n；;])[ \t　]*({'|'.join(sorted(_FIELD, key=len, reverse=True))})[ \t　]*[：:]")
_COMMA = re.compile(r"[，,、；;\s]+")
_DIALOGUE = re.compile(r"“[^“”]+”|「[^「」]+」|\"[^\"\n]+\"")


@dataclass(frozen=True)
class Constraints:
    """One request for a story; empty fields ask for nothing."""

    words: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    summary: str = ""
    sentence: str = ""

    def __bool__(self) -> bool:
        return bool(self.words or self.features or self.summary or self.sentence)

    @staticmethod
    def of(record: dict) -> Constraints:
        """From a record with the keys ``words, features, summary, sentence`` (each optional)."""
        words, features = (_parts(record.get(key)) for key in ("words", "features"))
        return Constraints(
            words,
            tuple(FEATURES.get(feature, feature) for feature in features),
            (record.get("summary") or "").strip(),
            (record.get("sentence") or "").strip(),
        )


FIELDS = ("words", "features", "summary", "sentence")


def require_shares(name: str, shares: Mapping[str, float] | None) -> None:
    """Refuse shares that ``subset`` cannot honour.

    Raises:
        UserError: an unknown field, or a share outside 0..1.
    """
    for field, share in (shares or {}).items():
        if field not in FIELDS or not 0 <= share <= 1:
            raise UserError(f"{name}: {field}: {share} is not one of {', '.join(FIELDS)} with a share in 0..1")


def subset(constraints: Constraints, shares: Mapping[str, float], key: str) -> Constraints:
    """A part of what is asked for: each field stays with its share (1 where not named), by a coin that ``key`` decides.

    A request that would be left empty stays whole, so nothing is lost.
    """
    coin = random.Random(key)
    gone = [name for name in FIELDS if coin.random() >= shares.get(name, 1.0)]
    empty: dict[str, Any] = {name: Constraints.__dataclass_fields__[name].default for name in gone}
    part = replace(constraints, **empty)
    return part or constraints


def render(constraints: Constraints) -> str:
    """The lines a model sees: ``词汇：…\\n特征：…\\n摘要：…\\n随机句子：…``, only the fields that are set."""
    lines = []
    if constraints.words:
        lines.append("词汇：" + "，".join(constraints.words))
    if constraints.features:
        lines.append("特征：" + "，".join(constraints.features))
    if constraints.summary:
        lines.append("摘要：" + constraints.summary)
    if constraints.sentence:
        lines.append("随机句子：" + constraints.sentence)
    return "\n".join(lines)


def parse(text: str) -> Constraints | None:
    """Read constraints out of what a person typed; None when there are none.

    Labels stand at the start of a line or after a semicolon, in any order, with a colon of either width; words and
    features are separated by commas of either width, 、 or spaces. Unlike a substring search, ``名字叫：小明`` or a
    story that contains 字 or 总结 inside a sentence is no label. Text outside the labels makes it free text (None): a
    person's own instruction is never thrown away.
    """
    found = list(_LABEL.finditer(text))
    if not found or text[: found[0].start()].strip():
        return None
    values: dict[str, str] = {}
    for here, after in zip(found, [*found[1:], None], strict=True):
        name = _FIELD[here.group(1)]
        value = text[here.end() : after.start() if after else len(text)].strip(" \t\r\n；;　")
        values[name] = f"{values[name]}，{value}" if name in values else value
    constraints = Constraints(
        words=_split(values.get("words", "")),
        features=tuple(FEATURES.get(f, f) for f in _split(values.get("features", ""))),
        summary=values.get("summary", ""),
        sentence=values.get("sentence", ""),
    )
    return constraints or None


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in _COMMA.split(text.strip("。.")) if part)


def _parts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return _split(value)
    return tuple(str(part).strip() for part in value if str(part).strip()) if isinstance(value, (list, tuple)) else ()


def check(constraints: Constraints, text: str) -> dict[str, bool | None]:
    """Which constraints ``text`` meets.

    Keys: ``word:<word>``, ``feature:<feature>``, ``sentence``, ``summary``. Words and the sentence must stand in the
    text verbatim, 对话 is a pair of quotation marks with something between; None means that no rule can measure it.
    """
    result: dict[str, bool | None] = {f"word:{word}": word in text for word in constraints.words}
    for feature in constraints.features:
        result[f"feature:{feature}"] = bool(_DIALOGUE.search(text)) if feature == "对话" else None
    if constraints.sentence:
        result["sentence"] = constraints.sentence in text
    if constraints.summary:
        result["summary"] = None
    return result


def met(constraints: Constraints, text: str) -> bool:
    """Whether no measurable constraint is missed."""
    return all(value is not False for value in check(constraints, text).values())
