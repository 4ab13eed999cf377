"""The README's commands at a tiny scale: from nothing to a chat, stopped anywhere, under stock litgpt too."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import torch
import yaml
from conftest import QUICK, WALK, Walk, run
from litgpt.__main__ import main as stock_main

from litgpt_zh import checkpoints, runlog
from litgpt_zh.__main__ import main as litgpt_zh_main
from litgpt_zh.journey import STEPS, Step, needs_of
from litgpt_zh.journey import walk as walk_steps
from litgpt_zh.stage import MANIFEST, Manifest, UserError

ROOT = Path(__file__).parent.parent
RECIPES = sorted(file.stem for file in (ROOT / "recipes").glob("*.yaml"))
LITGPT = re.compile(
    r"\{'| +['\"]| +\w+=|Seed set|Number of|Time to|The longest|Total param|Verifying|Measured|Epoch |iter \d|Saving|Final|\|"
)
"""How the lines of litgpt begin: its settings, its progress, its tables."""
STAGES = ["corpus", "tokenizer", "tokens", "pretrain", "sft-data", "sft", "online", "evaluate"]


def weights(final: Path) -> dict[str, torch.Tensor]:
    return checkpoints.flat_weights(final / "lit_model.pth")


# the walk ------------------------------------------------------------------------------------------------------------


def test_quickstart_leaves_every_stage_finished(walk: Walk) -> None:
    record = json.loads((walk.folder / "run.json").read_text(encoding="utf-8"))
    assert [stage["name"] for stage in record["stages"]] == STAGES
    for stage in record["stages"]:
        assert (walk.folder / stage["folder"] / MANIFEST).is_file()
    for folder in ("pretrain", "sft", "online"):
        tied = weights(walk.folder / folder / "final")
        assert torch.equal(tied["lm_head.weight"], tied["transformer.wte.weight"])
    shares = [sample["share"] for sample in runlog.read(walk.folder / "pretrain" / "samples.jsonl")]
    assert shares == [0.0, 0.1, 0.3, 1.0]
    assert not list(walk.folder.rglob("*.partial")) and not list(walk.folder.rglob("*.lock"))


def test_quickstart_says_what_it_did_and_what_comes_next(walk: Walk) -> None:
    for part in ("量得每秒", "汤姆和杰瑞是好朋友，", "要求的词全部写到", "自己结束", "litgpt-zh chat", "report.html"):
        assert part in walk.output, part


def test_every_line_of_ours_is_chinese(walk: Walk) -> None:
    """Prompts and what a model writes after them aside, and the lines that say the same in every language."""
    words = [line for line in walk.output.splitlines() if re.search("[A-Za-z]{3}", line) and not line.startswith("<|")]
    ours = [line for line in words if not LITGPT.match(line) and not re.match(r"\[\d/\d\] |\S+\.html$", line)]
    bars = [
        line for line in re.split(r"[\r\n]+", walk.bars) if "/s" in line and "%|" in line and not line.endswith("B/s]")
    ]
    assert len(ours) > 30 and len(bars) > 10
    assert [line for line in [*ours, *bars] if not re.search("[\u4e00-\u9fff]", line)] == []


def test_the_report_shows_curves_and_stories(walk: Walk) -> None:
    page = (walk.folder / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page and "合成" in page and "汤姆和杰瑞是好朋友" in page


def test_a_second_call_does_nothing(walk: Walk) -> None:
    before = {p: p.stat().st_mtime_ns for p in walk.folder.rglob("*") if p.is_file() and p.parent != walk.folder}
    done = run(*WALK, cwd=walk.folder.parent)
    assert done.returncode == 0 and done.stdout.count("已完成") == len(STAGES)
    after = {p: p.stat().st_mtime_ns for p in before}
    assert {p.name for p in before if before[p] != after[p]} <= {f"{name}.yaml" for name in STAGES}


def test_the_time_of_stopped_calls_counts_and_that_of_idle_ones_does_not(tmp_path: Path) -> None:
    recipe, out = tmp_path / "corpus.yaml", tmp_path / "made"
    recipe.write_text(f"out_dir: {out}\n")

    def stopped(*_) -> int:
        half = tmp_path / "made.partial" / "half"
        half.parent.mkdir()
        half.write_text("")
        os.utime(half, (time.time() + 100, time.time() + 100))  # as if it had worked for 100 seconds
        return 1

    def finished(*_) -> int:
        out.mkdir()
        (out / MANIFEST).write_text("{}")
        return 0

    def seconds(call) -> float:
        walk_steps((Step("corpus", "corpus"),), tmp_path, tmp_path / "run", title="", call=call)
        record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
        assert "going" not in record
        return record["stages"][0]["seconds"]

    with pytest.raises(UserError, match="The same command goes on"):
        seconds(stopped)
    assert 99 < (found := seconds(finished)) < 130
    recipe.write_text(recipe.read_text() + "# said otherwise: the stage is asked again, and has nothing to do\n")
    assert seconds(lambda *_: 0) == found


@pytest.mark.slow
def test_killed_at_five_moments_it_ends_the_same(walk: Walk, tmp_path: Path) -> None:
    """kill -9 of the whole process group, again and again; tensors, shards and the merged losses are those of one run."""
    folder, moments = tmp_path / "quickstart", random.Random(5)
    argv = [sys.executable, "-m", "litgpt_zh", *WALK[1:]]
    kills = 0
    while kills < 5:
        process = subprocess.Popen(
            argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=QUICK, start_new_session=True
        )
        time.sleep(moments.uniform(1.5, 6))  # short enough for five kills on a fast machine
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    done = run(*WALK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert kills >= 3
    for stage in ("corpus", "tokenizer", "tokens", "sft-data", "online/round-1/pairs"):
        one, two = Manifest.read(walk.folder / stage), Manifest.read(folder / stage)
        assert one.outputs == two.outputs and one.counts == two.counts, stage
    for stage in ("pretrain", "sft", "online/round-1/train", "online"):
        one, two = weights(walk.folder / stage / "final"), weights(folder / stage / "final")
        assert all(torch.equal(one[key], two[key]) for key in one), stage
        if stage != "online":
            assert record(walk.folder / stage) == record(folder / stage)


def record(folder: Path) -> list[tuple]:
    """The merged log of a training, times aside."""
    lines = runlog.read(folder / "metrics.jsonl")
    return [(n["iter"], key, n[key]) for n in lines for key in ("loss", "val_loss", "learning_rate") if key in n]


# stock litgpt on what the walk left ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_stock_chat_and_generate_take_our_folders(walk: Walk) -> None:
    chat = run("litgpt", "chat", str(walk.sft), "--max_new_tokens", "20", stdin="词汇：铲子，草地\n\n")
    assert chat.returncode == 0 and "Reply:" in chat.stdout, chat.stderr[-2000:]
    plain = run("litgpt", "generate", str(walk.folder / "pretrain/final"), "--prompt", "汤姆", "--max_new_tokens", "10")
    assert plain.returncode == 0 and "汤姆" in plain.stdout, plain.stderr[-2000:]


def test_our_chat_answers_and_checks_the_words(walk: Walk) -> None:
    done = run("litgpt-zh", "chat", str(walk.sft), "--prompt", "关键词:铲子、草地", "--max_new_tokens", "20")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "铲子" in done.stdout and ("✓" in done.stdout or "✗" in done.stdout)
    plain = run(
        "litgpt-zh", "chat", str(walk.folder / "pretrain/final"), "--prompt", "汤姆和杰瑞", "--max_new_tokens", "9"
    )
    assert plain.returncode == 0 and "�" not in plain.stdout


@pytest.mark.slow
def test_stock_lora_runs_our_recipe_on_it(walk: Walk, tmp_path: Path) -> None:
    recipe = yaml.safe_load((ROOT / "recipes/sft-lora.yaml").read_text(encoding="utf-8"))
    recipe |= {
        "checkpoint_dir": str(walk.folder / "pretrain/final"),
        "out_dir": str(tmp_path / "lora"),
        "precision": "32-true",
    }
    recipe["data"]["init_args"] |= {
        "data_dir": str(walk.folder / "sft-data"),
        "pretrain_dir": str(walk.folder / "tokens"),
    }
    recipe["train"] |= {"max_steps": 3, "global_batch_size": 8, "micro_batch_size": 8, "epochs": 1}
    (tmp_path / "lora.yaml").write_text(yaml.safe_dump(recipe))
    done = run("litgpt", "finetune_lora", "--config", str(tmp_path / "lora.yaml"))
    assert done.returncode == 0, done.stderr[-2000:]
    assert Manifest.read(tmp_path / "lora/final").stage == "sft-lora"
    assert not torch.equal(
        weights(tmp_path / "lora/final")["transformer.h.0.mlp.fc_1.weight"],
        weights(walk.folder / "pretrain/final")["transformer.h.0.mlp.fc_1.weight"],
    )


@pytest.mark.parametrize("recipe", ["pretrain", "sft", "sft-lora"])
def test_stock_litgpt_accepts_the_recipe(recipe: str) -> None:
    """As a person types it: nothing of ours is imported before litgpt reads the recipe."""
    done = run("litgpt", *launch(recipe), "--print_config")
    assert done.returncode == 0 and "litgpt_zh." in done.stdout, done.stderr[-2000:]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_accepted_by_the_command_it_names(
    recipe: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / f"recipes/{recipe}.yaml").read_text(encoding="utf-8")
    argv = [*launch(recipe), "--print_config"]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["litgpt", *argv])
    with pytest.raises(SystemExit) as left:
        litgpt_zh_main(argv) if "# Launch: litgpt-zh " in text else stock_main()
    said = capsys.readouterr()
    assert not left.value.code, said.err[-2000:]
    taken = yaml.safe_load(said.out)
    assert yaml.safe_load(text).keys() <= taken.keys()


def test_an_option_that_no_recipe_may_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text((ROOT / "recipes/tokens.yaml").read_text("utf-8") + "blocksize: 5\n", "utf-8")
    with pytest.raises(SystemExit) as left:
        litgpt_zh_main(["tokens", "--config", str(tmp_path / "recipe.yaml"), "--print_config"])
    assert left.value.code == 2


def launch(recipe: str) -> list[str]:
    """What the recipe's comment says to type, without the program."""
    text = (ROOT / f"recipes/{recipe}.yaml").read_text(encoding="utf-8")
    return re.search(rf"# Launch: litgpt(?:-zh)? ([a-z_]+ --config recipes/{recipe}\.yaml)", text)[1].split()  # type: ignore[index]


