"""The agent's messages: translate, reflect, improve, repair. What never changes comes first, so that it can be cached.

The three steps follow translation-agent (Andrew Ng, MIT): an expert linguist drafts, lists criticisms on accuracy,
fluency, style and terminology, and edits. The parts of an item travel as JSON or between numbered marks; the labels of
the data set are never shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from litgpt_zh.translate.read import Item

VERSION = 1
"""Goes into the manifest; raise it when a message changes."""

Messages = list[dict[str, str]]
Style = Literal["json_schema", "json_object", "delimiters"]
Build = Callable[[Style], Messages]
"""Messages in the form of reply that is in force when they are sent."""
Country = Literal["大陆", "台湾", "香港"]

_LANGUAGE = {
    "大陆": "Simplified Chinese as written in mainland China (简体中文)",
    "台湾": "Traditional Chinese as written in Taiwan (繁體中文，臺灣用語)",
    "香港": "Traditional Chinese as written in Hong Kong (繁體中文，香港用語)",
}
_MEANING = {
    "words": "single words; translate each into the exact form in which it stands in your Chinese story",
    "summary": "one short sentence or two",
    "sentence": "one sentence of the story; it must stand in your Chinese story character by character",
    "story": "a short story for small children; keep its paragraphs and its dialogue",
}
_RULES = (
    "Plain, natural words a small child understands; do not add, explain or leave out anything. "
    "Chinese punctuation throughout, speech in {quotes}. No English words, no notes, no headings."
)


def keys_of(item: Item, *, story: bool) -> tuple[str, ...]:
    """The parts that are to be translated, in the order they are sent."""
    names = ("words", "summary", "sentence", *(("story",) if story else ()))
    return tuple(name for name in names if getattr(item, name))


def draft(item: Item, keys: Sequence[str], style: Style, country: Country, glossary: Mapping[str, str]) -> Messages:
    """Step 1, the translation."""
    return [
        {"role": "system", "content": _expert(country) + "\n" + _form(style)},
        {"role": "user", "content": _names(glossary) + _packed(item, keys, style)},
    ]


def fit(item: Item, keys: Sequence[str], style: Style, country: Country, glossary: Mapping[str, str]) -> Messages:
    """Mode ``constraints``: only words and summary; the Chinese story is there already."""
    task = (
        " The Chinese story exists already: translate only the parts you are sent. Each of the words must stand in the "
        "Chinese story exactly as you write it, so copy it from there."
    )
    story = f"The Chinese story:\n{item.given}\n\n"  # the English one would double the price and add nothing
    return [
        {"role": "system", "content": _expert(country) + task + "\n" + _form(style)},
        {"role": "user", "content": story + _names(glossary) + _packed(item, keys, style)},
    ]


def reflect(source: str, translation: str, complaints: Sequence[str], country: Country) -> Messages:
    """Step 2, criticisms and nothing else."""
    seen = "\n\nFound by rules:\n" + "\n".join(f"- {text}" for text in complaints) if complaints else ""
    return [
        {
            "role": "system",
            "content": f"You are an expert linguist who reviews translations from English to {_LANGUAGE[country]}. "
            "Give a short list of concrete, helpful criticisms of the translation: accuracy (added, missing or wrong), "
            "fluency (grammar, punctuation, repetition), style (a story read aloud to small children) and terminology "
            "(consistent names, idioms of the region). Only the list, at most eight points. If nothing is to be "
            "improved, write: OK",
        },
        {"role": "user", "content": f"{source}\n\nTranslation:\n{translation}{seen}"},
    ]


def improve(messages: Messages, translation: str, criticism: str) -> Messages:
    """Step 3, the edit: the messages of the draft, the draft, and what to improve."""
    return [
        *messages,
        {"role": "assistant", "content": translation},
        {"role": "user", "content": f"Improve your translation by these criticisms:\n{criticism}\n\n{_AGAIN}"},
    ]


def repair(messages: Messages, answer: str, complaints: Sequence[str]) -> Messages:
    """Ask again with what is wrong."""
    wrong = "\n".join(f"- {text}" for text in complaints)
    return [
        *messages,
        {"role": "assistant", "content": answer},
        {"role": "user", "content": f"Your answer cannot be used:\n{wrong}\n\n{_AGAIN}"},
    ]


def judge(source: str, translation: str, country: Country) -> Messages:
    """The optional judge, of drafts in mode ``auto`` and of finished records: a grade from 1 to 5."""
    return [
        {
            "role": "system",
            "content": f"You grade translations of children's stories from English to {_LANGUAGE[country]}: 5 publishable, "
            "4 small slips, 3 awkward or partly wrong, 2 bad, 1 useless. Write the digit and nothing else.",
        },
        {"role": "user", "content": f"{source}\n\nTranslation:\n{translation}"},
    ]


def names(story: str, chinese: str, wanted: Sequence[str]) -> Messages:
    """For a glossary: how the Chinese story writes each name."""
    return [
        {
            "role": "system",
            "content": "You are sent an English story, its Chinese translation and a JSON list of names. Reply with one "
            "JSON object from each name to the form that stands in the Chinese story, copied exactly; leave out what is "
            "not there or is no name. Nothing else.",
        },
        {"role": "user", "content": f"{story}\n\n{chinese}\n\n{json.dumps(list(wanted))}"},
    ]


_AGAIN = "Write the whole answer again, in the same form and nothing else."


def _expert(country: Country) -> str:
    rules = _RULES.format(quotes="“ ”" if country == "大陆" else "「 」")
    return f"You are an expert linguist who translates from English to {_LANGUAGE[country]}. {rules}"


def _form(style: Style) -> str:
    parts = "\n".join(f'- "{name}": {meaning}' for name, meaning in _MEANING.items())
    if style == "delimiters":
        return (
            "The user sends parts between lines <<<1>>>, <<<2>>> and so on. Reply with the same lines, unchanged, and "
            "under each the translation of that part; a list stays a list, one entry a line in the same order. "
            "A list and a single sentence are to stand in your Chinese story character by character. Nothing else."
        )
    return (
        "The user sends one JSON object. Reply with one JSON object that has exactly the same keys, a list with as many "
        f"entries in the same order, and nothing else. What a key means, if it is there:\n{parts}"
    )


def _names(glossary: Mapping[str, str]) -> str:
    if not glossary:
        return ""
    return "Write these names so: " + ", ".join(f"{name} = {chinese}" for name, chinese in glossary.items()) + "\n\n"


def _packed(item: Item, keys: Sequence[str], style: Style) -> str:
    values = {name: getattr(item, name) for name in keys}
    if style != "delimiters":
        return json.dumps(values, ensure_ascii=False)
    return pack({name: list(value) if isinstance(value, tuple) else value for name, value in values.items()})


def pack(values: Mapping[str, str | list[str]]) -> str:
    """Parts between numbered marks."""
    texts = ["\n".join(value) if isinstance(value, list) else value for value in values.values()]
    return "\n".join(f"<<<{number}>>>\n{text}" for number, text in enumerate(texts, 1))
