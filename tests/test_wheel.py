"""What ``python -m build`` makes: it holds what it should and no more, and runs outside the checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import QUICK, run

import litgpt_zh
from litgpt_zh.shipped import NAMES, recipes

ROOT = Path(__file__).parents[1]
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "data", "out", "runs", "*.old")


# what does not need a wheel --------------------------------------------------------------------------------------------


def test_recipes_are_laid_and_yours_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipes(tmp_path)
    for name in NAMES:
        for file in (ROOT / name).iterdir():
            assert (tmp_path / name / file.name).read_bytes() == file.read_bytes()
    (tmp_path / "recipes/sft.yaml").write_text("mine: true\n")
    (tmp_path / "recipes/dpo.yaml").unlink()
    capsys.readouterr()
    recipes(tmp_path)
    assert (tmp_path / "recipes/sft.yaml").read_text() == "mine: true\n" and (tmp_path / "recipes/dpo.yaml").is_file()
    assert "1 files; kept yours: sft.yaml" in capsys.readouterr().out


def test_a_recipe_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    done = run("litgpt-zh", "pretrain", "--config", "recipes/pretrain.yaml", cwd=tmp_path)
    assert done.returncode == 1 and "litgpt-zh recipes" in done.stderr and done.stderr.count("\n") == 1
    done = run("litgpt-zh", "corpus", "--config=mine.yaml", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == "litgpt-zh: mine.yaml: no such recipe\n"


def test_the_journey_lays_its_recipes_into_an_empty_folder(tmp_path: Path) -> None:
    done = run("litgpt-zh", "journey", cwd=tmp_path)  # nobody answers its question
    assert done.returncode == 1 and "not started" in done.stderr
    assert (tmp_path / "recipes/pretrain.yaml").read_bytes() == (ROOT / "recipes/pretrain.yaml").read_bytes()


# the wheel -------------------------------------------------------------------------------------------------------------


@dataclass
class Installed:
    """A wheel in an environment of its own, which sees the packages we depend on but not the checkout."""

    wheel: Path
    sdist: Path
    bin: Path

    def run(self, *argv: str, cwd: Path, timeout: int = 1800) -> subprocess.CompletedProcess[str]:
        command = [str(self.bin / argv[0]), *argv[1:]]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=QUICK, timeout=timeout)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """``python -m build`` of a copy of the sources (sdist, and the wheel from it), installed without the network."""
    if find_spec("build") is None:
        pytest.skip("build is not installed: pip install 'litgpt-zh[dev]'")
    home = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, home / "source", ignore=NOT_SOURCE)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(home / "dist"), str(home / "source")]
    done = subprocess.run(build, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    wheel, sdist = next((home / "dist").glob("*.whl")), next((home / "dist").glob("*.tar.gz"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "venv")], check=True)
    python = home / "venv/bin/python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    )
    # a .pth adds the folder, but reads no .pth in it: the checkout's editable install stays out of sight
    folders = [p for p in sys.path if p.endswith("-packages")] or [sysconfig.get_path("purelib")]
    Path(site.stdout.strip(), "dependencies.pth").write_text("\n".join(folders) + "\n")
    install = ["-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, *install], check=True, timeout=300)
    return Installed(wheel, sdist, home / "venv/bin")


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_what_is_shipped_with_it_alone(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert installed.wheel.name == f"litgpt_zh-{litgpt_zh.__version__}-py3-none-any.whl"
    tops = {name.split("/")[0] for name in names}
    assert tops == {"litgpt_zh", f"litgpt_zh-{litgpt_zh.__version__}.dist-info"}
    for name in NAMES:
        packed = {file.rpartition("/")[2] for file in names if file.startswith(f"litgpt_zh/shipped/{name}/")}
        assert packed == {file.name for file in (ROOT / name).iterdir()}
    files = {
        str(p.relative_to(ROOT)) for p in (ROOT / "litgpt_zh").rglob("*") if p.is_file() and "__pycache__" not in str(p)
    }
    assert not files - set(names)  # a kind of file that package-data forgets
    assert not [name for name in names if name.endswith((".pth", ".jsonl", ".npy", ".bin", ".pyc"))]


@pytest.mark.slow
def test_quickstart_and_recipes_run_from_the_wheel_in_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    where = installed.run("python", "-c", "import litgpt_zh, sys; print(litgpt_zh.__file__, sys.path)", cwd=tmp_path)
    assert str(installed.bin.parent) in where.stdout.split()[0] and f"'{ROOT}'" not in where.stdout, where.stdout
    done = installed.run("litgpt-zh", "recipes", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "tokenizer/tokenizer.json").is_file(), done.stderr[-2000:]
    page = re.search(r"Pages.*: (.*)", installed.run("litgpt-zh", "--help", cwd=tmp_path).stdout)
    assert page and Path(page[1]).is_relative_to(installed.bin.parent) and Path(page[1]).is_file()
    named = re.findall(r"\bdocs/[\w-]+\.md", "".join(f.read_text("utf-8") for f in ROOT.glob("litgpt_zh/**/*.py")))
    named += re.findall(r"\bdocs/[\w-]+\.md", "".join(f.read_text("utf-8") for f in ROOT.glob("recipes/*.yaml")))
    assert len(named) > 20 and not [name for name in named if not (tmp_path / name).is_file()]
    done = installed.run("litgpt-zh", "sweep", "--config", "recipes/sweep.yaml", "--print_config", cwd=tmp_path)
    assert done.returncode == 0 and "recipes/pretrain.yaml" in done.stdout, done.stderr[-2000:]
    done = installed.run("litgpt-zh", "quickstart", "--scale", "tiny", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "runs/quickstart/report.html").is_file()
    done = installed.run("litgpt-zh", "export", "runs/quickstart/online/final", "out/hf", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "out/hf/model.safetensors").is_file(), done.stderr[-2000:]
