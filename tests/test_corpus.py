"""The corpus stage: every format and every bad input, counts that add up, kill and go on, the split."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
import zstandard

from litgpt_zh.corpus import download as hub
from litgpt_zh.corpus import shards, streams
from litgpt_zh.corpus import stage as corpus_stage
from litgpt_zh.corpus.clean import RULES, Limits, chinese_share, clean, content_hash
from litgpt_zh.corpus.readers import Bad, Record, read
from litgpt_zh.corpus.shards import Seen, Shards, read_shards
from litgpt_zh.stage import Manifest, UserError

corpus = functools.partial(corpus_stage.corpus, near="off")  # the stories here differ in a name alone
NUMBERS = "零一二三四五六七八九"


def story(n: int) -> str:
    name = "".join(NUMBERS[int(digit)] for digit in str(n))
    return f"从前，有一只叫{name}的小兔子，住在森林里。有一天，它遇见了一只小松鼠，它们成了好朋友。"


def jsonl(*values: object) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)


def tiny_stories_chinese(n: int) -> dict[str, object]:
    return {
        "story": f"Once there was a rabbit {n}.",
        "instruction": {"prompt:": "Write a story.", "words": ["go", "big"], "features": ["Dialogue"]},
        "summary": "A rabbit.",
        "source": "GPT-4",
        "story_zh": story(n),
    }


def tar(members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, data in members.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def texts(path: object, **kwargs: object) -> list[str]:
    return [item.fields["text"] if isinstance(item, Record) else item.reason for item in read(path, **kwargs)]


def put(folder: Path, data: bytes, name: str = "input") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def data_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.jsonl")}


# readers: formats

LINES = jsonl({"text": story(1)}, {"story": story(2)}, {"story_zh": story(3), "story": "English"})
PLAIN = f"{story(1)}\n<|endoftext|>\n{story(2)}\n\n还有一段。<|endoftext|>{story(3)}<|endoftext|>\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        b"\xef\xbb\xbf" + LINES,
        b"\n\n" + LINES.replace(b"\n", b"\r\n\r\n"),
        LINES.rstrip(),
        gzip.compress(LINES),
        gzip.compress(LINES[:50]) + gzip.compress(LINES[50:]),
        zstandard.compress(LINES),
        zstandard.compress(LINES[:50]) + zstandard.compress(LINES[50:]),
        bz2.compress(LINES),
        lzma.compress(LINES),
        json.dumps([{"text": story(1)}, story(2), {"content": story(3)}]).encode(),
        json.dumps([{"text": story(n), "words": ["[}", '\\"']} for n in (1, 2, 3)], indent=2).encode(),
        PLAIN.replace("\n\n还有一段。".encode(), b""),
        f"{story(1)}\n\n\n\n{story(2)}\r\n \t\r\n{story(3)}\n".encode(),
        tar({"a/1.txt": LINES, "a/0": b""}),
        tar({"x": LINES}, "w"),
        zstandard.compress(tar({"x": gzip.compress(LINES)}, "w")),
    ],
)
def test_formats_are_told_by_content(tmp_path: Path, data: bytes) -> None:
    path = put(tmp_path, data, "whatever.parquet")
    assert [text.strip() for text in texts(path)] == [story(1), story(2), story(3)]


def test_tiny_stories_chinese_archive(tmp_path: Path) -> None:
    parts = {f"data{n:02d}_zh.jsonl": jsonl(*(tiny_stories_chinese(10 * n + k) for k in range(10))) for n in range(3)}
    items = list(read(put(tmp_path, tar(parts), "TinyStories_all_data_zh.tar.gz")))
    assert [item.fields["text"] for item in items] == [story(n) for n in range(30)]
    assert (items[10].file.rpartition("!")[2], items[10].line) == ("data01_zh.jsonl", 1)
    assert items[0].fields["english"] == {
        "story": "Once there was a rabbit 0.", "summary": "A rabbit.", "source": "GPT-4", "prompt": "Write a story.",
        "words": ["go", "big"], "features": ["Dialogue"],
    }  # fmt: skip
    assert "words" not in items[0].fields  # English words are no constraint on the Chinese story


def test_own_records_come_back(tmp_path: Path) -> None:
    fields = {"text": story(1), "words": ["兔子", "松鼠"], "features": ["对话"], "summary": "兔子"}
    fields |= {"sentence": "它来了。", "group": "0-1", "plot": "朋友"}
    assert next(read(put(tmp_path, jsonl(fields)))).fields == fields
    assert next(read(put(tmp_path, jsonl(fields | {"words": "兔子， 松鼠"})))).fields == fields


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": [story(1), None, story(2)], "n": [1, 2, 3]}), tmp_path / "x")
    assert texts(tmp_path / "x") == [story(1), "null story", story(2)]
    data = (tmp_path / "x").read_bytes()
    put(tmp_path, b"PAR1" + data[4:-40], "y")
    assert texts(tmp_path / "y")[-1] == "damaged file"
    pq.write_table(pa.table({"body": [story(1)]}), tmp_path / "z")
    with pytest.raises(UserError, match="no text column"):
        texts(tmp_path / "z")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r'pip install "litgpt-zh\[parquet\]"'):
        texts(put(tmp_path, b"PAR1...."))


def test_folders_and_lists(tmp_path: Path) -> None:
    put(tmp_path, jsonl({"text": "二"}), "d/b")
    put(tmp_path, jsonl({"text": "一"}), "d/a/z")
    put(tmp_path, b"not data", "d/.cache/x")
    assert texts(tmp_path / "d") == ["一", "二"]
    assert texts([tmp_path / "d/b", str(tmp_path / "d")]) == ["二", "一", "二"]


# readers: bad input


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "abc"', "broken json"),
        (b'{"text": "\xff\xfe"}', "invalid UTF-8"),
        (b'{"text": "\\ud83d"}', "invalid UTF-8"),
        (b'{"story_zh": null, "story": "English"}', "null story"),
        (b'{"body": "abc"}', "no text field"),
        (b'{"text": 3}', "text is not a string"),
        (b'{"text": " \\n"}', "empty"),
        (b"[1, 2]", "not a record"),
        (b"[" * 100_000, "broken json"),
        (b'{"text": "' + b"a" * 3000 + b'"}', "too large"),
    ],
)
def test_bad_lines_are_counted_not_fatal(tmp_path: Path, line: bytes, reason: str) -> None:
    path = put(tmp_path, jsonl({"text": "一"}) + line + b"\n" + jsonl({"text": "二"}))
    items = list(read(path, limit=200_000 if line.startswith(b"[[") else 2000))
    assert [type(item) for item in items] == [Record, Bad, Record]
    assert (items[1].reason, items[1].line, items[1].file, items[2].line) == (reason, 2, str(path), 3)


def test_long_lines(tmp_path: Path) -> None:
    path = put(tmp_path, jsonl({"text": "一" * 3_400_000}, {"text": "二"}))
    assert [len(text) for text in texts(path)] == [3_400_000, 1]  # a line of 10 MB is fine
    assert texts(path, limit=1 << 20) == ["too large", "二"]
    long = b"a" * (3 << 20)
    assert texts(put(tmp_path, b"[\n" + json.dumps(long.decode()).encode() + b',\n"b"]'), limit=1 << 20) == [
        "too large",
        "b",
    ]
    assert texts(put(tmp_path, b"a<|endoftext|>" + long + b"<|endoftext|>b"), limit=1 << 20) == ["a", "too large", "b"]
    assert texts(put(tmp_path, b"a\n\n" + long + b"\n\nb"), limit=1 << 20) == ["a", "too large", "b"]


def test_broken_element_spares_its_neighbours(tmp_path: Path) -> None:
    items = list(read(put(tmp_path, b'[{"text": "a"},\n\n {"text": nul},\n{"text": "c"},')))
    places = [(getattr(item, "reason", "ok"), item.line) for item in items]
    assert places == [("ok", 1), ("broken json", 3), ("ok", 4), ("damaged file", 0)]  # the array has no end


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_pieces_do_not_depend_on_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHUNK", chunk)
    generator = random.Random(chunk)
    for _ in range(50):
        values = [
            {
                "text": "".join(generator.choices('a"\\[]{},\n\u2028小', k=9)),
                "n": [[], {}, "x" * generator.randrange(90)],
            }
            for _ in range(generator.randrange(9))
        ]
        laid_out = json.dumps(
            values, indent=generator.choice([None, 1]), ensure_ascii=generator.random() < 0.5
        ).encode()
        found = list(streams.elements(io.BytesIO(laid_out), 10_000))
        assert [json.loads(data) for _, data in found] == values
        assert all(laid_out.split(b"\n")[line - 1].lstrip(b" [,").startswith(data.lstrip()[:1]) for line, data in found)
        stories = ["".join(generator.choices("a<|\n", k=generator.randrange(1, 9))) + "." for _ in range(9)]
        plain = "<|endoftext|>".join(stories).encode()
        found = list(streams.documents(io.BytesIO(plain), 10_000, b"<|endoftext|>"))
        assert [data.decode() for _, data in found] == stories
        short = list(
            streams.documents(io.BytesIO(b"a<|endoftext|>" + b"b" * 99 + b"<|endoftext|>c"), 50, b"<|endoftext|>")
        )
        assert short == [(1, b"a"), (1, None), (1, b"c")]


@pytest.mark.parametrize("cut", [100, 2000, 20_000])
@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_truncated_files_are_reported(tmp_path: Path, cut: int, compress: object) -> None:
    data = compress(jsonl(*({"text": os.urandom(40).hex()} for _ in range(1000))))
    assert texts(put(tmp_path, data[:cut]))[-1] == "damaged file"


@pytest.mark.parametrize("name", ["../evil.jsonl", "/tmp/evil.jsonl", "a/../../evil.jsonl"])
def test_tar_members_outside_are_refused(tmp_path: Path, name: str) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device = tarfile.TarInfo("device")
    device.type = tarfile.CHRTYPE
    hard = tarfile.TarInfo("hard")
    hard.type, hard.linkname = tarfile.LNKTYPE, "ok"
    path = put(tmp_path, tar({name: LINES, "link": link, "device": device, "hard": hard, "ok": jsonl({"text": "一"})}))
    assert texts(path) == ["unsafe path in archive", *["link or device in archive"] * 3, "一"]
    assert sorted(tmp_path.rglob("*")) == [path]
    assert texts(put(tmp_path, tar({"x": LINES}, "w")[:600])) == ["damaged file"]


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"PK\x03\x04...", "unpack it first"), ("故事".encode("utf-16"), "UTF-16"), (b"\x00\x01\x02" * 99, "binary data")],
)
def test_unknown_formats_are_refused_first(tmp_path: Path, data: bytes, message: str) -> None:
    put(tmp_path, LINES, "a")
    put(tmp_path, data, "b")
    with pytest.raises(UserError, match=message):
        next(read(tmp_path))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        corpus(str(tmp_path / "none"), tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty folder"):
        corpus(str(tmp_path / "empty"), tmp_path / "out")
    put(tmp_path, LINES, "source/a")
    with pytest.raises(UserError, match="inside the source"):
        corpus(str(tmp_path / "source"), tmp_path / "source/out")


# cleaning and duplicates


def test_rules() -> None:
    limits = Limits(min_chars=5, max_chars=20, min_chinese=0.5)
    raw = "\ufeff<|endoftext|>　小\u200b兔子，\r\n\r\n\r\n\r\n  说：  “你好！”\t\x00\r<|endoftext|>\n"
    assert clean(raw, limits)[0] == "小兔子，\n\n说： “你好！”"
    assert clean("小兔子，说：“你好！”", limits)[:3] == ("小兔子，说：“你好！”", "", [])
    reasons = {" \n": "empty", "小兔子": "too short", "小兔子" * 9: "too long", "hello 小兔": "not Chinese",
               "小兔子<|user|>你好": "control pieces"}  # fmt: skip
    assert {text: clean(text, limits)[1] for text in reasons} == reasons
    assert set(reasons.values()) < set(RULES)
    assert chinese_share("小兔 AB，。！") == 0.5


def test_hash_ignores_punctuation_width_case_and_spaces() -> None:
    assert content_hash("小兔说：“ＯＫ，１！”") == content_hash("小 兔说:ok1") != content_hash("小兔说：“ＯＫ，２！”")


def test_seen_is_a_set() -> None:
    seen, keys = Seen(), [(n * 0x9E3779B97F4A7C15) % 2**64 for n in range(100_000)]
    assert all(seen.add(key) for key in keys)
    assert not any(seen.add(key) for key in keys)
    assert len(seen) == 100_000


# the stage


def check_counts(folder: Path) -> dict[str, object]:
    counts = Manifest.read(folder).counts
    assert counts["read"] == counts["kept"] + sum(counts["dropped"].values())
    for split in ("train", "val"):
        assert counts[split] == sum(1 for _ in read_shards(folder, split)) > 0
    assert counts["kept"] == counts["train"] + counts["val"]
    return counts


def test_counts_and_examples(tmp_path: Path) -> None:
    good = [{"text": story(n)} for n in range(50)]
    twice = [{"text": story(3).replace("，", ", ").replace("。", "！")}, {"text": story(4)}]
    path = put(tmp_path, jsonl(*good, *twice, {"text": "短"}, {"text": "An English story, all of it."}) + b"{\n")
    corpus(str(path), tmp_path / "out", val_share=0.2)
    counts = check_counts(tmp_path / "out")
    assert counts["dropped"] == {"duplicate": 2, "too short": 1, "not Chinese": 1, "broken json": 1}
    assert counts["examples"][-1] == {"file": str(path), "line": 55, "reason": "broken json",
                                      "detail": counts["examples"][-1]["detail"]}  # fmt: skip
    assert 2 < counts["val"] < 20


def test_max_bad(tmp_path: Path) -> None:
    path = put(tmp_path, jsonl({"text": story(1)}, {"text": story(2)}, {"text": "短"}) + b"{\n{\n")
    with pytest.raises(UserError, match=r"input:5: broken json .* more than --max_bad 1"):
        corpus(str(path), tmp_path / "out", max_bad=1)
    corpus(str(path), tmp_path / "out", max_bad=2)


def test_too_few_stories(tmp_path: Path) -> None:
    for data in (b"", jsonl({"text": story(1)}), jsonl({"text": story(1)}, {"text": story(1)}, {"text": None})):
        with pytest.raises(UserError, match="needs two stories or more"):
            corpus(str(put(tmp_path, data)), tmp_path / "out")
    with pytest.raises(UserError, match=r"3 stories read, 1 kept .* duplicate 1, null story 1"):
        corpus(str(tmp_path / "input"), tmp_path / "out")
    with pytest.raises(UserError, match="one group"):
        corpus(str(put(tmp_path, jsonl(*({"text": story(n), "group": "g"} for n in range(5))))), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["input"]


def test_split(tmp_path: Path) -> None:
    def val(name: str, count: int, share: float = 0.1, seed: int = 0) -> set[str]:
        path = put(tmp_path, jsonl(*({"text": story(n), "group": f"g{n // 4}"} for n in range(count))), name)
        corpus(str(path), tmp_path / f"{name}-out", val_share=share, seed=seed)
        check_counts(tmp_path / f"{name}-out")
        sides = [{r["group"] for r in read_shards(tmp_path / f"{name}-out", s)} for s in ("train", "val")]
        assert not sides[0] & sides[1]
        return {record["text"] for record in read_shards(tmp_path / f"{name}-out", "val")}

    assert val("few", 200) == val("many", 600) & {story(n) for n in range(200)}
    assert val("few2", 200, seed=1) != val("few3", 200)
    assert len(val("tiny", 8, share=1e-9)) == 4  # never empty: one group
    assert len(val("most", 8, share=1 - 1e-9)) == 4


def test_settings_are_checked(tmp_path: Path) -> None:
    path = str(put(tmp_path, jsonl({"text": story(1)}, {"text": story(2)})))
    for wrong in ({"val_share": 0.0}, {"val_share": 1.0}, {"min_chars": 0}, {"min_chinese": 2}, {"workers": -1},
                  {"seed": -1}, {"near_threshold": 0.3}, {"stories": 10}, {"plots": ["搬家"]}, {"source": "world", "plots": ["没有"]}, {"source": ["world", path]}):  # fmt: skip
        with pytest.raises(UserError):
            corpus(**{"source": path, "out_dir": tmp_path / "out"} | wrong)
    assert not (tmp_path / "out").exists()


def test_second_call_does_nothing_and_other_settings_are_refused(tmp_path: Path) -> None:
    path, out = str(put(tmp_path, jsonl({"text": story(1)}, {"text": story(2)}))), tmp_path / "out"
    corpus(path, out)
    before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    corpus(path, out, workers=1)
    assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == before
    with pytest.raises(UserError, match="already made with other seed"):
        corpus(path, out, seed=1)
    corpus(path, out, seed=1, overwrite=True)
    put(tmp_path, jsonl({"text": story(1)}, {"text": story(3)}))
    with pytest.raises(UserError, match="already made with other input source"):
        corpus(path, out, seed=1)
    corpus(str(out), tmp_path / "again")  # a corpus is a source, its manifest is not read as a story
    check_counts(tmp_path / "again")


def test_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD", 10)
    path = put(tmp_path, jsonl(*({"text": story(n)} for n in range(35))))
    corpus(str(path), tmp_path / "out", val_share=1e-9)
    assert [p.name for p in shards.shard_files(tmp_path / "out", "train")] == [f"train-0000{n}.jsonl" for n in range(4)]
    check_counts(tmp_path / "out")


def test_disk_full_then_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_stage, "_CHECKPOINT", 100)
    monkeypatch.setattr(shards, "SHARD", 300)
    path = str(put(tmp_path, jsonl(*({"text": story(n % 1900)} for n in range(2000)))))
    corpus(path, tmp_path / "whole", workers=1)
    write, left = Shards.write, [1333]

    def full(self: Shards, line: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        write(self, line)

    with monkeypatch.context() as patched:
        patched.setattr(Shards, "write", full)
        with pytest.raises(UserError, match="disk full"):
            corpus(path, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    corpus(path, tmp_path / "out", workers=1)
    assert data_files(tmp_path / "out") == data_files(tmp_path / "whole")
    assert check_counts(tmp_path / "out") == Manifest.read(tmp_path / "whole").counts


KILLED = """
import sys
from pathlib import Path
from litgpt_zh.corpus import stage
stage._CHECKPOINT = 500
if __name__ == "__main__":
    stage.corpus(out_dir=Path(sys.argv[1]), stories=3000, val_share=0.05, workers=int(sys.argv[2]))
