"""How a request becomes the text a model sees: one function, used in training, sampling, chat and serving.

``<|user|>`` request ``<|assistant|>`` answer ``<|endoftext|>``. A pretraining story ends with the same ``<|endoftext|>``,
so every stock litgpt command stops at the right place, and what pretraining taught about endings stays true after SFT.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from litgpt_zh.constraints import Constraints, parse, render

EOS, PAD, USER, ASSISTANT, SYSTEM, END = (
    "<|endoftext|>", "<|pad|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>",
)  # fmt: skip
CONTROL = (EOS, PAD, USER, ASSISTANT, SYSTEM, END)
"""Control pieces of our tokenizer, ids 0..5 in this order."""

INSTRUCTION = "按照下面输入的约束生成故事"
_MARKER = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
_CONTROL = re.compile("|".join(map(re.escape, CONTROL)))


def plain(text: str) -> str:
    """``text`` with control pieces made harmless (full-width brackets): no user text can forge a turn."""
    return _CONTROL.sub(lambda found: "＜" + found.group()[1:-1] + "＞", text)


def request(instruction: str, input: str = "") -> str:
    """The user's side of an Alpaca-style record."""
    return f"{instruction.strip()}\n{input.strip()}" if input.strip() else instruction.strip()


def story_request(constraints: Constraints) -> str:
    """The user's side of a story record: the instruction, then one line per constraint."""
    return request(INSTRUCTION, render(constraints))


def chat_prompt(turns: Sequence[tuple[str, str]]) -> str:
    """The prompt for the next answer.

    Args:
        turns: (role, content) with roles system, user, assistant, in order, ending with the user's.

    Raises:
        ValueError: an unknown role.
    """
    text = ""
    for role, content in turns:
        if role not in _MARKER:
            raise ValueError(f"unknown role {role!r}; use system, user or assistant")
        text += _MARKER[role] + plain(content) + (EOS if role == "assistant" else "")
    return text + ASSISTANT


def asked(text: str) -> str:
    """What a person typed, as the user's side: constraints in any spelling are put in the trained form, other text stays."""
    constraints = parse(text)
    return story_request(constraints) if constraints else text


def prompt_for(text: str) -> str:
    """What a person typed, as a prompt; see ``asked``."""
    return chat_prompt([("user", asked(text))])
