"""Several checkpoints on the same requests: their names, what each wrote, and how each differs from the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from litgpt_zh.evaluate import measure
from litgpt_zh.evaluate.bits import bits_per_character
from litgpt_zh.evaluate.copying import copied
from litgpt_zh.evaluate.measure import Parts
from litgpt_zh.evaluate.score import write_stories
from litgpt_zh.language import say
from litgpt_zh.stage import UserError, progress

_MEASURED = (
    "name",
    "figures",
    "intervals",
    "most_copied",
    "not_measured",
    "reference",
    "differences",
    "others",
    "synthetic",
)
_COPYING = ("copied", "longest")


def named(given: Path | Sequence[Path] | Mapping[str, Path]) -> dict[str, Path]:
    """Name -> checkpoint folder, in the order given; the first is the baseline.

    Without names, a folder is called by the end of its path that tells it from the others, ``final`` left out:
    ``run/sft/final`` and ``run/dpo/final`` are ``sft`` and ``dpo``.

    Raises:
        UserError: none is given, or one twice.
    """
    if isinstance(given, Mapping):
        named = {str(name): Path(path) for name, path in given.items()}
    else:
        paths = [Path(given)] if isinstance(given, (str, Path)) else [Path(path) for path in given]
        named = dict(zip(_names(paths), paths, strict=True))
    if not named:
        raise UserError("checkpoint_dir: no checkpoint given; name one folder, a list of them, or name: folder pairs")
    seen: set[Path] = set()
    for path in named.values():
        if path.resolve() in seen:
            raise UserError(f"checkpoint_dir: {path} is given twice; give each checkpoint once")
        seen.add(path.resolve())
    return named


def _names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that are all different; the whole paths where there are none."""
    parts = [p.resolve().parts for p in paths]
    parts = [p[:-1] if p[-1:] == ("final",) else p for p in parts]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{path} ({i})" if path in paths[: i - 1] else str(path) for i, path in enumerate(paths, start=1)]


def written(
    name: str,
    folder: Path,
    records: Sequence[dict[str, Any]],
    *,
    count: int,
    fields: Sequence[str],
    max_new_tokens: int | None,
    source: str,
) -> dict[str, Any]:
    """What takes a model: ``write_stories`` and the bits per character of the records' own stories.

    ``bits`` is as the checkpoint was trained: behind the prompt if on instructions, then ``bits_plain`` is without it, so
    that a pretrained model can be compared.

    Raises:
        UserError: see ``write_stories``.
    """
    from litgpt_zh.generate.load import load

    loaded = load(folder)
    card = write_stories(
        loaded, records, count=count, fields=fields, max_new_tokens=max_new_tokens, source=source,
        name=say(f"{name}：故事", f"{name}: stories"),
    )  # fmt: skip
    if any(record.get("text") for record in records):
        if loaded.instruct:
            bits = say(f"{name}：比特", f"{name}: bits")
            card["bits"] = bits_per_character(loaded, records, count=count, fields=fields, name=bits)
        key = "bits_plain" if loaded.instruct else "bits"
        bits = say(f"{name}：比特，无提示", f"{name}: bits, no prompt")
        card[key] = bits_per_character(loaded, records, count=count, name=bits)
    return card


def compared(
    written: Mapping[str, dict[str, Any]], records: Sequence[dict[str, Any]], training: Iterable[str] | None = None
) -> dict[str, Any]:
    """The first card with its figures and ``reference``; the other cards in ``others``, each with its ``differences``.

    Args:
        written: name -> what ``written`` returned.
        records: what was asked.
        training: stories that copying is measured against.
    """
    first = next(iter(written.values()))
    asked = [records[sample["request"]] for sample in first["samples"]]
    own = measure.own_stories(asked)
    if training is not None:
        _add_copying([*(sample for card in written.values() for sample in card["samples"]), *own], training)
    base, *others = (measured(name, card, records) for name, card in written.items())
    base["reference"] = measure.reference(asked, own, first["fields"])
    for card in others:
        card["differences"] = differences(base, card, records)
    return base | ({"others": others} if others else {})


def _add_copying(samples: Sequence[dict[str, Any]], training: Iterable[str]) -> None:
    bar = progress(desc=say("照抄", "copying"), unit=say("篇", "story"), iterable=training)
    for sample, amount, longest in zip(samples, *copied([s["text"] for s in samples], bar), strict=True):
        sample["copied"], sample["longest"] = int(amount), int(longest)


def raw(card: Mapping[str, Any]) -> dict[str, Any]:
    """Of a card that was ``compared``: what took a model to make."""
    samples = [{key: value for key, value in s.items() if key not in _COPYING} for s in card["samples"]]
    return {key: value for key, value in card.items() if key not in _MEASURED} | {"samples": samples}


def measured(name: str, card: dict[str, Any], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The card with its figures, see ``measure.card``; bits per character join the ``intervals``."""
    asked = [records[sample["request"]] for sample in card["samples"]]
    result = {"name": name} | card | measure.card(asked, card["samples"], card["fields"])
    result["intervals"] |= measure.summarised(bits_parts(card))
    return result


def bits_parts(card: Mapping[str, Any]) -> Parts:
    """``bits_asked`` behind the prompt, ``bits_plain`` without, where measured: bits and characters a story."""
    found = {}
    for key in ("bits", "bits_plain"):
        if key in card:
            each = card[key]["per_story"]
            top, bottom = (np.array(each[side], dtype=float) for side in ("bits", "characters"))
            found["bits_asked" if card[key]["fields"] else "bits_plain"] = (top, bottom)
    return found


def differences(
    base: Mapping[str, Any], other: Mapping[str, Any], records: Sequence[dict[str, Any]]
) -> dict[str, dict[str, float]]:
    """Every figure of ``other`` minus that of ``base``, over the requests that both answered; see ``figures.paired``."""
    sides = [{sample["request"]: sample for sample in card["samples"]} for card in (base, other)]
    common = sorted(sides[0].keys() & sides[1].keys())
    asked = [records[place] for place in common]
    own, others = (
        measure.parts(asked, [side[place] for place in common], base["fields"], shuffled=False) for side in sides
    )
    return measure.differences(own | bits_parts(base), others | bits_parts(other))
