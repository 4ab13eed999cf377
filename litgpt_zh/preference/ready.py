"""Before training: is the SFT model good enough for preferences to be worth learning?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litgpt_zh.evaluate.figures import rate
from litgpt_zh.language import say
from litgpt_zh.preference.held_out import Figures
from litgpt_zh.stage import Manifest, UserError


def require_ready(data: Any, checkpoint_dir: Path, before: Figures) -> str:
    """Compare what SFT reached with ``data.min_words_all`` and ``data.min_yield``.

    Args:
        data: a ``Preference``.
        checkpoint_dir: the model that will be trained.
        before: its figures on the held-out requests.

    Returns:
        One line for the terminal: what was found, or why nothing could be.

    Raises:
        UserError: a figure is below its level, beyond the noise.
    """
    found = []
    if len(before.words):
        words = rate(before.words)
        found.append(
            say(
                f"没见过的 {len(before.words)} 个要求，词全部写到（words_all）{words['value']:.1%}",
                f"words_all {words['value']:.1%} of {len(before.words)} held-out requests",
            )
        )
        if words["high"] < data.min_words_all:
            raise _not_ready(checkpoint_dir, found[0], f"data.min_words_all {data.min_words_all}")
    counts = Manifest.read(data.folder).counts
    if "yield" in counts:
        found.append(
            say(
                f"{counts['read']:,} 个要求，{counts['yield']:.1%} 给出了偏好对",
                f"pairs from {counts['yield']:.1%} of {counts['read']:,} requests",
            )
        )
        if counts["yield"] < data.min_yield:
            raise _not_ready(checkpoint_dir, found[-1], f"data.min_yield {data.min_yield}")
    if not found:
        return say(
            f"{data.folder}：不知道这些偏好对要求了什么，所以没有检查 SFT",
            f"{data.folder}: what was asked is not known of these pairs, so SFT is not checked",
        )
    return say(f"检查过 SFT：{'；'.join(found)}", f"SFT is checked: {'; '.join(found)}")


def _not_ready(checkpoint_dir: Path, found: str, level: str) -> UserError:
    return UserError(
        say(
            f"{checkpoint_dir}：SFT 不够好，先回去补 SFT（docs/sft.md）：{found}，低于 {level}；一定要训练就设 data.check_sft: false",
            f"{checkpoint_dir}: SFT is not good enough yet, go back to it first (docs/sft.md): {found}, below {level}; "
            "to train all the same, set data.check_sft: false",
        )
    )
