"""Take the picture in docs/web.md: ``python tests/picture_of_web.py runs/quickstart docs/web.png``."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from browser import browsing
from serving import listening

from litgpt_zh.evaluate.cards import named
from litgpt_zh.generate.load import load
from litgpt_zh.serve.app import Limits, Service
from litgpt_zh.web.app import Page
from litgpt_zh.web.command import checkpoints
from litgpt_zh.web.votes import Votes

SEED = "7"


async def take(root: str, file: Path) -> None:
    async with browsing(width=1000, height=800) as tab:
        await tab.open(root + "/")
        await tab.until("document.querySelector('#left option')")
        await tab.see("document.querySelector('details').open = true")
        await tab.fill("#seed", SEED)
        await tab.see("document.querySelector('details').open = false")
        await tab.click("#tell")
        await tab.until("document.querySelector('#vote').offsetParent")
        await asyncio.sleep(1.5)  # the last word's light goes down
        await tab.see("scrollTo(0, 0)")
        await tab.picture(file)


def main(run: Path, file: Path) -> None:
    models = {name: load(folder, device="cpu") for name, folder in named(checkpoints(run)).items()}
    file = file.resolve()
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        page = Page(Service(models, Limits(4, 4)), Votes(Path("data/votes")))
        with listening(page.app()) as root:
            asyncio.run(take(root, file))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