"""


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_world_kill_and_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = put(tmp_path, KILLED.encode(), "make.py")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, script, out, "2"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    state = tmp_path / "out.partial" / ".state.json"
    while not state.exists() and process.poll() is None:
        time.sleep(0.005)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    children = workers.read_text().split() if workers.exists() else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 5
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, children))  # killed, it could not tell its workers
    assert state.exists()
    assert not out.exists()
    monkeypatch.setattr(corpus_stage, "_CHECKPOINT", 500)
    assert 0 < json.loads(state.read_text())["counts"]["read"] < 3000
    put(out.with_name("out.partial"), b"{", ".state.json.tmp")  # killed while saving
    corpus_stage.corpus(out_dir=out, stories=3000, val_share=0.05, workers=1)  # goes on in this process
    subprocess.run([sys.executable, script, tmp_path / "whole", "2"], env=environment, check=True, capture_output=True)
    assert data_files(out) == data_files(tmp_path / "whole")
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "train-00000.jsonl", "val-00000.jsonl"]
    assert check_counts(out) == Manifest.read(tmp_path / "whole").counts
    record = next(read_shards(out, "train"))
    assert record["text"] and record["words"] and record["group"]


# download


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that is a local folder."""
    import huggingface_hub

    remote = tmp_path / "remote"
    put(remote, tar({"data00_zh.jsonl": jsonl(*map(tiny_stories_chinese, range(20)))}), hub.KNOWN[FIRST][0])

    def fetch(dataset: str, name: str, *, local_dir: Path, **kwargs: object) -> str:
        assert kwargs["repo_type"] == "dataset"
        if not (remote / name).exists():
            raise huggingface_hub.errors.LocalEntryNotFoundError("long text\nBearer hf_secret")
        put(local_dir, (remote / name).read_bytes(), name)
        put(local_dir, b"c0ffee\nabc\n1.0\n", f".cache/huggingface/download/{name}.metadata")
        return str(local_dir / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "list_repo_files", lambda *a, **k: ["README.md", "x/a.parquet", "state.json"]
    )
    return remote


