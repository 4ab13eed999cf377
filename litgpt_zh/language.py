"""Chinese or English for what a person reads."""

from __future__ import annotations

import os
from typing import Literal

from litgpt_zh.stage import UserError

Language = Literal["auto", "zh", "en"]
INNER = "LITGPT_ZH_INNER"
"""Set in the environment of a command that another of ours has started: at Ctrl-C only the outer one speaks."""


def language(choice: str = "auto") -> Literal["zh", "en"]:
    """``zh`` or ``en``. ``auto`` asks the locale: a language other than Chinese gives English, none at all Chinese.

    Raises:
        UserError: neither of the three.
    """
    if choice in ("zh", "en"):
        return choice  # type: ignore[return-value]
    if choice != "auto":
        raise UserError(f"language {choice!r}: choose auto, zh or en")
    named = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    code = named.split(".")[0].split("_")[0].lower()
    return "zh" if code in ("", "c", "posix", "zh") else "en"


def say(chinese: str, english: str) -> str:
    """The one of the two that suits the locale."""
    return chinese if language() == "zh" else english


def stage_line(out_dir: object, summary: str, finished: bool) -> str:
    """What a stage says of its folder at its end; ``finished``: it was there already."""
    before = say("（以前做好的）", " (made before)") if finished else ""
    return say(f"{out_dir}：", f"{out_dir}: ") + summary + before
