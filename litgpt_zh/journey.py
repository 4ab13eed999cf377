"""The journey: every stage in order, each by its own command and recipe, recorded, resumable, then one page about it.

``quickstart`` writes small recipes for this machine and walks them; ``journey`` walks ``recipes/`` on the real data.
Both are the same walk: a step is a command line anyone can type.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import yaml

from litgpt_zh import scales
from litgpt_zh.evaluate.wording import FIGURES
from litgpt_zh.language import INNER, say
from litgpt_zh.shipped import lay
from litgpt_zh.stage import MANIFEST, PARTIAL, UserError, disk_errors, exclusive, fingerprint, versions, write_text

LITGPT = ("pretrain", "finetune_full", "finetune_lora")
"""Commands that stock litgpt runs from our recipes; the others are ours alone."""


@dataclass(frozen=True)
class Step:
    """One stage of a walk: ``recipe`` is the name of its file in the recipes folder."""

    recipe: str
    command: str

    def argv(self, recipes: Path, options: tuple[str, ...] = ()) -> list[str]:
        module = "litgpt" if self.command in LITGPT else "litgpt_zh"
        return [sys.executable, "-m", module, self.command, "--config", str(recipes / f"{self.recipe}.yaml"), *options]

    def shown(self, recipes: Path) -> str:
        """What a person would type for this step."""
        name = "litgpt" if self.command in LITGPT else "litgpt-zh"
        return f"{name} {self.command} --config {shlex.quote(str(recipes / f'{self.recipe}.yaml'))}"


STEPS = (
    Step("corpus", "corpus"),
    Step("tokenizer", "tokenizer"),
    Step("tokens", "tokens"),
    Step("pretrain", "pretrain"),
    Step("sft-data", "instructions"),
    Step("sft", "finetune_full"),
    Step("online", "online"),
    Step("evaluate", "evaluate_stories"),
)
"""The walk; translated data joins by naming its folder in recipes/sft-data.yaml."""


def quickstart(
    out_dir: Path = Path("runs/quickstart"),
    scale: Literal["auto", "tiny", "cpu-small", "cpu", "cpu-bf16", "gpu"] = "auto",
    seed: int = 0,
) -> None:
    """From nothing to a Chinese story model you can talk to, on this machine, in minutes.

    Makes stories with the built-in story world (synthetic: not TinyStories), trains a tokenizer on them, packs them,
    pretrains a model, tunes it on instructions, lets it learn from its own samples which of them did what was asked (DPO),
    scores it and writes a report. Stop it anywhere: the same command goes on.

    Args:
        out_dir: folder of the run; everything is in there, the recipes too.
        scale: auto takes gpu (zh-tinystories-44m) where there is a CUDA GPU, cpu-bf16 (zh-tinystories-2m) where the
            processor has bfloat16 instructions, elsewhere cpu (the same model, slower) with four cores and more, cpu-small
            (zh-tinystories-1m) with fewer; tiny is for tests.
        seed: of the story world and of training.

    Raises:
        UserError: a stage refused to start or failed; its own line says why.
    """
    chosen = scales.SCALES[_scale() if scale == "auto" else scale]
    out_dir = Path(out_dir)
    print(say(f"规模：{chosen.name}，预计{chosen.minutes}。", f"Scale {chosen.name}: {chosen.minutes_en} expected."))
    recipes = out_dir / "recipes"
    for name, recipe in scales.recipes(chosen, out_dir, seed).items():
        recipes.mkdir(parents=True, exist_ok=True)
        write_text(recipes / f"{name}.yaml", recipe)
    walk(STEPS, recipes, out_dir, title=say("快速开始", "Quickstart"))
    _finish(out_dir)


def journey(
    recipes: Path = Path("recipes"),
    out_dir: Path = Path("runs/journey"),
    source: Path | None = None,
    yes: bool = False,
) -> None:
    """Walk the recipes in order on the real data set, from the download on; resumable at any point.

    Args:
        recipes: folder of the recipes, one a stage; each says what it needs. Where there is none, ours are laid there.
        out_dir: where the record of the walk and its report go (the recipes name their own folders).
        source: an archive or folder of stories that is here already; nothing is downloaded then.
        yes: do not ask before starting.

    Raises:
        UserError: no such recipes or source; a stage refused to start or failed.
    """
    if source is not None and not Path(source).exists():
        raise UserError(f"{source}: no such file or folder; leave --source out to download the data set")
    steps = STEPS if source is not None else (Step("download", "download_corpus"), *STEPS)
    if recipes == Path("recipes") and not recipes.exists():  # installed, not a checkout
        lay("recipes", recipes)
    for step in steps:
        if not (Path(recipes) / f"{step.recipe}.yaml").is_file():
            raise UserError(
                f"{recipes}/{step.recipe}.yaml: no such recipe; litgpt-zh recipes lays ours into this folder, or give --recipes"
            )
    print(_needs(Path(recipes), steps))
    if not yes and not _agreed():
        raise UserError("not started; run it with --yes true to skip the question")
    options: dict[str, tuple[str, ...]] = {"corpus": ("--source", str(source))} if source is not None else {}
    walk(steps, Path(recipes), Path(out_dir), title=say("完整旅程", "Journey"), options=options)
    _finish(Path(out_dir))


def walk(
    steps: tuple[Step, ...],
    recipes: Path,
    out_dir: Path,
    *,
    title: str,
    options: dict[str, tuple[str, ...]] | None = None,
    call: Callable[[list[str], dict[str, str]], int] | None = None,
) -> None:
    """Run each step that is not finished yet, as its own process, and record it in ``out_dir/run.json``.

    Args:
        steps: in their order.
        recipes: the folder of their recipes.
        out_dir: where ``run.json`` goes.
        title: of the run.
        options: step -> further arguments of its command.
        call: runs a command line in an environment and returns its exit status; waiting for its end by default.

    Raises:
        UserError: a step ended with an error (its own output says which).
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with exclusive(out_dir), disk_errors(out_dir):
        record = _record(out_dir, title)
        for number, step in enumerate(steps, start=1):
            folder = output_of(recipes / f"{step.recipe}.yaml")
            extra = (options or {}).get(step.recipe, ())
            key = key_of(recipes / f"{step.recipe}.yaml", extra)
            before = next((s for s in record["stages"] if s["name"] == step.recipe), None)
            head = f"[{number}/{len(steps)}] {step.recipe}"
            if before and before["key"] == key and is_finished(folder):
                print(say(f"{head}：已完成（{before['seconds']:.0f} 秒）", f"{head}: done ({before['seconds']:.0f} s)"))
                continue
            print(f"\n{head}: {step.shown(recipes)}", flush=True)
            earlier, unchanged = _spent(record.get("going"), step.recipe, key, folder), _made_at(folder)
            record["going"] = {"name": step.recipe, "key": key, "since": time.time(), "seconds": earlier}
            write_text(out_dir / "run.json", json.dumps(record, ensure_ascii=False, indent=1))
            started = time.perf_counter()
            code = (call or _call)(step.argv(recipes, extra), _environment())
            if code != 0 or not is_finished(folder):
                raise UserError(
                    f"stage {step.recipe} stopped (exit status {code}); its last lines say why. "
                    "The same command goes on from here"
                )
            seconds = earlier + time.perf_counter() - started
            if before and _made_at(folder) == unchanged:  # it found that nothing was left to do
                seconds = before["seconds"]
            entry = {
                "name": step.recipe,
                "command": step.shown(recipes),
                "key": key_of(recipes / f"{step.recipe}.yaml", extra),
                "seconds": round(seconds, 1),
                "folder": os.path.relpath(folder, out_dir),
            }
            del record["going"]
            record["stages"] = [s for s in record["stages"] if s["name"] != step.recipe] + [entry]
            write_text(out_dir / "run.json", json.dumps(record, ensure_ascii=False, indent=1))