FIRST = "adam89/TinyStoriesChinese"


def test_download_then_corpus(tmp_path: Path, hub_folder: Path) -> None:
    manifest = hub.download(out_dir=tmp_path / "raw")
    assert manifest.counts["files"] == {"TinyStories_all_data_zh.tar.gz": {"commit": "c0ffee", "etag": "abc"}}
    assert sorted(p.name for p in (tmp_path / "raw").iterdir()) == ["TinyStories_all_data_zh.tar.gz", "manifest.json"]
    (hub_folder / "TinyStories_all_data_zh.tar.gz").unlink()
    hub.download(out_dir=tmp_path / "raw")  # finished: the hub is not asked
    corpus(str(tmp_path / "raw"), tmp_path / "out")
    assert check_counts(tmp_path / "out")["kept"] == 20


def test_download_errors_are_one_line_with_a_way_out(tmp_path: Path, hub_folder: Path) -> None:
    with pytest.raises(UserError, match=r"--endpoint https://hf-mirror\.com") as caught:
        hub.download("someone/data", tmp_path / "raw")
    assert "x/a.parquet" in str(caught.value)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
    for wrong in ({"dataset": "data"}, {"endpoint": "hf-mirror.com"}, {"dataset": "a/b", "files": ["*.csv"]}):
        with pytest.raises(UserError):
            hub.download(**{"out_dir": tmp_path / "raw"} | wrong)
    assert not (tmp_path / "raw").exists()
