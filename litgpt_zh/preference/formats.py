"""Read preference data as people have it: TRL, minimind, LLaMA-Factory, KTO. The form is seen from each record's keys.

A record that cannot be used comes back as ``Bad`` with a reason from a small set, so that reasons can be counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from litgpt_zh.constraints import parse
from litgpt_zh.instruct.formats import Bad, Rejected, Turn, chat, checked, group_of, object_of, text_of
from litgpt_zh.instruct.records import BadRecord, read_records
from litgpt_zh.prompts import CONTROL, INSTRUCTION, chat_prompt, request, story_request

Form = Literal["pairs", "unpaired"]


@dataclass(frozen=True)
class Pair:
    """A prompt (turns that end with the user's) with a better and a worse answer.

    ``group`` keeps records of one prompt on one side of the split; ``source`` is ``file:line``.
    """

    turns: tuple[Turn, ...]
    chosen: str
    rejected: str
    group: str
    source: str

    @property
    def sides(self) -> tuple[str, ...]:
        return self.chosen, self.rejected

    label = None


@dataclass(frozen=True)
class Answer:
    """A prompt with one answer, wanted or not (KTO)."""

    turns: tuple[Turn, ...]
    completion: str
    label: bool
    group: str
    source: str

    @property
    def sides(self) -> tuple[str, ...]:
        return (self.completion,)


def read_preferences(path: Path | str, form: Form = "pairs") -> Iterator[Pair | Answer | Bad]:
    """Every record of a json or jsonl file, compressed or not, or why it is left out."""
    read = _pair if form == "pairs" else _answer
    for line, record in read_records(path):
        try:
            yield read(object_of(record), f"{path}:{line}")
        except (Rejected, BadRecord) as error:
            yield Bad(str(path), line, str(error))


def _pair(record: dict[str, Any], source: str) -> Pair:
    if "chosen" not in record or "rejected" not in record:
        raise Rejected(_other_form(record, "pairs"))
    given, chosen, rejected = _split(record)
    if not chosen or not rejected:
        raise Rejected("empty side")
    if chosen == rejected:
        raise Rejected("equal sides")
    turns, group = _prompt(given, record, (chosen, rejected))
    return Pair(turns, chosen, rejected, group, source)


def _answer(record: dict[str, Any], source: str) -> Answer:
    if "label" not in record:
        raise Rejected(_other_form(record, "unpaired"))
    if record["label"] not in (True, False):  # 0 and 1 are these, too
        raise Rejected("label is not true or false")
    given = _given_prompt(record)
    if "completion" in record:
        completion = _only_answer(record["completion"], given)
    else:
        given, completion = given[:-1], _last(given[-1:])
    if not completion:
        raise Rejected("empty side")
    turns, group = _prompt(given, record, (completion,))
    return Answer(turns, completion, bool(record["label"]), group, source)


def _other_form(record: dict[str, Any], wanted: str) -> str:
    if "label" in record and wanted == "pairs":
        return "single answer with a label (use --form unpaired)"
    if "chosen" in record and "rejected" in record:
        return "preference pair (use --form pairs)"
    return "unknown form"


def _split(record: dict[str, Any]) -> tuple[list[Turn], str, str]:
    """Prompt, chosen and rejected answer."""
    turns = _given_prompt(record)
    sides = record["chosen"], record["rejected"]
    if turns or any(key in record for key in ("prompt", "conversations", "messages", "instruction")):
        return turns, _only_answer(sides[0], turns), _only_answer(sides[1], turns)
    if not all(isinstance(side, list) for side in sides):
        raise Rejected("no prompt")
    chosen, rejected = (chat(side) for side in sides)
    if chosen == rejected:
        raise Rejected("equal sides")
    common = next((n for n, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), None)
    if common is None:
        raise Rejected("empty side")
    return chosen[:common], _last(chosen[common:]), _last(rejected[common:])


def _given_prompt(record: dict[str, Any]) -> list[Turn]:
    """The turns a record names beside its answers; none where they are to be found inside these."""
    turns: list[Turn] = []
    for key in ("messages", "conversations", "prompt"):
        if key in record:
            turns = chat(record[key]) if isinstance(record[key], list) else [("user", text_of(record, key))]
            break
    else:
        if "instruction" in record:
            instruction, extra = text_of(record, "instruction"), text_of(record, "input")
            constraints = parse(extra) if instruction == INSTRUCTION else None
            turns = [("user", story_request(constraints) if constraints else request(instruction, extra))]
    if turns and turns[0][0] != "system" and record.get("system"):
        turns.insert(0, ("system", text_of(record, "system")))
    return turns


def _only_answer(side: Any, turns: Sequence[Turn]) -> str:
    """The text of an answer given as a string, a message or messages (some data sets repeat the prompt in these)."""
    if isinstance(side, str) or side is None:
        return text_of({"side": side}, "side")
    messages = chat(side if isinstance(side, list) else [side])
    talk = [turn for turn in turns if turn[0] != "system"]
    if talk and messages[: len(talk)] == talk:
        messages = messages[len(talk) :]
    return _last(messages)


def _last(messages: list[Turn]) -> str:
    if not messages:
        return ""
    if len(messages) > 1:
        raise Rejected("sides differ in more than one message")
    if messages[0][0] != "assistant":
        raise Rejected("no answer to the last turn")
    return messages[0][1]


def _prompt(turns: Sequence[Turn], record: dict[str, Any], sides: tuple[str, ...]) -> tuple[tuple[Turn, ...], str]:
    """Turns in order and free of control pieces, and their group."""
    if any(piece in text for text in (*sides, *(content for _, content in turns)) for piece in CONTROL):
        raise Rejected("control piece in the text")
    whole, _ = checked([*turns, ("assistant", sides[0])], record)
    return whole[:-1], group_of(record, chat_prompt(whole[:-1]))
