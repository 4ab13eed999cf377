"""A request body, read and checked: no model, no HTTP. What this server cannot do is refused by name, never ignored."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from litgpt_zh.serve.errors import bad, unsupported

TEMPERATURE, TOP_K, TOP_P = 0.7, 50, 1.0
"""What a request that says nothing gets, as in ``litgpt-zh chat``."""
MOST_STOPS, LONGEST_STOP = 16, 256
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

_HARMLESS = frozenset(
    "user metadata store service_tier safety_identifier prompt_cache_key prompt_cache_retention parallel_tool_calls".split()
)
"""They change nothing about the answer."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "reasoning_effort": (),
    "verbosity": (),
    "echo": (False,),
    "suffix": ("",),
}
"""Fields of OpenAI's that this server has only at these values (and null)."""
_SHARED = frozenset("model n seed stop stream stream_options temperature top_p top_k min_p max_tokens logprobs".split())
_CHAT = _SHARED | {"messages", "max_completion_tokens", "top_logprobs"}
_COMPLETIONS = _SHARED | {"prompt", "best_of"}


@dataclass(frozen=True)
class Ask:
    """What a client wants, with every default filled in. One of ``turns`` and ``prompts`` is empty."""

    model: str
    turns: tuple[tuple[str, str], ...] = ()
    """(role, content); the last one is the user's"""
    prompts: tuple[str | tuple[int, ...], ...] = ()
    """texts or token ids"""
    max_tokens: int | None = None
    max_tokens_field: str = "max_tokens"
    """its name in this request"""
    temperature: float = TEMPERATURE
    top_k: int | None = TOP_K
    top_p: float = TOP_P
    min_p: float = 0.0
    n: int = 1
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    stream: bool = False
    include_usage: bool = False

    @property
    def chat(self) -> bool:
        return bool(self.turns)

    @property
    def answers(self) -> int:
        return self.n * (1 if self.chat else len(self.prompts))


