"""The command ``web``: a page where models tell stories."""

from __future__ import annotations

import asyncio
from pathlib import Path

from litgpt_zh.stage import UserError


def web(
    checkpoint_dir: dict[str, Path] | list[Path] | Path,
    votes_dir: Path = Path("data/votes"),
    host: str = "127.0.0.1",
    port: int = 8008,
    batch_size: int = 16,
    queue: int = 64,
    timeout: float = 300.0,
) -> None:
    """Open a page at http://127.0.0.1:8008 where checkpoints tell stories: required words light up as they come, two models
    answer side by side with the same seed, and votes become preference pairs. Chinese and English, no internet needed.

    Say which words, features, summary and sentence a story must have, or write anything; the story comes character by
    character, and what it has of them lights up. Two models side by side answer the same request with the same seed; vote
    for the better story. Each vote is a line in VOTES_DIR/votes.jsonl at once; the page's export button makes pairs.jsonl of
    them and shows the commands that train on it (litgpt-zh pairs, then DPO).

    Give a run's folder, and every stage's final/ in it can be chosen on the page:

        litgpt-zh web runs/quickstart
        litgpt-zh web '[out/sft/final, out/dpo/final]'

    The OpenAI-compatible endpoint of ``litgpt-zh serve`` is at /v1, with all these models. To let in only those who know a
    key, put it into the environment variable LITGPT_ZH_API_KEY; the page asks for it.

    Args:
        checkpoint_dir: a checkpoint folder; a run's folder such as runs/quickstart, with STAGE/final in it; a list of folders,
            '[out/sft/final, out/dpo/final]'; or name: folder pairs.
        votes_dir: the folder that keeps the votes; those of earlier days count on.
        host: address to listen at; by default this machine alone can connect. 0.0.0.0 opens it to the network.
        port: 0 takes a free one.
        batch_size: stories that a model writes together; more of them wait.
        queue: stories that may wait for a model.
        timeout: seconds for one story, waiting included.

    Raises:
        UserError: no checkpoint is found, or one cannot be loaded; the folder cannot be written; a setting is out of range.
    """
    from litgpt_zh.evaluate.cards import named
    from litgpt_zh.serve.command import key_for, listen, require_ranges

    require_ranges(port, batch_size=batch_size, queue=queue, timeout=timeout)
    folders = named(checkpoint_dir if isinstance(checkpoint_dir, dict) else checkpoints(checkpoint_dir))
    from litgpt_zh.generate.load import load
    from litgpt_zh.serve.app import Limits, Service
    from litgpt_zh.web.app import Page
    from litgpt_zh.web.votes import Votes

    votes = Votes(Path(votes_dir))
    models = {name: load(folder) for name, folder in folders.items()}
    for loaded in models.values():
        _ = loaded.stop_ids  # refuses a tokenizer that names no end
    service = Service(models, Limits(batch_size, queue, timeout), key_for(host, port))
    print(f"{', '.join(models)}; votes: {votes.file} ({sum(votes.counts().values())})")
    asyncio.run(listen(Page(service, votes).app(), host, port, "", "/"))


def checkpoints(given: list[Path] | Path) -> list[Path]:
    """Checkpoint folders: those given, and in the place of a run's folder what its stages left, in the order of their making.

    Raises:
        UserError: a folder holds no checkpoint.
    """
    folders: list[Path] = []
    for folder in [Path(given)] if isinstance(given, (str, Path)) else map(Path, given):
        inside = [] if (folder / "model_config.yaml").is_file() else list(folder.glob("*/final/lit_model.pth"))
        if not inside and not (folder / "model_config.yaml").is_file():
            raise UserError(f"{folder}: neither a checkpoint nor a run with STAGE/final in it; give such a folder")
        folders += [weights.parent for weights in sorted(inside, key=lambda file: file.stat().st_mtime)] or [folder]
    return folders
