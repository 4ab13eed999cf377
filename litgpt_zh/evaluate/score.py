"""The score card: greedy stories for held-out requests, and what share of them does what was asked."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from litgpt_zh.constraints import Constraints, check
from litgpt_zh.evaluate import measure
from litgpt_zh.evaluate.figures import ends_properly
from litgpt_zh.evaluate.measure import shown
from litgpt_zh.language import say
from litgpt_zh.prompts import chat_prompt, story_request
from litgpt_zh.stage import UserError, progress, versions

FIELDS = ("words", "features", "summary", "sentence")


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

    It is ``write_stories``' with the ``figures`` and ``intervals`` of ``measure.card`` beside them, and in ``reference``
    the same of the records' own stories, where they have one.

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
    found = read_records(records) if isinstance(records, (str, Path)) else records
    result = write_stories(
        checkpoint, found, count=count, fields=fields, max_new_tokens=max_new_tokens, batch_size=batch_size,
        source=str(records) if isinstance(records, (str, Path)) else "records",
    )  # fmt: skip
    chosen = [found[sample["request"]] for sample in result["samples"]]
    own = measure.own_stories(chosen)
    return (
        result
        | measure.card(chosen, result["samples"], fields, shuffled)
        | {"reference": measure.reference(chosen, own, fields, shuffled)}
    )


def write_stories(
    checkpoint: Any,
    records: Sequence[dict[str, Any]],
    *,
    count: int,
    fields: Sequence[str],
    max_new_tokens: int | None = None,
    batch_size: int = 64,
    source: str = "records",
    name: str = "stories",
) -> dict[str, Any]:
    """Greedy stories for the first ``count`` records that have words and whose prompt fits the model's block.

    Args:
        source: what the records come from, for the error.
        name: of the progress bar.

    Returns:
        ``samples`` (``request``: the record's place; what was asked; ``text``, ``tokens``, ``finished``; ``met``, see
        ``constraints.check``), ``dropped`` with reasons, and what made them.

    Raises:
        UserError: no usable record; an unknown field; the checkpoint cannot be loaded.
    """
    from litgpt_zh.generate.batch import generate
    from litgpt_zh.generate.load import Loaded, load

    started = time.perf_counter()
    require_fields(fields)
    loaded = checkpoint if isinstance(checkpoint, Loaded) else load(checkpoint)
    chosen, prompts, dropped = _choose(loaded, records, count, fields)
    if not chosen:
        raise UserError(f"{source}: no record with words whose prompt fits the model's block; counts: {dropped}")
    with progress(len(chosen), desc=name, unit=say("篇", "story"), scale=False) as bar:
        answers = generate(
            loaded.model,
            prompts,
            max_new_tokens=max_new_tokens,
            stop_ids=loaded.stop_ids,
            batch_size=batch_size,
            on_sample=lambda *_: bar.update(),
        )
    return {
        "checkpoint": str(loaded.folder),
        "model": loaded.config.name,
        "decoding": "greedy",
        "count": len(chosen),
        "dropped": dropped,
        "fields": list(fields),
        "max_new_tokens": max_new_tokens,
        "samples": [_sample(i, records[i], fields, loaded, a) for i, a in zip(chosen, answers, strict=True)],
        "seconds": round(time.perf_counter() - started, 1),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions(),
    }


def require_fields(fields: Sequence[str]) -> None:
    """Refuse a name that is no constraint field.

    Raises:
        UserError: names it and the choices.
    """
    if unknown := [name for name in fields if name not in FIELDS]:
        raise UserError(f"fields: unknown {', '.join(unknown)}; choose from {', '.join(FIELDS)}")


def _choose(
    loaded: Any, records: Sequence[dict[str, Any]], count: int, fields: Sequence[str]
) -> tuple[list[int], list[list[int]], dict[str, int]]:
    """Places of the first ``count`` usable records, their prompts as ids, and how many were passed over and why."""
    chosen: list[int] = []
    prompts: list[list[int]] = []
    dropped = {"no words": 0, "prompt longer than the block": 0}
    for place, record in enumerate(records):
        if len(chosen) == count:
            break
        if not Constraints.of(record).words:
            dropped["no words"] += 1
            continue
        ids = loaded.encode(prompt_of(shown(record, fields)))
        if len(ids) >= loaded.model.max_seq_length:
            dropped["prompt longer than the block"] += 1
            continue
        chosen.append(place)
        prompts.append(ids)
    return chosen, prompts, {reason: n for reason, n in dropped.items() if n}


def _sample(place: int, record: dict[str, Any], fields: Sequence[str], loaded: Any, answer: Any) -> dict[str, Any]:
    text, wanted = loaded.decode(answer.ids).strip(), shown(record, fields)
    named = {name: getattr(wanted, name) for name in FIELDS}
    return {
        "request": place,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in named.items() if value},
        "text": text,
        "tokens": len(answer.ids),
        "finished": ends_properly(text, answer.finished),
        "met": check(wanted, text),
    }