def _spent(going: dict[str, Any] | None, name: str, key: str, folder: Path) -> float:
    """Seconds that stopped calls spent on a step, as far as the last file that it wrote."""
    if going is None or (going["name"], going["key"]) != (name, key):
        return 0.0
    root = folder.parent if folder.name == "final" else folder
    files = [*root.rglob("*"), *root.with_name(root.name + PARTIAL).rglob("*")]
    written = [file.stat().st_mtime for file in files if file.is_file()]
    return going["seconds"] + max([0.0, *(when - going["since"] for when in written)])


def _made_at(folder: Path) -> int | None:
    return (folder / MANIFEST).stat().st_mtime_ns if is_finished(folder) else None


def output_of(recipe: Path) -> Path:
    """The folder a recipe makes (of a training, in rounds too: its ``final/``)."""
    settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    return Path(settings["out_dir"]) / "final" if "train" in settings else Path(settings["out_dir"])


def is_finished(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _call(argv: list[str], environment: dict[str, str]) -> int:
    return subprocess.call(argv, env=environment)


def key_of(recipe: Path, extra: tuple[str, ...] = ()) -> str:
    """What a finished step depends on: its recipe, its options, and the folders it reads."""
    text = recipe.read_text(encoding="utf-8")
    read = sorted(folders_of(yaml.safe_load(text)))
    inputs = {str(folder): fingerprint(folder) for folder in read if (folder / MANIFEST).is_file()}
    import xxhash

    return xxhash.xxh3_128_hexdigest(json.dumps([text, extra, inputs], sort_keys=True).encode())


def folders_of(value: Any, key: str = "") -> set[Path]:
    """Folders a recipe names as input: every ``*_dir`` and ``source`` except ``out_dir``."""
    if isinstance(value, dict):
        return set().union(*(folders_of(v, k) for k, v in value.items()), set())
    if isinstance(value, list):
        return set().union(*(folders_of(v, key) for v in value), set())
    if isinstance(value, str) and key != "out_dir" and (key.endswith("_dir") or key == "source"):
        return {Path(value)}
    return set()


def _record(out_dir: Path, title: str) -> dict[str, Any]:
    file = out_dir / "run.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"stages": []}
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_gpu() or 'no GPU'}"
    head = {"title": title, "machine": machine, "versions": versions(), "date": time.strftime("%Y-%m-%d")}
    return {**head, **{k: v for k, v in found.items() if k in ("date", "going")}, "stages": found["stages"]}


