"""Stage folders: complete or absent, resumed, never overwritten, never shared by two writers."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from litgpt_zh.stage import (
    MANIFEST,
    Manifest,
    UserError,
    disk_errors,
    exclusive,
    fingerprint,
    open_stage,
    require_files,
    write_text,
)


def make(out: Path, text: str = "data", *, fail: bool = False, **options) -> Manifest:
    with open_stage("demo", out, **{"settings": {"a": 1}, **options}) as work:
        if not work.finished:
            (work.folder / "data.txt").write_text(text)
            work.counts["resumed"] = work.resumed
            if fail:
                raise RuntimeError
    return Manifest.read(out)


def test_a_finished_stage_has_its_name_and_says_what_made_it(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("hello")
    manifest = make(tmp_path / "out", inputs={"source": source})
    assert manifest.inputs == {"source": fingerprint(source)} and manifest.inputs["source"]["bytes"] == 5
    assert manifest.outputs["data.txt"]["bytes"] == 4 and "python" in manifest.versions
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.txt", "out"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["data.txt", MANIFEST]


def test_again_it_does_nothing_and_with_other_settings_it_refuses(tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = (tmp_path / "out" / "data.txt").stat().st_mtime_ns
    make(tmp_path / "out", "other")
    assert (tmp_path / "out" / "data.txt").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"already made with other a \(1, now 2\)"):
        make(tmp_path / "out", settings={"a": 2})
    make(tmp_path / "out", "other", settings={"a": 2}, overwrite=True)
    assert (tmp_path / "out" / "data.txt").read_text() == "other"
    assert (tmp_path / "out.old" / "data.txt").read_text() == "data"


def test_a_changed_input_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("one")
    make(tmp_path / "out", inputs={"source": source})
    source.write_text("two")
    with pytest.raises(UserError, match="input source"):
        make(tmp_path / "out", inputs={"source": source})


def test_a_stopped_stage_keeps_its_work_for_an_equal_plan_only(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        make(tmp_path / "out", fail=True)
    assert not (tmp_path / "out").exists() and (tmp_path / "out.partial" / "data.txt").exists()
    with pytest.raises(RuntimeError):
        make(tmp_path / "out", fail=True, settings={"a": 2})  # another plan starts afresh
    assert make(tmp_path / "out").counts["resumed"] is False
    with pytest.raises(RuntimeError):
        make(tmp_path / "out2", fail=True)
    assert make(tmp_path / "out2").counts["resumed"] is True
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("*.lock"))


def test_a_foreign_folder_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="not the output of a stage"):
        make(tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_the_second_writer_is_refused(tmp_path: Path) -> None:
    refused = pytest.raises(UserError, match="another process is writing")
    with exclusive(tmp_path / "out"), refused, exclusive(tmp_path / "out"):
        pass
    with exclusive(tmp_path / "out"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line_and_leaves_no_finished_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="disk full"), open_stage("demo", tmp_path / "out") as work:
        (work.folder / "data.txt").write_text("half")
        raise OSError(28, "No space left on device")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_so_is_a_quota_that_is_used_up(number: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="out: disk full; free some space"), disk_errors(tmp_path / "out"):
        raise OSError(number, "")
    with pytest.raises(PermissionError), disk_errors(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "")


WRITER = """
import resource, sys
from pathlib import Path
import torch
from litgpt_zh.stage import UserError, disk_errors

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # a file of more fails as on a full disk
try:
    with disk_errors(Path("out")):
        torch.save({"weights": torch.zeros(100_000)}, sys.argv[1])
except UserError as error:
    print(error)
"""


def test_so_is_a_full_disk_that_torch_itself_writes_to(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", WRITER, str(tmp_path / "weights.pth")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout.startswith("out: disk full;") and done.returncode == 0, done.stderr[-2000:]


def test_text_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path / "a.json", "old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError):
        write_text(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "old"


def test_broken_and_missing_manifests_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a finished stage"):
        Manifest.read(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(UserError, match="broken manifest"):
        Manifest.read(tmp_path)
    (tmp_path / MANIFEST).write_text(json.dumps({"unknown": 1}))
    with pytest.raises(UserError, match="broken manifest"):
        Manifest.read(tmp_path)
    with pytest.raises(UserError, match=r"weights is missing; training makes it"):
        require_files(tmp_path, ["weights"], made_by="training")
