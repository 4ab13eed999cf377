"""Read instruction data as people have it: Alpaca, ShareGPT, OpenAI messages, TRL, story records, corpus records.

The form is seen from each record's keys, never from the file's name. A record that cannot be used comes back as ``Bad``
with a reason from a small set, so that reasons can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from litgpt_zh.constraints import Constraints, parse
from litgpt_zh.corpus import readers
from litgpt_zh.instruct.records import BadRecord, read_records
from litgpt_zh.prompts import INSTRUCTION, request, story_request

Turn = tuple[str, str]

_ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
}
_CONSTRAINT_KEYS = ("words", "features", "summary", "sentence")
PLAIN_STORY = "plain story without a request (use --kind corpus)"


@dataclass(frozen=True)
class Conversation:
    """Turns ``(role, content)``: system or not, then user and assistant in turn, ending with an answer.

    ``group`` keeps records of one story on one side of the split; ``source`` is ``file:line``.
    """

    turns: tuple[Turn, ...]
    group: str
    source: str


@dataclass(frozen=True)
class Story:
    """A plain story, for ``extract``."""

    text: str
    group: str
    source: str


@dataclass(frozen=True)
class Bad:
    """A record that was left out: where and why."""

    file: str
    line: int
    reason: str


class Rejected(ValueError):
    """Why one record cannot be used; the text is the reason that is counted."""


def read_instructions(path: Path | str) -> Iterator[Conversation | Bad]:
    """Every record of a json, jsonl or gzipped file as a conversation, or why not."""
    for line, record in read_records(path):
        try:
            turns, group = _turns_of(object_of(record))
            yield Conversation(turns, group, f"{path}:{line}")
        except (Rejected, BadRecord) as error:
            yield Bad(str(path), line, str(error))


def read_stories(path: Path | str) -> Iterator[Story | Bad]:
    """Every record as a plain story, in all the formats the corpus stage reads."""
    for record in readers.read(path):
        if isinstance(record, readers.Bad):
            yield Bad(record.file, record.line, record.reason)
        else:
            text = record.fields["text"].strip()
            yield Story(text, group_of(record.fields, text), f"{record.file}:{record.line}")


def read_all(paths: Iterable[Path], kind: str) -> Iterator[Conversation | Story | Bad]:
    """The records of several files in order; ``kind`` is ``auto`` or ``corpus``."""
    read = read_stories if kind == "corpus" else read_instructions
    for path in paths:
        yield from read(path)


def object_of(record: Any) -> dict[str, Any]:
    """The record, known to be a JSON object.

    Raises:
        Rejected, BadRecord: it is none.
    """
    if isinstance(record, BadRecord):
        raise record
    if not isinstance(record, dict):
        raise Rejected("not a JSON object")
    return record


def _turns_of(record: dict[str, Any]) -> tuple[tuple[Turn, ...], str]:
    """Turns and group of a record in any known form.

    Raises:
        Rejected: with the reason.
    """
    if "chosen" in record and "rejected" in record:
        raise Rejected("preference pair, not an instruction")
    for key in ("messages", "conversations"):
        if key in record:
            turns = chat(record[key])
            if turns and turns[0][0] != "system" and record.get("system"):
                turns.insert(0, ("system", text_of(record, "system")))
            return checked(turns, record)
    if "prompt" in record and "completion" in record:
        return checked(_prompt_completion(record), record)
    if "instruction" in record and "output" in record:
        return checked(_alpaca(record), record)
    if "text" in record and any(record.get(key) for key in _CONSTRAINT_KEYS):
        return checked([("user", story_request(_constraints(record))), ("assistant", text_of(record, "text"))], record)
    if any(key in record for key in readers.TEXT_FIELDS):
        raise Rejected(PLAIN_STORY)
    raise Rejected("unknown form")


def _alpaca(record: dict[str, Any]) -> list[Turn]:
    turns: list[Turn] = []
    if record.get("system"):
        turns.append(("system", text_of(record, "system")))
    history = record.get("history") or []
    if not isinstance(history, list):
        raise Rejected("history is not a list of [request, answer]")
    for pair in history:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise Rejected("history is not a list of [request, answer]")
        turns += [("user", string_of(pair[0], "history")), ("assistant", string_of(pair[1], "history"))]
    instruction, extra = text_of(record, "instruction"), text_of(record, "input")
    constraints = parse(extra) if instruction == INSTRUCTION else None
    asked = story_request(constraints) if constraints else request(instruction, extra)
    return [*turns, ("user", asked), ("assistant", text_of(record, "output"))]


def _prompt_completion(record: dict[str, Any]) -> list[Turn]:
    turns: list[Turn] = []
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        turns += chat(record[key]) if isinstance(record[key], list) else [(role, text_of(record, key))]
    return turns


def chat(messages: Any) -> list[Turn]:
    """Turns of a list of ``{role, content}`` or ``{from, value}``.

    Raises:
        Rejected: another form, or an unknown role.
    """
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Rejected("turns are not a list of objects")
    turns = []
    for message in messages:
        role = message.get("role", message.get("from"))
        if not isinstance(role, str) or role not in _ROLES:
            raise Rejected("unknown role")
        turns.append((_ROLES[role], string_of(_joined(message.get("content", message.get("value"))), "content")))
    return turns


def _joined(content: Any) -> Any:
    """OpenAI content parts as one string; whatever is not text stays as it is, to be refused."""
    if isinstance(content, list) and all(isinstance(p, dict) and isinstance(p.get("text"), str) for p in content):
        return "".join(part["text"] for part in content)
    return content


def checked(turns: Sequence[Turn], record: dict[str, Any]) -> tuple[tuple[Turn, ...], str]:
    """Turns in order (system?, then user and assistant in turn, to the end), none of them empty."""
    talk = [turn for turn in turns if turn[0] != "system"]
    roles = [role for role, _ in talk]
    if len(turns) - len(talk) > 1 or (len(turns) > len(talk) and turns[0][0] != "system"):
        raise Rejected("roles out of order")
    if "user" not in roles:
        raise Rejected("no user turn")
    if roles[-1] != "assistant":
        raise Rejected("no answer to the last turn")
    if roles != ["user", "assistant"] * (len(roles) // 2):
        raise Rejected("roles out of order")
    if not all(content for role, content in talk if role == "assistant"):
        raise Rejected("empty answer")
    if not all(content for role, content in talk if role == "user"):
        raise Rejected("empty request")
    first_answer = talk[1][1]
    return tuple(turn for turn in turns if turn[1]), group_of(record, first_answer)


def _constraints(record: dict[str, Any]) -> Constraints:
    for key in ("words", "features"):
        value = record.get(key) or []
        if not isinstance(value, (str, list)) or not all(isinstance(item, str) for item in value):
            raise Rejected(f"field {key} is not a list of strings")
    for key in ("summary", "sentence"):
        text_of(record, key)
    return Constraints.of(record)


def group_of(record: dict[str, Any], text: str) -> str:
    """The record's own group; without one, records with the same (first) answer or story belong together."""
    group = record.get("group")
    return str(group) if isinstance(group, (str, int)) and group != "" else xxhash.xxh3_64_hexdigest(text.encode())


def text_of(record: dict[str, Any], key: str) -> str:
    """``record[key]``, stripped; empty where it is missing or null."""
    value = record.get(key)
    return string_of("" if value is None else value, key)


def string_of(value: Any, key: str) -> str:
    """Stripped text.

    Raises:
        Rejected: not a string, or holds half a surrogate pair, which no tokenizer can encode.
    """
    if not isinstance(value, str):
        raise Rejected(f"field {key} is not text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Rejected("not valid UTF-8") from None
    return value.strip()
