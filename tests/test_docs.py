"""The pages hold together: every link and anchor leads somewhere, every page is on the way, every recipe named exists."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import litgpt_zh
from litgpt_zh.__main__ import LITGPT, OURS

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*DOCS, *(ROOT / name for name in ("README.md", "README.en.md", "SECURITY.md", "CHANGELOG.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def prose(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """What GitHub and our site make of the headings: lower case, punctuation gone, blanks to hyphens."""
    heads = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.replace("`", "")).strip().lower().replace(" ", "-") for head in heads}


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    found = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# 头 (Head)\n[x](b.md) [y](a.md#头-head) [z](#no) `[c](d)`\n```\n[e](f)\n```\n")
    assert broken(tmp_path / "a.md") == ["b.md", "#no"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []
    if page.parent.name == "docs":  # else the site would lack what it links to
        assert not [link for link in links(page) if link.startswith("../")]


def test_every_page_is_in_the_course_and_on_the_site() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert sorted(re.findall(r"[\w-]+\.md$", config, re.MULTILINE)) == [page.name for page in DOCS]
    seen, new = set(), {ROOT / "docs/index.md"}
    while new:
        seen |= new
        linked = {(p.parent / link.split("#")[0]).resolve() for p in new for link in links(p) if link[0] != "#"}
        new = {page for page in linked if page.suffix == ".md"} - seen
    assert [page.name for page in DOCS if page not in seen] == []


def test_every_lesson_has_its_four_parts() -> None:
    _, *lessons = re.split(r"^## (?=第.*课)", (ROOT / "docs/course.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(lessons) == 11
    for lesson in lessons:
        assert re.findall(r"^\*\*(.*?)。\*\*", lesson, re.MULTILINE) == ["为什么", "量得的", "练习", "坑"], lesson[:20]
        assert re.search(r"\d", lesson.partition("**量得的。**")[2].partition("**练习。**")[0]) and "```bash" in lesson


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_and_commands_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"(?<![\w/-])recipes/([\w-]+)\.yaml", text)):
        assert (ROOT / f"recipes/{name}.yaml").is_file(), name
    for line in re.findall(r"^\s*(?:\$ )?litgpt-zh +([a-z_]\w+)", text, re.MULTILINE):
        assert line in OURS or line in LITGPT, line
    for module in re.findall(r"python -m (litgpt_zh[\w.]*\w)", text):
        place = ROOT / module.replace(".", "/")
        source = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
        assert "__main__" in source.read_text(encoding="utf-8") or place.is_dir(), module  # else it would do nothing


@pytest.mark.skipif(find_spec("mkdocs") is None or find_spec("material") is None, reason="mkdocs is not installed")
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "site/course.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)', page)  # nothing from elsewhere


def test_the_version_stands_in_one_place() -> None:
    assert re.search(rf"^version: {litgpt_zh.__version__}$", (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    assert re.search(rf"^## {litgpt_zh.__version__}\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert "version" in yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))


# the stage map: one table, three times -----------------------------------------------------------------------------------

STAGES = "corpus tokenizer tokens pretrain translate sft sft-lora preference dpo dpo-lora".split()
ROW = re.compile(r"^\| ([a-z-]+) \| (.+?) \| (.+?) \| \[\1\]\((docs/[a-z-]+\.md)\) \|$", re.MULTILINE)


def told(page: str) -> dict[str, tuple[set[str], set[str], str]]:
    """Stage -> commands (without arguments), recipes and page of a README's table."""
    return {
        stage: (
            {" ".join(call.split()[:2]) for call in re.findall(r"`(litgpt[^`]*)`", command)},
            set(re.findall(r"recipes/[\w-]+\.yaml", recipes)),
            doc,
        )
        for stage, command, recipes, doc in ROW.findall((ROOT / page).read_text(encoding="utf-8"))
    }


def test_readme_docstring_and_english_readme_have_one_stage_map() -> None:
    chinese, english = told("README.md"), told("README.en.md")
    assert chinese == english and list(chinese)[: len(STAGES)] == STAGES
    lines = re.findall(r"^([a-z-]+) {2,}(.+?) {2,}(recipes/\S+) {2,}(docs/\S+)$", litgpt_zh.__doc__ or "", re.MULTILINE)
    assert [stage for stage, *_ in lines] == list(chinese)
    for stage, commands, recipe, doc in lines:
        in_readme, recipes, page = chinese[stage]
        assert in_readme <= {" ".join(part.split()[:2]) for part in commands.split(", ")}, stage
        assert recipe in recipes and doc == page == f"docs/{stage}.md", stage
        assert (ROOT / doc).is_file() and all((ROOT / file).is_file() for file in recipes), stage
        for program, command in (call.split() for call in in_readme):
            assert command in (OURS if program == "litgpt-zh" else LITGPT), (stage, command)


def test_the_page_of_fifty_stories_is_what_the_world_tells() -> None:
    argv = [sys.executable, "-X", "utf8", "-m", "litgpt_zh.corpus.world", "--samples", "50"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == (ROOT / "docs/world-samples.md").read_bytes()
