"""The model card says what was recorded, and where nothing was, that."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonargparse
import pytest
import yaml
from conftest import Walk
from llama_like import checkpoint

from litgpt_zh.export.card import NOT_MEASURED, WORLD_SCORE
from litgpt_zh.export.history import history
from litgpt_zh.export.importing import import_hf
from litgpt_zh.export.llamacpp import export_gguf
from litgpt_zh.export.stage import export
from litgpt_zh.stage import Manifest, UserError, fingerprint

FIGURES = {"words_all": {"value": 0.6, "low": 0.5, "high": 0.7, "n": 9}, "characters": 128.04}


class Run:
    """The folders of a run, with manifests made by hand: corpus, tokenizer, tokens, pretrain, instructions, sft, score."""

    def __init__(self, home: Path, corpus: dict[str, Any]) -> None:
        self.home = home
        raw = {"download": self.stage("raw", "download", {"dataset": "somebody/Stories"})} if not corpus else {}
        text = {"corpus": self.stage("corpus", "corpus", corpus, raw)}
        checkpoint(home / "out/pretrain/final", instruct=False)
        words = (home / "out/pretrain/final/tokenizer.json").read_text(encoding="utf-8")
        self.stage("tokenizer", "tokenizer", {}, text, {"tokenizer.json": words})
        known = {"tokenizer": fingerprint(home / "tokenizer/tokenizer.json")}
        tokens = {"tokens": self.stage("tokens", "tokens", {}, text | known)}
        self.seal("out/pretrain/final", "pretrain", tokens | known)
        records = self.stage("sft-data", "instructions", {}, text | known)
        checkpoint(home / "out/sft/final", seed=1)
        recipe = {"checkpoint_dir": str(home / "out/pretrain/final"), "data": {"init_args": {"data_dir": str(home / "sft-data")}}}  # fmt: skip
        (home / "out/sft/final/hyperparameters.yaml").write_text(yaml.safe_dump(recipe))
        base = fingerprint(home / "out/pretrain/final/lit_model.pth")
        self.seal("out/sft/final", "sft", {"records": records, "base": base})

    def stage(
        self, name: str, stage: str, settings: dict, inputs: dict | None = None, files: dict | None = None
    ) -> Any:
        (self.home / name).mkdir(parents=True)
        for file, content in (files or {"data": name}).items():
            (self.home / name / file).write_text(content, encoding="utf-8")
        self.seal(name, stage, inputs or {}, settings)
        return fingerprint(self.home / name)

    def seal(self, name: str, stage: str, inputs: dict[str, Any], settings: dict[str, Any] | None = None) -> None:
        folder = self.home / name
        outputs = {p.name: fingerprint(p) for p in sorted(folder.iterdir())}
        Manifest(stage, settings or {"seed": 7}, inputs, {"steps": 1234}, outputs, {"torch": "2.0"}, 5.0).write(folder)

    def score(self, settings: dict[str, Any], inputs: dict[str, Any] | None = None) -> None:
        sample = {"words": ["铲子"], "text": "小兔子\n有铲子。"}
        result = {"count": 9, "figures": FIGURES, "samples": [sample] * 5}
        checked = {"checkpoint": fingerprint(self.final)}
        self.stage("out/score", "evaluate", settings, checked | (inputs or {}), {"score.json": json.dumps(result)})

    @property
    def final(self) -> Path:
        return self.home / "out/sft/final"

    def card(self) -> str:
        export(self.final, self.home / "hf")
        return (self.home / "hf/README.md").read_text(encoding="utf-8")


def test_every_stage_is_found_by_what_it_wrote(tmp_path: Path) -> None:
    run = Run(tmp_path, {"source": "world"})
    names = [manifest.stage for manifest in history(run.final).stages]
    assert sorted(names[:-1]) == ["corpus", "instructions", "pretrain", "tokenizer", "tokens"] and names[-1] == "sft"
    assert names.index("corpus") < names.index("tokens") < names.index("pretrain")
    assert history(run.final).missing == []
    (tmp_path / "sft-data").rename(tmp_path / "elsewhere")
    assert history(run.final).missing == []  # another name, the same content
    (tmp_path / "elsewhere/manifest.json").unlink()
    assert history(run.final).missing == ["sft: records"]
    assert "没有列出：sft: records" in run.card()


def test_the_story_world_is_never_taken_for_tinystories(tmp_path: Path) -> None:
    run = Run(tmp_path, {"source": "world"})
    run.score({"world_seed": 5, "count": 9})
    text = run.card()
    assert (
        WORLD_SCORE in text and "| 要求的词全部写到 | 60.0%（50.0%–70.0%） |" in text and "| 平均字数 | 128.0 |" in text
    )
    assert text.index(WORLD_SCORE) < text.index("60.0%")
    assert text.count("> 小兔子\n> 有铲子。") == 3
    assert all("不是" in line for line in text.splitlines() if "TinyStories" in line and not line.startswith("#"))
    assert "步 1,234" in text and "| sft |" in text and str(tmp_path) not in text
    Manifest.read(tmp_path / "hf")


def test_requests_from_the_worlds_own_validation_stories_are_the_worlds_too(tmp_path: Path) -> None:
    run = Run(tmp_path, {"source": "world"})
    run.score({"world_seed": None}, {"records": fingerprint(tmp_path / "corpus")})
    assert WORLD_SCORE in run.card()


def test_real_data_is_named_as_it_was_downloaded(tmp_path: Path) -> None:
    run = Run(tmp_path, {})
    run.score({"world_seed": None}, {"records": fingerprint(tmp_path / "corpus")})
    text = run.card()
    assert "下载的数据集：somebody/Stories" in text and "要求来自训练语料的验证部分" in text and "故事世界" not in text


def test_requests_of_unknown_origin_are_said_to_be_so(tmp_path: Path) -> None:
    run = Run(tmp_path, {})
    run.score({"world_seed": None}, {"records": {"bytes": 1, "xxh3": "0"}})
    assert "要求的来历没有记录：不要当作某个公开数据集上的成绩" in run.card()


def test_of_a_card_of_several_checkpoints_its_own_is_taken(tmp_path: Path) -> None:
    run = Run(tmp_path, {"source": "world"})
    other, own = {"value": 0.1, "low": 0.0, "high": 0.2}, {"value": 0.9, "low": 0.8, "high": 1.0}
    first = {"count": 9, "figures": {"words_all": other}, "samples": [], "synthetic": True}
    second = {"count": 8, "figures": {"words_all": own}, "intervals": {}, "samples": []}
    checked = {"checkpoint base": {"stage": "sft", "outputs": {}}, "checkpoint ours": fingerprint(run.final)}
    files = {"score.json": json.dumps(first | {"others": [second]})}
    run.stage("out/score", "evaluate", {"checkpoints": ["base", "ours"]}, checked, files)
    text = run.card()
    assert "90.0%（80.0%–100.0%）" in text and "10.0%" not in text and WORLD_SCORE in text


def test_what_was_not_measured_is_said_to_be_so(tmp_path: Path) -> None:
    assert NOT_MEASURED in Run(tmp_path / "one", {"source": "world"}).card()
    checkpoint(tmp_path / "bare")
    export(tmp_path / "bare", tmp_path / "hf")
    text = (tmp_path / "hf/README.md").read_text(encoding="utf-8")
    assert NOT_MEASURED in text and "没有 manifest.json，训练过程没有记录" in text and "语料的来历没有记录" in text


def test_a_score_card_of_another_checkpoint_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path, {"source": "world"})
    run.score({"world_seed": 5})
    with pytest.raises(UserError, match="score card of another checkpoint"):
        export(tmp_path / "out/pretrain/final", tmp_path / "hf", score_dir=tmp_path / "out/score")
    with pytest.raises(UserError, match="not a score card"):
        export(run.final, tmp_path / "hf", score_dir=tmp_path / "tokens")
    export(tmp_path / "out/pretrain/final", tmp_path / "hf")
    assert NOT_MEASURED in (tmp_path / "hf/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [export, export_gguf, import_hf])
def test_the_options_can_be_typed(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        jsonargparse.CLI(command, args=["--help"], as_positional=False)
    shown = capsys.readouterr().out
    assert "--out_dir" in shown and "--overwrite" in shown and len(re.findall("the folder to make|to make", shown)) == 1


def test_a_quickstart_is_exported_with_its_score(walk: Walk, tmp_path: Path) -> None:
    export(walk.sft, tmp_path / "hf")
    text = (tmp_path / "hf/README.md").read_text(encoding="utf-8")
    assert WORLD_SCORE in text and "要求的词全部写到" in text and "没有找到" not in text
    import_hf(tmp_path / "hf", tmp_path / "back")
    assert (tmp_path / "back/model_config.yaml").read_text() == (walk.sft / "model_config.yaml").read_text()
