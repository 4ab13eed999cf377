"""What cleaning did to the corpus: one row a rule, with counts and examples, from the manifest of the stage ``corpus``."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

_SHOWN = 3
_NAMES = {
    "mojibake": "乱码", "invisible characters": "看不见的字符", "newlines": "换行符", "spaces": "空格",
    "end marks": "结束标记", "broken characters": "缺失的字符", "markup": "网页标记", "markdown": "markdown 标记",
    "links": "网址", "remarks": "翻译模型的客套话", "punctuation": "标点与全半角", "traditional characters": "繁体字",
    "endings": "没有写完的结尾", "empty": "空", "control pieces": "控制符", "refusals": "模型的拒答",
    "untranslated": "没有翻译的英文", "repetition": "反复重复", "too short": "太短", "too long": "太长",
    "not Chinese": "不是中文", "duplicate": "重复的故事", "near-duplicate": "近似重复的故事",
    "words, sentence or summary left out": "去掉了不再相符的词、句子、摘要",
    "validation is full": "验证集已满", "unfinished": "没有写完", "broken": "有坏字", "degenerate": "反复重复",
    "others": "其他",
}  # fmt: skip
"""Rule or reason -> its name on the Chinese page; reasons of the readers keep theirs."""


def named(reason: str, language: str) -> str:
    """What the page calls a rule or a reason."""
    return _NAMES.get(reason, reason) if language == "zh" else reason


def cleaning(counts: dict[str, Any], language: str) -> list[dict[str, Any]]:
    """Rows for the page, the rules that touched most stories first; empty when nothing was touched.

    Args:
        counts: of the manifest: ``changed``, ``dropped``, ``edits``, ``examples``.
        language: zh or en.

    Returns:
        ``{"name", "changed", "dropped", "examples": [{"place", "before", "after"}]}`` each; ``after`` is None where the
        story was dropped.
    """
    changed, dropped = counts.get("changed") or {}, counts.get("dropped") or {}
    examples: dict[str, list[dict[str, Any]]] = {}
    for edit in counts.get("edits") or []:
        examples.setdefault(edit["rule"], []).append(_example(edit, edit["before"], edit["after"]))
    for bad in counts.get("examples") or []:
        examples.setdefault(bad["reason"], []).append(_example(bad, bad.get("detail") or "", None))
    names = sorted({*changed, *dropped}, key=lambda name: (-changed.get(name, 0) - dropped.get(name, 0), name))
    return [
        {
            "name": named(name, language),
            "changed": changed.get(name, 0),
            "dropped": dropped.get(name, 0),
            "examples": [example for example in examples.get(name, []) if example["before"]][:_SHOWN],
        }
        for name in names
    ]


def _example(where: dict[str, Any], before: str, after: str | None) -> dict[str, Any]:
    return {"place": f"{PurePath(where['file']).name}:{where.get('line', 0)}", "before": before, "after": after}
