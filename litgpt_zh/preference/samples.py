"""All samples of a run of ``sample_pairs``, kept in ``samples.jsonl``: sampled once, paired or picked from in many ways.

One line a request, in their order: ``asked`` (the constraints), ``story`` (the record's own), ``group``, ``prompt`` (ids), and
``samples``: ``reward`` (under the weights of that run), ``finished``, ``text``, ``ids``, and of those without a failure
``surprise`` (where the model here wrote them) and ``judge`` (where it gave a score; where it was to give one and did not,
``scored`` is false). A request without samples has ``left_out`` with the reason instead.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import IO, Any

from litgpt_zh.constraints import Constraints
from litgpt_zh.preference.choose import Scored
from litgpt_zh.preference.requests import Request
from litgpt_zh.preference.rewards import KNOWN
from litgpt_zh.prompts import chat_prompt, story_request
from litgpt_zh.stage import UserError

FILE = "samples.jsonl"

Answered = tuple[Request, list[int], list[Scored]] | str
"""A request, its prompt's ids and its samples; or why it has none."""


@contextlib.contextmanager
def kept(folder: Path, wanted: bool) -> Iterator[Callable[[int, list[Answered]], list[Answered]]]:
    """Gives ``keep(first, answers)``: it appends the answers of the requests from number ``first`` on, and returns them.

    What a stopped run had written past ``first`` is overwritten. Nothing is kept unless ``wanted``.
    """
    file: IO[str] | None = None

    def keep(first: int, answers: list[Answered]) -> list[Answered]:
        nonlocal file
        if wanted:
            file = file or _behind(folder / FILE, first)
            file.writelines(json.dumps(_line(answer), ensure_ascii=False) + "\n" for answer in answers)
            file.flush()
            os.fsync(file.fileno())
        return answers

    try:
        yield keep
    finally:
        if file:
            file.close()


def _behind(path: Path, lines: int) -> IO[str]:
    """The file, to be written behind its first ``lines`` lines."""
    path.touch()
    with open(path, "rb+") as file:
        file.truncate(sum(map(len, islice(file, lines))))
    return open(path, "a", encoding="utf-8")


def _line(answer: Answered) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"left_out": answer}
    request, prompt, samples = answer
    return {
        "asked": asdict(request.asked),
        "story": request.story,
        "group": request.group,
        "prompt": prompt,
        "samples": [
            {"reward": round(s.reward, 4), "finished": s.finished, "text": s.text, "ids": s.ids}
            | {name: s.parts[name] for name in KNOWN if name in s.parts}
            | ({} if s.scored else {"scored": False})
            for s in samples
        ],
    }


def read_samples(folder: Path) -> Iterator[Answered]:
    """What was kept, request by request.

    Raises:
        UserError: nothing was kept in this folder.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"{folder}: {FILE} is missing; run `litgpt-zh sample_pairs` with --keep_samples true")
    with open(path, encoding="utf-8") as file:
        for line in file:
            found = json.loads(line)
            yield found["left_out"] if "left_out" in found else _answered(found)


def _answered(found: dict[str, Any]) -> Answered:
    asked = Constraints.of(found["asked"])
    request = Request(asked, chat_prompt([("user", story_request(asked))]), found["story"], found["group"])
    samples = [
        Scored(
            tuple(s["ids"]),
            s["text"],
            s["finished"],
            s["reward"],
            {name: s[name] for name in KNOWN if name in s},
            s.get("scored", True),
        )
        for s in found["samples"]
    ]
    return request, found["prompt"], samples
