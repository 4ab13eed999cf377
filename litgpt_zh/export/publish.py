"""The command ``publish``: may this folder be shown to the world? It looks, names what is in the way, uploads nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from litgpt_zh.language import say
from litgpt_zh.stage import MANIFEST, Manifest, UserError, fingerprint

CARD = "README.md"
STAGES = ("export", "export-gguf")
DATA_LICENCES = {"adam89/TinyStoriesChinese": "CDLA-Sharing-1.0"}
"""Of data sets we know; of any other the page of the data set says."""
_LARGE = 5 * 10**9
"""Bytes from which the hubs ask for other ways (hf upload-large-folder)."""
_PICKLE = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".lora"}
_PRIVATE = {".env", ".netrc", "id_rsa", "id_ed25519", ".git-credentials", "credentials", "token"}
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_SECRETS = {
    "a Hugging Face token": rb"\bhf_[A-Za-z0-9]{30,}",
    "an API key": rb"\bsk-[A-Za-z0-9_-]{20,}",
    "a ModelScope token": rb"\bms-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "a GitHub token": rb"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})",
    "an AWS key": rb"\bAKIA[0-9A-Z]{16}\b",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a folder of this machine": rb"(?:/home|/Users)/[A-Za-z0-9._-]+/",
}
_CHUNK, _OVERLAP = 1 << 24, 512


def publish(
    folder: Path,
    name: str,
    hub: Literal["huggingface", "modelscope", "both"] = "both",
    private: bool = False,
) -> None:
    """Check an exported folder and print the commands of the hubs' own tools that publish it. Nothing is sent anywhere.

    Checked are: the files are those that were exported (the card may be edited), whole, with no pickle, no code and nothing
    that looks like a key, a value of a ``*_TOKEN`` or ``*_KEY`` variable or a path of this machine; the card names a licence.

    Args:
        folder: made by ``litgpt-zh export`` or ``export_gguf``.
        name: OWNER/MODEL on the hub.
        hub: whose commands.
        private: commands that make a private repository; it can be opened later.

    Raises:
        UserError: what must be mended first, all of it at once.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; litgpt-zh export makes it")
    faults = [*check_name(name), *check_folder(folder)]
    front = front_matter(folder / CARD)
    faults += _check_card(folder, front)
    if faults:
        raise UserError(f"{folder}: not ready: " + "; ".join(faults))
    for line in (*_sizes(folder), *_notes(front)):
        print(line)
    print(say("\n没有上传任何东西。要上传，自己敲：", "\nNothing was uploaded. To do it, type:"))
    if hub != "modelscope":
        print("\n" + "\n".join(huggingface(folder, name, private)))
    if hub != "huggingface":
        print("\n" + "\n".join(modelscope(folder, name, private, str(front["license"]))))


def check_name(name: str) -> Iterator[str]:
    """What both hubs refuse in OWNER/MODEL."""
    parts = name.split("/")
    if len(parts) != 2 or not all(_NAME.fullmatch(part) for part in parts):
        yield f"--name {name!r}: wanted OWNER/MODEL of letters, digits, '-', '_', '.', beginning and ending with none of '-_.'"
    elif len(name) > 96 or "--" in name or ".." in name or name.endswith(".git"):
        yield f"--name {name!r}: the hubs refuse '--', '..', a final .git and more than 96 characters"


def check_folder(folder: Path) -> Iterator[str]:
    """Every file of the folder: is it what was exported, is it data only, does it keep secrets?"""
    made = _made(folder)
    if made is None:
        yield f"no {MANIFEST} of litgpt-zh export or export_gguf"
        return
    for name, said in made.outputs.items():
        if name != CARD and (not (folder / name).is_file() or fingerprint(folder / name) != said):
            yield f"{name} is not the file that was exported; export again"
    secrets = _secrets()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink()):
        name = str(file.relative_to(folder))
        if file.is_symlink():
            yield f"{name} is a link"
        elif file.suffix in _PICKLE or _is_pickle(file):
            yield f"{name} is a pickle, which can run code when it is read"
        elif file.suffix in (".py", ".sh", ".so"):
            yield f"{name} is code"
        elif file.name in _PRIVATE:
            yield f"{name} is private by its name"
        else:
            yield from (f"{name} holds {what}" for what in _found(file, secrets))
    yield from _check_config(folder / "config.json")


def _check_config(file: Path) -> Iterator[str]:
    try:
        if file.is_file() and "auto_map" in json.loads(file.read_text("utf-8")):
            yield f"{file.name} has auto_map, which loads code"
    except ValueError:
        yield f"{file.name} is no JSON"


