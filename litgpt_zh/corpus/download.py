"""Fetch a public data set from the Hugging Face hub, or a mirror of it, into a folder that ``corpus`` reads."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path
from typing import Any

from litgpt_zh.stage import DISK_FULL, Manifest, UserError, open_stage

MIRROR = "https://hf-mirror.com"
KNOWN = {
    "adam89/TinyStoriesChinese": ["TinyStories_all_data_zh.tar.gz"],
    "RobinChen2001/TinyStories-Zh-2M": ["*.parquet"],
}
"""Data sets we know, and the files of theirs that hold the stories."""
DATA = ["*.parquet", "*.jsonl", "*.json", "*.txt", "*.gz", "*.zst", "*.tar", "*.tgz"]
"""What is fetched of any other data set."""
_NOT_DATA = ("dataset_infos.json", "state.json")


def download(
    dataset: str = "adam89/TinyStoriesChinese",
    out_dir: Path = Path("data/raw"),
    files: list[str] | None = None,
    revision: str = "main",
    endpoint: str | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Download a data set; stopped, it goes on where it was when called again.

    A private or gated data set needs a token: run `hf auth login` or set HF_TOKEN. It is never shown or stored.

    Args:
        dataset: owner/name on the Hugging Face hub.
        out_dir: the folder to make.
        files: names or patterns of the files wanted. By default those known to hold the stories.
        revision: branch, tag or commit.
        endpoint: another server with the same interface, such as https://hf-mirror.com. By default HF_ENDPOINT, or
            the hub.
        overwrite: move a folder with another data set aside instead of refusing.

    Returns:
        The manifest; its counts name the commit of every file.

    Raises:
        UserError: no connection; no such data set, revision or file; no access; disk full.
    """
    if dataset.count("/") != 1:
        raise UserError(f"download: --dataset {dataset!r} is not owner/name, such as adam89/TinyStoriesChinese")
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise UserError(f"download: --endpoint {endpoint!r} is not a web address, such as {MIRROR}")
    patterns = files or KNOWN.get(dataset, DATA)
    settings = {"dataset": dataset, "revision": revision, "files": patterns}
    with open_stage("download", out_dir, settings=settings, overwrite=overwrite) as work:
        if not work.finished:
            names = _names(dataset, patterns, revision, endpoint)
            work.counts["files"] = {
                name: _fetch(dataset, name, work.folder, revision=revision, endpoint=endpoint) for name in names
            }
            shutil.rmtree(work.folder / ".cache", ignore_errors=True)
    print(f"{out_dir}: {', '.join(work.counts['files'])}" + (" (downloaded before)" if work.finished else ""))
    return work.manifest


def _names(dataset: str, patterns: list[str], revision: str, endpoint: str | None) -> list[str]:
    if not any(set(pattern) & set("*?[") for pattern in patterns):
        return patterns
    from huggingface_hub import HfApi

    try:
        found = HfApi(endpoint=endpoint).list_repo_files(dataset, repo_type="dataset", revision=revision)
    except Exception as error:
        raise _plain(error, dataset, "the list of files", endpoint) from None
    names = [name for name in found if _wanted(name, patterns)]
    if not names:
        raise UserError(f"download: {dataset} has no file like {', '.join(patterns)}; name some with --files")
    return names


def _wanted(name: str, patterns: list[str]) -> bool:
    return Path(name).name not in _NOT_DATA and any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _fetch(dataset: str, name: str, folder: Path, *, revision: str, endpoint: str | None) -> dict[str, Any]:
    """One file into ``folder``; the hub keeps what it has of an unfinished one under ``.cache`` there and goes on."""
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(
            dataset, name, repo_type="dataset", revision=revision, local_dir=folder, endpoint=endpoint,
            library_name="litgpt-zh",
        )  # fmt: skip
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise  # disk full: `open_stage` says so
        raise _plain(error, dataset, name, endpoint) from None
    if not (folder / name).is_file():
        raise UserError(f"download: {dataset}: {name} did not arrive; run the same command again")
    return _version(folder, name)


def _version(folder: Path, name: str) -> dict[str, Any]:
    """Commit and checksum that the hub gave for a file (its own note: commit, etag, time)."""
    note = folder / ".cache" / "huggingface" / "download" / f"{name}.metadata"
    lines = note.read_text(encoding="utf-8").split() if note.is_file() else []
    return dict(zip(("commit", "etag"), lines, strict=False))


def _plain(error: Exception, dataset: str, name: str, endpoint: str | None) -> UserError:
    """One line with the way out. The hub's own message is left out: it is long, and may quote a request."""
    from huggingface_hub import errors

    where = endpoint or "the Hugging Face hub"
    if isinstance(error, errors.GatedRepoError):
        return UserError(f"download: {dataset} asks for consent: accept its terms on its page, then `hf auth login`")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UserError(
            f"download: {where} has no data set {dataset}, or it is private: check the name, or `hf auth login`"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UserError(f"download: {dataset} has no such revision; leave out --revision")
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return UserError(f"download: {dataset} has no file {name}; name others with --files")
    if isinstance(error, errors.HFValidationError):
        return UserError(f"download: {dataset!r} cannot be the name of a data set; use owner/name")
    if isinstance(error, errors.OfflineModeIsEnabled) or isinstance(error.__cause__, errors.OfflineModeIsEnabled):
        return UserError("download: HF_HUB_OFFLINE is set; unset it, or download the file by hand")
    status = f" (HTTP {error.response.status_code})" if isinstance(error, errors.HfHubHTTPError) else ""
    return UserError(
        f"download: {name} of {dataset} could not be fetched from {where}{status}; check the connection, "
        f"or use a mirror: --endpoint {MIRROR}; then run the same command again, it will go on"
    )
