"""Names: one spelling each. A TSV (``Lily<TAB>莉莉``) is read, and only the names that occur are shown to the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from litgpt_zh.stage import UserError

_HAN = re.compile(r"[\u3400-\u9fff·]+")


def read_glossary(path: Path | None) -> dict[str, str]:
    """Name -> Chinese, from lines ``name<TAB>Chinese``; empty lines and those that begin with # are skipped.

    Raises:
        UserError: no such file, or a line that is no pair.
    """
    if path is None:
        return {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a UTF-8 file of lines name<TAB>Chinese") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) < 2 or not parts[0] or not _HAN.fullmatch(parts[1]):
            raise UserError(f"{path}:{number}: {line!r} is not name<TAB>Chinese; put it right or begin it with #")
        if found.setdefault(parts[0], parts[1]) != parts[1]:
            raise UserError(f"{path}:{number}: {parts[0]} has two translations; keep one")
    return found


def occurring(glossary: Mapping[str, str], story: str) -> dict[str, str]:
    """The entries whose name stands in the story as a word of its own, in the glossary's order."""
    words = set(re.findall(r"[^\W\d_]+", story))
    return {
        name: chinese
        for name, chinese in glossary.items()
        if (name in words if name.isalpha() else re.search(rf"\b{re.escape(name)}\b", story))
    }