def _finish(out_dir: Path) -> None:
    """The report, a few stories and what to type next."""
    from litgpt_zh.report.stage import report

    record = json.loads((out_dir / "run.json").read_text(encoding="utf-8"))
    folders = {stage["name"]: out_dir / stage["folder"] for stage in record["stages"]}
    model = os.path.relpath(folders["online"])
    chat = f"litgpt-zh chat {model}"
    web = f"litgpt-zh web {os.path.relpath(out_dir)}"
    record["next"] = [chat, web, f"litgpt chat {model}", f"litgpt-zh export {model} --out_dir out/hf"]
    record["next"] += [
        say(
            "课程从 docs/index.md 开始；没有 docs/ 就先敲 litgpt-zh recipes",
            "The course (in Chinese) begins at docs/index.md; litgpt-zh recipes lays docs/ into this folder",
        )
    ]
    write_text(out_dir / "run.json", json.dumps(record, ensure_ascii=False, indent=1))
    page = report(out_dir)
    _show_stories(folders["evaluate"])
    total = sum(stage["seconds"] for stage in record["stages"])
    print(say(f"\n全程 {total / 60:.1f} 分钟。报告：{page}", f"\n{total / 60:.1f} minutes in all. Report: {page}"))
    print(say(f"现在可以和它聊：{chat}", f"Now talk to it: {chat}"))
    print(say("例如输入：词汇：铲子，草地；特征：对话", "Type for example: 词汇：铲子，草地；特征：对话"))


def _show_stories(folder: Path, count: int = 3) -> None:
    """Stories of the last model, and what share of the requests each model met."""
    score = json.loads((folder / "score.json").read_text(encoding="utf-8"))
    cards = [score, *score.get("others", [])]
    for sample in cards[-1].get("samples", [])[:count]:
        print(f"\n词汇：{'，'.join(sample['words'])}\n{sample['text']}")
    for card in cards:
        print(say(f"\n模型 {card['name']}：", f"\nModel {card['name']}:"))
        for name in ("words_all", "words_all_shuffled", "finished"):
            value = card["figures"].get(name)
            if value:
                print(f"  {value['value']:6.1%}  [{value['low']:.1%}, {value['high']:.1%}]  {say(*FIGURES[name])}")


def _scale() -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or version("torch").endswith("+cpu")
    return scales.for_cpu() if hidden or not _gpu() else "gpu"


def _gpu() -> str | None:
    """The name of the first CUDA GPU; asks its driver, so that torch need not be imported here."""
    try:
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip().splitlines()[0] if found.returncode == 0 and found.stdout.strip() else None


def _environment() -> dict[str, str]:
    quiet = {"JSONARGPARSE_DEPRECATION_WARNINGS": "off"}  # litgpt's own calls, nothing a user can mend
    return {**os.environ, **quiet, INNER: "1", "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}


def _needs(recipes: Path, steps: tuple[Step, ...]) -> str:
    """What each recipe says that it needs (disk, hours), and whether an endpoint is asked, before anything starts."""
    lines, asking = [], []
    for step in steps:
        text = (recipes / f"{step.recipe}.yaml").read_text(encoding="utf-8")
        lines.append(f"{step.recipe}: {needs_of(text)}")
        asking += [step.recipe] if "base_url" in text else []
    lines.append(
        say(
            f"{'、'.join(asking)} 要问一个端点，价钱看它的价目表。",
            f"{', '.join(asking)}: an endpoint is asked, at its prices.",
        )
        if asking
        else say("不问任何端点，没有接口费用。", "No endpoint is asked: no API cost.")
    )
    return "\n".join(lines)


def needs_of(recipe: str) -> str:
    """What the opening comment of a recipe's text says between ``Needs:`` and ``Launch:``."""
    head = itertools.takewhile(lambda line: line.startswith("#"), recipe.splitlines())
    words = " ".join(line.lstrip("# ").strip() for line in head)
    return words.partition("Needs:")[2].partition("Launch:")[0].strip()


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input(say("开始吗？[y/N] ", "Start? [y/N] ")).strip().lower() in ("y", "yes")