def test_every_recipe_opens_with_what_it_needs_and_how_to_launch_it() -> None:
    for file in sorted((ROOT / "recipes").glob("*.yaml")):
        head = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
        assert any("Needs:" in line for line in head) and any("Launch: litgpt" in line for line in head), file.name


def test_the_journey_says_whole_what_each_recipe_needs() -> None:
    assert needs_of("# A.\n# Needs: b done;\n# 2 GB.\n# Launch: c\nd: 1\n# Needs: e\n") == "b done; 2 GB."
    said = {step.recipe: needs_of((ROOT / f"recipes/{step.recipe}.yaml").read_text("utf-8")) for step in STEPS}
    assert all(needs.endswith((".", "!")) for needs in said.values()), said
    assert all(re.search("hour|minutes", needs) for needs in said.values()), said
    assert all("estimate" in needs for name, needs in said.items() if name != "evaluate"), said


# make journey --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_journey_walks_the_recipes_on_an_archive_of_the_real_form(walk: Walk, tmp_path: Path) -> None:
    archive(tmp_path / "TinyStories_all_data_zh.tar.gz", walk.folder / "corpus")
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    shrink(tmp_path / "recipes")
    argv = ("litgpt-zh", "journey", "--source", str(tmp_path / "TinyStories_all_data_zh.tar.gz"), "--yes", "true")
    done = run(*argv, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    before, _, _ = done.stdout.partition("[1/8]")
    assert "2 hours on an RTX 3090 Ti" in before and "没有接口费用" in before and "download" not in before.split()[0]
    assert Manifest.read(tmp_path / "data/corpus").counts["read"] == 200
    assert (tmp_path / "runs/journey/report.html").is_file()
    again = run(*argv, cwd=tmp_path)
    assert again.stdout.count("已完成") == len(STAGES)


def archive(file: Path, corpus: Path) -> None:
    """200 stories as TinyStoriesChinese packs them."""
    stories = [
        json.loads(line)["text"] for line in (corpus / "train-00000.jsonl").read_text("utf-8").splitlines()[:200]
    ]
    with tarfile.open(file, "w:gz") as tar:
        for number in range(2):
            lines = [
                {
                    "story": "Once upon a time.",
                    "instruction": {"prompt:": "Write a story.", "words": ["dig", "grass"], "features": ["Dialogue"]},
                    "summary": "A story.",
                    "source": "GPT-4",
                    "story_zh": story,
                }
                for story in stories[number * 100 : number * 100 + 100]
            ]
            data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
            member = tarfile.TarInfo(f"data{number:02d}_zh.jsonl")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def shrink(recipes: Path) -> None:
    """The same recipes for a machine without a GPU and a minute's time."""
    changes = {
        "corpus": {"val_share": 0.1},
        "tokenizer": {"vocab_size": 4608},
        "tokens": {"block_size": 256},
        "sft-data": {"block_size": 256, "max_records": 60},
        "evaluate": {"count": 4, "max_new_tokens": 20},
        "pretrain": {"model_name": "zh-tinystories-2m", "precision": "32-true", "logger_name": "csv"},
        "sft": {"precision": "32-true"},
        "dpo": {"precision": "32-true"},
        "online": {
            "rounds": 1,
            "pairs": {
                "source": "data/corpus", "count": 40, "samples": 2, "kind": "classic", "length_ratio": 0.1, "val_share": 0.3,
                "max_new_tokens": 20,
            },  # a toy ends no story by itself, so none of its samples could be the better one
            "gate": {"corpus_dir": "data/corpus", "count": 4, "max_new_tokens": 20},
        },
    }  # fmt: skip
    for name, change in changes.items():
        text = (recipes / f"{name}.yaml").read_text(encoding="utf-8")
        recipe = yaml.safe_load(text) | change
        if name == "dpo":
            recipe["data"]["init_args"] |= {"check_sft": False, "guard": False}
        if isinstance(recipe.get("train"), dict):
            recipe["train"] |= {"global_batch_size": 8, "micro_batch_size": 8, "save_interval": 3, "lr_warmup_steps": 1}
            recipe["eval"] |= {"interval": 3, "max_iters": 2}
        if name == "pretrain":
            recipe["train"]["max_tokens"] = 4 * 8 * 256
        if name == "sft":
            recipe["train"]["max_steps"] = 3
        opening = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
        (recipes / f"{name}.yaml").write_text(opening + yaml.safe_dump(recipe), encoding="utf-8")


# the command line ----------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, litgpt_zh.__main__ as m; m.main(['--help']); print([n for n in ('torch','litgpt','numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "quickstart" in done.stdout and "finetune_lora" in done.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("pretrain", "zh-tinystory-44m"), "did you mean zh-tinystories-44m"),
        (("pretrian",), "did you mean pretrain"),
        (("chat", "no/such/folder"), "no such folder"),
        (("corpus", "--source", "no/such/file"), "no such file"),
        (("journey", "--source", "no/such/archive", "--yes", "true"), "no such file"),
        (("journey", "--recipes", "nowhere", "--yes", "true"), "no such recipe"),
        (("report", "no/such/run"), "no such folder"),
        (("serve", "no/such/folder"), "no such folder"),
    ],
)
def test_mistakes_are_one_line_and_a_status(argv: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = run("litgpt-zh", *argv, cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0, done.stderr
