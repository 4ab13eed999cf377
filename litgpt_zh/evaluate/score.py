"""The score card: greedy stories for held-out requests, and what share of them does what was asked."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.constraints import Constraints, check
from litgpt_zh.evaluate import figures
from litgpt_zh.prompts import chat_prompt, story_request
from litgpt_zh.stage import UserError, progress, versions

FIELDS = ("words", "features", "summary", "sentence")


def shown(record: dict[str, Any], fields: Sequence[str]) -> Constraints:
    """The part of a record's constraints that the prompt shows."""
    return Constraints.of({name: record.get(name) for name in fields})


def prompt_of(constraints: Constraints) -> str:
    """The prompt text, as in training."""
    return chat_prompt([("user", story_request(constraints))])


def read_records(file: Path | str) -> list[dict[str, Any]]:
    """Records of a jsonl file (keys ``words, features, summary, sentence, text``, each optional).

    Raises:
        UserError: no such file, or a line is not a JSON object.
    """
    records = []
    try:
        with open(file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    records.append(json.loads(line))
                    if not isinstance(records[-1], dict):
                        raise UserError(f"{file}:{number}: not a JSON object; one record a line is expected")
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; give a jsonl with the key words in each line") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{file}:{number}: not JSON ({error.msg}); mend or delete the line") from None
    return records


def score(
    checkpoint: Any,
    records: Path | str | Sequence[dict[str, Any]],
    *,
    count: int = 200,
    fields: Sequence[str] = ("words",),
    max_new_tokens: int | None = None,
    shuffled: bool = True,
    batch_size: int = 64,
) -> dict[str, Any]:
    """Ask for ``count`` stories, greedily, and measure them. The result is ready for ``json.dumps``.

    ``figures`` holds, with 95% intervals: ``words_all`` (share of stories with all their words), ``words_each`` (share of
    single words), both once more as ``..._shuffled`` (the same stories against other requests' words: what chance gives),
    ``finished`` (ended by the model itself, behind closing punctuation), and ``sentence``, ``dialogue`` where shown; and
    without: ``characters`` (mean), ``repetition_4`` (mean over stories), ``distinct_2`` (over all). ``reference`` has the
    same of the records' own stories, where they have one.

    Args:
        checkpoint: a checkpoint folder, or ``generate.load.Loaded``.
        records: held-out records, or a jsonl file of them; those without words are passed over.
        count: stories.
        fields: constraint fields that the prompt shows.
        max_new_tokens: None goes on to the end of the block.
        shuffled: measure the control too.
        batch_size: stories written together.

    Raises:
        UserError: no usable record; an unknown field; the checkpoint cannot be loaded.
    """
    from litgpt_zh.generate.batch import generate
    from litgpt_zh.generate.load import Loaded, load

    started = time.perf_counter()
    if unknown := [name for name in fields if name not in FIELDS]:
        raise UserError(f"fields: unknown {', '.join(unknown)}; choose from {', '.join(FIELDS)}")
    loaded = checkpoint if isinstance(checkpoint, Loaded) else load(checkpoint)
    found = read_records(records) if isinstance(records, (str, Path)) else records
    chosen, prompts, dropped = _choose(loaded, found, count, fields)
    if not chosen:
        source = records if isinstance(records, (str, Path)) else "records"
        raise UserError(f"{source}: no record with words whose prompt fits the model's block; counts: {dropped}")
    with progress(len(chosen), desc="stories", unit="story", scale=False) as bar:
        answers = generate(
            loaded.model,
            prompts,
            max_new_tokens=max_new_tokens,
            stop_ids=loaded.stop_ids,
            batch_size=batch_size,
            on_sample=lambda *_: bar.update(),
        )
    texts = [loaded.decode(answer.ids).strip() for answer in answers]
    ended = [figures.ends_properly(t, a.finished) for t, a in zip(texts, answers, strict=True)]
    return {
        "checkpoint": str(loaded.folder),
        "model": loaded.config.name,
        "decoding": "greedy",
        "count": len(chosen),
        "dropped": dropped,
        "fields": list(fields),
        "max_new_tokens": max_new_tokens,
        "figures": measure(chosen, texts, ended, fields, shuffled),
        "reference": _reference(chosen, fields, shuffled),
        "samples": [_sample(r, fields, t, a, e) for r, t, a, e in zip(chosen, texts, answers, ended, strict=True)],
        "seconds": round(time.perf_counter() - started, 1),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions(),
    }


def _choose(
    loaded: Any, records: Sequence[dict[str, Any]], count: int, fields: Sequence[str]
) -> tuple[list[dict[str, Any]], list[list[int]], dict[str, int]]:
    """The first ``count`` usable records, their prompts as ids, and how many were passed over and why."""
    chosen: list[dict[str, Any]] = []
    prompts: list[list[int]] = []
    dropped = {"no words": 0, "prompt longer than the block": 0}
    for record in records:
        if len(chosen) == count:
            break
        if not record.get("words"):
            dropped["no words"] += 1
            continue
        ids = loaded.encode(prompt_of(shown(record, fields)))
        if len(ids) >= loaded.model.max_seq_length:
            dropped["prompt longer than the block"] += 1
            continue
        chosen.append(record)
        prompts.append(ids)
    return chosen, prompts, {reason: n for reason, n in dropped.items() if n}


def measure(
    records: Sequence[dict[str, Any]],
    texts: Sequence[str],
    ended: Sequence[bool],
    fields: Sequence[str],
    shuffled: bool,
) -> dict[str, Any]:
    """The figures of ``texts`` as answers to ``records``; see ``score``."""
    words = [record["words"] for record in records]
    hits, asked = figures.word_hits(words, texts)
    result: dict[str, Any] = {"words_all": figures.rate(hits == asked), "words_each": figures.rate(hits, asked)}
    if shuffled:
        full, other_hits, other_asked = figures.shuffled_hits(words, texts)
        result["words_all_shuffled"] = figures.rate(full)
        result["words_each_shuffled"] = figures.rate(other_hits, other_asked)
    result["finished"] = figures.rate(ended)
    checks = [check(shown(record, fields), text) for record, text in zip(records, texts, strict=True)]
    for name, key in (("sentence", "sentence"), ("dialogue", "feature:对话")):
        if found := [float(value) for c in checks if (value := c.get(key)) is not None]:
            result[name] = figures.rate(found)
    result["characters"] = round(float(np.mean([len(text) for text in texts])), 1)
    result["repetition_4"] = round(float(np.mean([figures.repetition(text) for text in texts])), 4)
    result["distinct_2"] = round(figures.distinct(texts), 4)
    return result


def _reference(records: Sequence[dict[str, Any]], fields: Sequence[str], shuffled: bool) -> dict[str, Any] | None:
    told = [(record, record["text"]) for record in records if record.get("text")]
    if not told:
        return None
    kept, texts = zip(*told, strict=True)
    return measure(kept, texts, [figures.ends_properly(text, True) for text in texts], fields, shuffled)


def _sample(record: dict[str, Any], fields: Sequence[str], text: str, answer: Any, ended: bool) -> dict[str, Any]:
    wanted = shown(record, fields)
    return {
        **{name: record[name] for name in FIELDS if name in fields and record.get(name)},
        "text": text,
        "tokens": len(answer.ids),
        "finished": ended,
        "met": check(wanted, text),
    }
