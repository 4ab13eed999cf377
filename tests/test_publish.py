"""publish: what must not go out is named, all of it at once; what may go out gets the hubs' own commands."""

from __future__ import annotations

import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from llama_like import checkpoint

from litgpt_zh.__main__ import _named, _recipe_first, main
from litgpt_zh.export.publish import check_name, front_matter, publish
from litgpt_zh.export.stage import export
from litgpt_zh.stage import UserError

TOKEN = "hf_" + "a" * 34


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exported model whose card names a licence."""
    checkpoint(tmp_path / "final")
    export(tmp_path / "final", tmp_path / "hf")
    card = tmp_path / "hf/README.md"
    card.write_text(card.read_text("utf-8").replace("---\n", "---\nlicense: apache-2.0\n", 1), encoding="utf-8")
    return tmp_path / "hf"


def refused(folder: Path, name: str = "me/zh-stories") -> str:
    with pytest.raises(UserError) as error:
        publish(folder, name)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_whole_folder_gets_the_commands_and_is_left_as_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    capsys.readouterr()
    publish(folder, "me/zh-stories", private=True)
    said = capsys.readouterr().out
    assert f"hf upload me/zh-stories {shlex.quote(str(folder))} . --private" in said
    assert "modelscope create me/zh-stories --repo-type model --visibility private --license apache-2.0" in said
    assert f"modelscope upload me/zh-stories {shlex.quote(str(folder))} --repo-type model" in said
    assert "model.safetensors" in said and "apache-2.0" in said
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    publish(folder, "me/zh-stories", hub="huggingface")
    assert "modelscope" not in capsys.readouterr().out


def test_the_licence_of_a_known_data_set_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = folder / "README.md"
    data = "---\ndatasets: [adam89/TinyStoriesChinese, me/other]\n"
    card.write_text(card.read_text("utf-8").replace("---\n", data, 1), encoding="utf-8")
    publish(folder, "me/zh-stories")
    said = capsys.readouterr().out
    assert "adam89/TinyStoriesChinese" in said and "CDLA-Sharing-1.0" in said and "me/other" in said


def test_no_licence_no_card(folder: Path) -> None:
    card = folder / "README.md"
    card.write_text(card.read_text("utf-8").replace("license: apache-2.0\n", ""), encoding="utf-8")
    assert "license: apache-2.0" in refused(folder)
    card.write_bytes("# 没有许可\n".encode("gbk"))
    assert "does not open with YAML" in refused(folder)
    card.unlink()
    assert "no README.md" in refused(folder)


def test_what_must_not_go_out_is_all_named_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "correct-horse-battery")
    torch.save({"a": torch.zeros(1)}, folder / "extra.dat")
    (folder / "weights.bin").write_bytes(b"anything")
    (folder / "old.dat").write_bytes(pickle.dumps({"a": 1}))
    (folder / "modeling.py").write_text("print()")
    (folder / ".env").write_text("")
    (folder / "notes.txt").write_text(f"login {TOKEN}\nkey correct-horse-battery\nsee /home/somebody/data\n")
    (folder / "link").symlink_to("/etc/hostname")
    said = refused(folder)
    for part in (
        "extra.dat is a pickle", "weights.bin is a pickle", "old.dat is a pickle", "modeling.py is code", ".env is private",
        "notes.txt holds a Hugging Face token", "notes.txt holds the value of $SOME_API_KEY",
        "notes.txt holds a folder of this machine", "link is a link",
    ):  # fmt: skip
        assert part in said, part
    assert TOKEN not in said and "correct-horse" not in said


def test_a_secret_across_two_pieces_of_a_large_file_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litgpt_zh.export.publish._CHUNK", 1000)
    (folder / "notes.txt").write_text("x" * 980 + " " + TOKEN + " " + "y" * 500)
    assert "notes.txt holds a Hugging Face token" in refused(folder)


def test_a_folder_that_was_changed_or_is_no_export(folder: Path, tmp_path: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text("utf-8").replace("{", '{"auto_map": {},', 1), encoding="utf-8")
    said = refused(folder)
    assert "config.json is not the file that was exported" in said and "auto_map" in said
    config.write_text("{", encoding="utf-8")
    assert "config.json is no JSON" in refused(folder)
    assert "no manifest.json of litgpt-zh export" in refused(tmp_path / "final")
    assert "no such folder" in refused(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["stories", "a/b/c", "me/-x", "me/x..y", "me/x--y", "me/故事", "me/x.git", "me/" + "x" * 99]
)
def test_names_that_the_hubs_refuse(name: str, folder: Path) -> None:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    assert list(check_name(name)) and "--name" in refused(folder, name)
    if "/" in name and name.isascii():  # the hub's own rule says the same; of other letters only its server does
        with pytest.raises(HFValidationError):
            validate_repo_id(name)
    assert not list(check_name("me/zh-tinystories_44m.v1"))


def test_front_matter_that_is_not_yaml_is_none(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\na: [\n---\n")
    assert front_matter(tmp_path / "README.md") == {}


def test_the_hubs_tool_takes_the_arguments() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "huggingface_hub.cli.hf", "upload", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "--private" in done.stdout and "LOCAL_PATH" in done.stdout.upper(), done.stderr


# litgpt-zh export CHECKPOINT OUT -----------------------------------------------------------------------------------------


def test_the_second_value_is_the_out_dir() -> None:
    names = ["checkpoint_dir", "score_dir", "out_dir"]
    assert _named(["a", "b", "--x", "1"], names) == ["--checkpoint_dir", "a", "--out_dir", "b", "--x", "1"]
    assert _named(["a", "--x", "1"], names) == ["--checkpoint_dir", "a", "--x", "1"]
    assert _named(["--x", "1"], names) == ["--x", "1"]
    assert _named(["a", "b"], ["out_dir", "seed"]) == ["--out_dir", "a", "b"]  # refused later: out_dir is given already
    assert _named(["a", "b"], ["checkpoint_dir"]) == ["--checkpoint_dir", "a", "b"]


def test_a_name_before_the_recipe_is_not_lost_to_it() -> None:
    assert _recipe_first(["pretrain", "m", "--config", "r", "--x", "1"]) == [
        "pretrain",
        "--config",
        "r",
        "--x",
        "1",
        "m",
    ]
    for same in (["pretrain", "m", "--x", "1"], ["pretrain", "--config", "r", "m"], ["chat", "m"], ["chat"]):
        assert _recipe_first(same) == same


# a checkpoint that would run code ----------------------------------------------------------------------------------------


class Evil:
    """A pickle of it writes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.file,))


def test_a_checkpoint_with_code_is_never_opened(tmp_path: Path) -> None:
    checkpoint(tmp_path / "model")
    weights = tmp_path / "model/lit_model.pth"
    torch.save(torch.load(weights) | {"evil": Evil(tmp_path / "ran")}, weights)
    torch.load(weights, weights_only=False)
    assert (tmp_path / "ran").exists()  # it would
    (tmp_path / "ran").unlink()
    for command in (["export", str(tmp_path / "hf")], ["generate"], ["evaluate", "--tasks", "x"], ["chat"]):
        with pytest.raises(SystemExit, match="holds more than weights"):
            main([command[0], str(tmp_path / "model"), *command[1:]])
        assert not (tmp_path / "ran").exists()
