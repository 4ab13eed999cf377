"""What our pages share: how their templates are read, and ``page.css``."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def templates(folder: Path) -> Any:
    """A jinja environment over ``folder`` and this package's ``page.css``: escapes, and fails on what is not given."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
