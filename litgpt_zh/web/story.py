"""What the page asks of a model, in the trained form, and what it is told while the story grows."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from litgpt_zh.constraints import Constraints, check, parse, subset
from litgpt_zh.generate.load import Loaded
from litgpt_zh.generate.request import Request
from litgpt_zh.prompts import asked, plain, story_request
from litgpt_zh.serve import fields
from litgpt_zh.serve.asking import requests
from litgpt_zh.serve.errors import bad

FIELDS = frozenset("models mode words features summary sentence text temperature max_tokens seed".split())
SIDES = ("left", "right")


@dataclass(frozen=True)
class Wish:
    """What a person wants: from which models (one, or two to compare), with which constraints or words of their own."""

    models: tuple[str, ...]
    request: str
    """the user's side of the prompt, or the beginning that a pretrained model goes on with"""
    constraints: Constraints | None
    settings: dict[str, Any]
    """temperature, and max_tokens where one is asked for"""
    seed: int

    def seed_of(self, side: int) -> int:
        """The same seed for both, so that only the models differ; of one model against itself the next one."""
        return self.seed + (side > 0 and self.models[side] == self.models[0])


def read(body: Mapping[str, Any]) -> Wish:
    """Check what the page sent.

    Raises:
        ApiError: names the field at fault.
    """
    given = {name: value for name, value in body.items() if value is not None}
    if unknown := sorted(set(given) - FIELDS):
        raise bad(unknown[0][:64], f"unknown field {unknown[0][:64]}")
    models = given.get("models")
    if not isinstance(models, list) or not 0 < len(models) <= len(SIDES) or not all(isinstance(m, str) for m in models):
        raise bad("models", "models must be a list of one or two names")
    seed = given.get("seed", secrets.randbits(31))
    if type(seed) is not int or not 0 <= seed < 2**53 - 1:  # what a browser counts exactly
        raise bad("seed", "seed must be a whole number from 0 to 9007199254740990")
    settings: dict[str, Any] = {name: given[name] for name in ("temperature", "max_tokens") if name in given}
    request, constraints = _request(given)
    return Wish(tuple(models), request, constraints, settings, seed)


def _request(given: dict[str, Any]) -> tuple[str, Constraints | None]:
    if given.get("mode", "constraints") == "text":
        text = _text(given, "text")
        if not text:
            raise bad("text", "nothing is asked", "empty_request")
        return plain(asked(text)), parse(text)
    if given.get("mode", "constraints") != "constraints":
        raise bad("mode", "mode must be constraints or text")
    features = given.get("features", [])
    if not isinstance(features, list) or not all(isinstance(feature, str) for feature in features):
        raise bad("features", "features must be a list of texts")
    record: dict[str, Any] = {name: " ".join(_text(given, name).split()) for name in ("words", "summary", "sentence")}
    constraints = Constraints.of({name: plain(text) for name, text in record.items()} | {"features": features})
    if not constraints:
        raise bad("words", "nothing is asked", "empty_request")
    return story_request(constraints), constraints


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise bad(name, f"{name} must be a text")
    return value.strip()


def example(seed: int) -> dict[str, Any]:
    """A request of the story world as the page's fields show it: one that quickstart's models can follow, and never saw."""
    from litgpt_zh.evaluate.stage import world_records
    from litgpt_zh.scales import FEW, SHORT, SHOWN

    known = [plot for plot in FEW if plot in SHORT]
    asked = subset(Constraints.of(world_records(4, seed, known)[0]), SHOWN, str(seed))
    return asdict(asked) | {"words": "，".join(asked.words), "features": list(asked.features)}


@dataclass
class Telling:
    """One side: what it was asked, and its story so far."""

    model: str
    chat: bool
    """whether the model answers; a pretrained one goes on with what is there"""
    constraints: Constraints | None
    request: Request
    seed: int
    text: str = ""
    finish: str = ""
    """stop, length, or nothing while it grows"""

    def begin(self) -> dict[str, Any]:
        """The first news of a side: how it is called and what to look out for."""
        wanted = [*self.constraints.words, self.constraints.sentence] if self.constraints else []
        return {
            "model": self.model, "seed": self.seed, "text": self.text, "met": self.met(),
            "wanted": [text for text in wanted if text],
        }  # fmt: skip

    def met(self) -> list[dict[str, Any]]:
        """Each constraint: kind, name, and whether the story meets it (null: no rule can tell)."""
        if not self.constraints:
            return []
        found = check(self.constraints, self.text).items()
        return [{"kind": key.partition(":")[0], "name": key.partition(":")[2], "met": met} for key, met in found]

    def record(self) -> dict[str, Any]:
        """What a vote keeps of it."""
        return {
            "model": self.model, "text": self.text, "finish": self.finish, "seed": self.seed,
            "met": check(self.constraints, self.text) if self.constraints else {},
        }  # fmt: skip


def telling(wish: Wish, side: int, loaded: Loaded) -> Telling:
    """A side of a wish, ready for the sampler.

    Raises:
        ApiError: the model was never tuned and is asked to follow constraints; the request is longer than the block.
    """
    name, seed = wish.models[side], wish.seed_of(side)
    goes_on = not loaded.instruct and wish.constraints is None
    said: dict[str, Any] = (
        {"prompt": wish.request} if goes_on else {"messages": [{"role": "user", "content": wish.request}]}
    )
    body = {"model": name, "seed": seed, "stream": True, **wish.settings, **said}
    ask = fields.read(body, chat=not goes_on, most=1)
    (request,) = requests(replace(ask, max_tokens=None), loaded)
    request = replace(request, max_new_tokens=ask.max_tokens)  # as long as it may be, and no longer than the block
    return Telling(name, not goes_on, wish.constraints, request, seed, wish.request if goes_on else "")