def loads(data: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        ApiError: it is none.
    """
    try:
        body = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise bad(None, f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(body, dict):
        raise bad(None, "the body must be a JSON object")
    return body


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def read(body: dict[str, Any], *, chat: bool, most: int) -> Ask:
    """Check every field.

    Args:
        body: the JSON object.
        chat: whether it came to /v1/chat/completions, else to /v1/completions.
        most: answers that one request may ask for.

    Raises:
        ApiError: names the field at fault.
    """
    body = {name: value for name, value in body.items() if value is not None}
    _refuse_others(body, _CHAT if chat else _COMPLETIONS)
    if "model" not in body:
        raise bad("model", "you must provide a model; GET /v1/models lists it")
    n = _integer(body, "n", 1, most, 1)
    assert n is not None
    if "best_of" in body and body["best_of"] != n:
        raise unsupported("best_of", "ask for n answers instead")
    logprobs = _chat_logprobs(body) if chat else _logprobs(body)
    stream = _flag(body, "stream")
    if logprobs and stream:
        raise unsupported("logprobs", "not while streaming")
    field = "max_completion_tokens" if "max_completion_tokens" in body else "max_tokens"
    top_k = _integer(body, "top_k", -1, 2**31, TOP_K)
    asked = Ask(
        model=_text(body["model"], "model"),
        turns=_turns(body.get("messages")) if chat else (),
        prompts=() if chat else _prompts(body.get("prompt", "")),
        max_tokens=_integer(body, field, 1, 2**31, None),
        max_tokens_field=field,
        temperature=_number(body, "temperature", 0, 2, TEMPERATURE),
        top_k=top_k if top_k and top_k > 0 else None,
        top_p=max(_number(body, "top_p", 0, 1, TOP_P), 1e-9),  # 0 keeps the most probable token alone
        min_p=_number(body, "min_p", 0, 1, 0.0),
        n=n,
        seed=_integer(body, "seed", -(2**63), 2**63 - 1, None),
        stop=_stop(body.get("stop")),
        logprobs=logprobs,
        stream=stream,
        include_usage=_include_usage(body, stream),
    )
    if asked.answers > most:
        raise bad("prompt", f"{asked.answers} answers asked for at once (prompts x n); at most {most}")
    return asked


def _refuse_others(body: dict[str, Any], known: frozenset[str]) -> None:
    for name, value in body.items():
        if name in known or name in _HARMLESS:
            continue
        if name not in _NEUTRAL:
            raise bad(name[:64], f"unrecognized request argument: {name[:64]}", "unknown_parameter")
        if value not in _NEUTRAL[name]:
            raise unsupported(name)


def _turns(messages: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(messages, list) or not messages:
        raise bad("messages", "messages must be a list with at least one message")
    turns = []
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        if not isinstance(message, dict):
            raise bad(where, f"{where} must be an object with role and content")
        role = message.get("role")
        if not isinstance(role, str) or role not in _ROLES:
            raise bad(f"{where}.role", f"{where}.role must be one of {', '.join(_ROLES)}")
        for name in ("tool_calls", "function_call", "audio"):
            if message.get(name):
                raise unsupported(f"{where}.{name}")
        turns.append((_ROLES[role], _content(message.get("content"), f"{where}.content")))
    if turns[-1][0] != "user":
        raise bad("messages", "the last message must be the user's")
    return tuple(turns)


def _content(content: Any, where: str) -> str:
    if not isinstance(content, list):
        return _text(content, where)
    texts = []
    for i, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text":
            raise unsupported(f"{where}[{i}]", "only parts of type text")
        texts.append(_text(part.get("text"), f"{where}[{i}].text"))
    return "".join(texts)


def _prompts(prompt: Any) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(prompt, str):
        return (_text(prompt, "prompt"),)
    if not isinstance(prompt, list) or not prompt:
        raise bad("prompt", "prompt must be a text, a list of texts, a list of token ids, or a list of such lists")
    if all(map(_is_id, prompt)):
        return (tuple(prompt),)
    found: list[str | tuple[int, ...]] = []
    for i, one in enumerate(prompt):
        if isinstance(one, list) and one and all(map(_is_id, one)):
            found.append(tuple(one))
        else:
            found.append(_text(one, f"prompt[{i}]"))
    return tuple(found)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _stop(stop: Any) -> tuple[str, ...]:
    if stop is None:
        return ()
    texts = [stop] if isinstance(stop, str) else stop
    if not isinstance(texts, list) or len(texts) > MOST_STOPS:
        raise bad("stop", f"stop must be a text or a list of at most {MOST_STOPS} texts")
    for text in texts:
        if not 0 < len(_text(text, "stop")) <= LONGEST_STOP:
            raise bad("stop", f"a stop text has 1 to {LONGEST_STOP} characters")
    return tuple(dict.fromkeys(texts))


def _chat_logprobs(body: dict[str, Any]) -> bool:
    logprobs = _flag(body, "logprobs")
    if _integer(body, "top_logprobs", 0, 20, 0):
        raise unsupported("top_logprobs", "only 0, the probability of each chosen token")
    return logprobs


def _logprobs(body: dict[str, Any]) -> bool:
    count = _integer(body, "logprobs", 0, 5, None)
    if count:
        raise unsupported("logprobs", "only 0, the probability of each chosen token")
    return count is not None


def _include_usage(body: dict[str, Any], stream: bool) -> bool:
    if "stream_options" not in body:
        return False
    options = body["stream_options"]
    if not isinstance(options, dict) or not stream:
        raise bad("stream_options", "stream_options is an object and needs stream: true")
    if others := sorted({*options} - {"include_usage", "include_obfuscation"}):
        raise bad("stream_options", f"stream_options.{others[0][:64]} is unknown", "unknown_parameter")
    return _flag({k: v for k, v in options.items() if v is not None}, "include_usage")


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise bad(name, f"{name} must be true or false")
    return value


def _number(body: dict[str, Any], name: str, low: float, high: float, default: float) -> float:
    value = body.get(name, default)
    if type(value) not in (int, float) or not low <= value <= high or not math.isfinite(value):
        raise bad(name, f"{name} must be a number from {low} to {high}")
    return float(value)


def _integer(body: dict[str, Any], name: str, low: int, high: int, default: int | None) -> int | None:
    value = body.get(name, default)
    if value is not default and (type(value) is not int or not low <= value <= high):
        raise bad(name, f"{name} must be a whole number from {low} to {high}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise bad(where, f"{where} must be a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad(where, f"{where} holds half a character (a lone surrogate)") from None
    return value