def front_matter(card: Path) -> dict[str, Any]:
    """The YAML at the head of a model card; empty where there is none."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    try:
        settings = yaml.safe_load(found.group(1)) if found else None
    except yaml.YAMLError:
        return {}
    return settings if isinstance(settings, dict) else {}


def _check_card(folder: Path, front: dict[str, Any]) -> Iterator[str]:
    if not (folder / CARD).is_file():
        yield f"no {CARD}; litgpt-zh export writes one, which goes with a GGUF file too"
    elif not front:
        yield f"{CARD} does not open with YAML between two lines of ---"
    elif not isinstance(front.get("license"), str):
        yield f"{CARD} names no licence; you choose: put a line such as  license: apache-2.0  between its first two ---"


def _made(folder: Path) -> Manifest | None:
    try:
        manifest = Manifest.read(folder)
    except UserError:
        return None
    return manifest if manifest.stage in STAGES else None


def _is_pickle(file: Path) -> bool:
    """A pickle of protocol 2 or later, or the zip that torch puts one in."""
    with open(file, "rb") as opened:
        head = opened.read(4096)
    if file.suffix == ".safetensors":  # opens with its length, which may be any number
        return False
    return bool(re.match(rb"\x80[\x02-\x05]", head)) or (head.startswith(b"PK\x03\x04") and b"data.pkl" in head)


def _secrets() -> dict[str, re.Pattern[bytes]]:
    """Patterns of what must not leave this machine, the values of this environment's keys among them."""
    found = dict(_SECRETS)
    for key, value in os.environ.items():
        if key.upper().endswith(("_TOKEN", "_KEY", "_SECRET", "_PASSWORD")) and len(value) >= 8:
            found[f"the value of ${key}"] = re.escape(value.encode())
    found["the home folder's path"] = re.escape(f"{Path.home()}/".encode()) if Path.home() != Path("/") else rb"(?!)"
    return {what: re.compile(pattern) for what, pattern in found.items()}


def _found(file: Path, secrets: dict[str, re.Pattern[bytes]]) -> list[str]:
    """What of ``secrets`` stands in a file; read in pieces that overlap, since weights may be larger than memory."""
    found: set[str] = set()
    with open(file, "rb") as opened:
        before = b""
        while piece := opened.read(_CHUNK):
            text = before + piece
            found |= {what for what, pattern in secrets.items() if pattern.search(text)}
            before = text[-_OVERLAP:]
    return sorted(found)


def _sizes(folder: Path) -> Iterator[str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for file in files:
        yield f"{file.stat().st_size / 1e6:10,.2f} MB  {file.relative_to(folder)}"
    total = sum(file.stat().st_size for file in files)
    yield f"{total / 1e6:10,.2f} MB  {say('合计', 'in all')}"
    if total > _LARGE:
        yield say("超过 5 GB：改用 hf upload-large-folder", "More than 5 GB: use hf upload-large-folder instead")


def _notes(front: dict[str, Any]) -> Iterator[str]:
    """What the licence of the data asks; ours to remind of, not to decide."""
    yield say(f"模型的许可：{front['license']}", f"Licence of the model: {front['license']}")
    names = front.get("datasets") or []
    for name in [names] if isinstance(names, str) else names:
        licence = DATA_LICENCES.get(str(name))
        told = licence or say("见它的页面", "see its page")
        yield say(
            f"数据集 {name} 的许可：{told}；发布之前自己读一遍，卡片里要写明来源",
            f"Licence of the data set {name}: {told}; read it before you publish, and name the source in the card",
        )
    if not names:
        yield say(
            "卡片没有写数据集（datasets）：内置的故事世界不用写；自己的语料，请确认有权发布由它训练的模型",
            "The card names no data sets: the story world needs none; of a corpus of your own, make sure that you may",
        )


def huggingface(folder: Path, name: str, private: bool) -> list[str]:
    """Commands of ``huggingface_hub``, which litgpt brings along."""
    return [
        "# Hugging Face" + say("；镜像只能下载，上传要直连", "; a mirror only serves downloads"),
        "hf auth login",
        f"hf upload {name} {shlex.quote(str(folder))} ." + (" --private" if private else ""),
    ]


def modelscope(folder: Path, name: str, private: bool, licence: str) -> list[str]:
    """Commands of the ``modelscope`` package, which is not among our dependencies."""
    visibility = "private" if private else "public"
    return [
        "# ModelScope"
        + say("；令牌在「我的页面」，它会问你要", "; it asks for the token, which is in your profile there"),
        "pip install modelscope",
        "modelscope login",
        f"modelscope create {name} --repo-type model --visibility {visibility} --license {shlex.quote(licence)}",
        f"modelscope upload {name} {shlex.quote(str(folder))} --repo-type model",
    ]
