"""The tokens stage at volume: what is told before the work, packing against concatenation, bad lines, damaged input."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from litgpt_zh.stage import Manifest, UserError, exclusive, fingerprint
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.read import line_number, records
from litgpt_zh.tokenizer.train import train_tokenizer
from litgpt_zh.tokens import encode as encoding
from litgpt_zh.tokens import gap, stage
from litgpt_zh.tokens.pack import concatenated, pack_best_fit, pack_concatenate, predicted
from litgpt_zh.tokens.stage import tokens

BLOCK = 32


def lines_of(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [
        json.dumps(
            {"text": f"第{i}天，小兔子去{rng.choice(('唱歌', '种花'))}。" + "大家很高兴。" * rng.randrange(1, 9)},
            ensure_ascii=False,
        )
        for i in range(n)
    ]


def write(folder: Path, train: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train-00000.jsonl").write_text("\n".join(train) + "\n", encoding="utf-8")
    (folder / "val-00000.jsonl").write_text("\n".join(lines_of(5, 1)) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("work")
    write(home / "corpus", lines_of(3000))
    train_tokenizer(home / "corpus", home / "tok", vocab_size=450, hanzi="seen", dictionary_weight=0, segment=False)
    return home


# ---- packing told and compared


def test_concatenated_by_hand() -> None:
    assert concatenated([3, 4, 5], 4) == (2, 2)  # aaab bbbc cccc: b and c cut, rows 2 and 3 begin inside
    assert concatenated([4, 4], 4) == (0, 0)
    assert concatenated([9], 4) == (1, 2)
    assert concatenated([], 4) == (0, 0)


def test_packings_say_how_their_rows_begin() -> None:
    lengths = [11, 3, 4, 4, 7, 2]
    flat = np.concatenate([np.full(n, i, np.uint16) for i, n in enumerate(lengths)])
    fitted, cut = pack_best_fit(flat, lengths, 8, 0), pack_concatenate(flat, lengths, 8, 0)
    assert (cut.cut, cut.headless) == concatenated(lengths, 8) and fitted.cut == 1
    assert cut.places.tolist() == [[0, 0], [1, 0], [1, 1], [1, 2], [2, 2], [2, 3], [2, 4], [3, 4], [3, 5]]
    assert Counter(fitted.places[:, 1].tolist()) == {0: 2, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
    for row, document in fitted.places.tolist():
        assert document in fitted.rows[row]
    assert sum(pack_best_fit(flat, lengths, 8, seed).headless for seed in range(20)) > 0


@pytest.mark.parametrize("seed", range(3))
def test_near_duplicates_share_no_row(seed: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.randrange(2, 9) for _ in range(600)]
    clusters = [rng.randrange(40) if rng.random() < 0.3 else -1 for _ in lengths]
    flat = np.repeat(np.arange(600, dtype=np.uint16), lengths)

    def together(packed) -> int:
        found = Counter(
            (row, clusters[document]) for row, document in packed.places.tolist() if clusters[document] >= 0
        )
        return sum(n > 1 for n in found.values())

    assert together(pack_best_fit(flat, lengths, 20, seed)) > 0
    apart = pack_best_fit(flat, lengths, 20, seed, clusters)
    assert together(apart) == 0 and sorted(apart.places[:, 1]) == list(range(600))


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize("block", [32, 64, 256])
def test_gap_is_predicted(
    home: Path, tmp_path: Path, block: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gap, "_DOCUMENTS", 16)  # a third of the corpus
    train = tokens(home / "corpus", home / "tok", tmp_path / "out", block, workers=1).counts["train"]
    assert abs(train["gap_predicted"] - train["gap"]) < 0.02
    told = capsys.readouterr().out.splitlines()[0]
    assert told.startswith(f"predicted at block_size {block}: gap {train['gap_predicted']:.2%}")
    high = max(train["gap_predicted"], train["cut"] / train["documents"]) > gap.HIGH
    assert high == (block == 32) == ("; block_size 64 would bring" in told)


def test_longer_rows_are_predicted_to_waste_less() -> None:
    lengths = [round(random.Random(n).gauss(300, 20)) for n in range(500)]
    assert predicted(lengths, 513)[0] > 0.3 > predicted(lengths, 1025)[0]
    assert predicted([600, 100], 513)[1] == 0.5


@pytest.mark.usefixtures("english")
def test_the_manifest_compares_with_concatenation(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = tokens(home / "corpus", home / "tok", tmp_path / "fit", 64, workers=1).counts["train"]
    assert "concatenated and cut it would be" in capsys.readouterr().out
    plain = tokens(home / "corpus", home / "tok", tmp_path / "cut", 64, "concatenate", workers=1).counts["train"]
    assert fitted["cut_if_concatenated"] == plain["cut"] > 10 * fitted["cut"]
    assert fitted["headless_if_concatenated"] == plain["headless"] > 10 * fitted["headless"]


# ---- encoding


@pytest.mark.parametrize("text", ["", "好", "a<|endoftext|>b", "\ud83d\ude00🙂", "两\n行 和  空格", "龘靐" * 9])
def test_texts_encoded_together_have_their_own_ids(home: Path, tmp_path: Path, text: str) -> None:
    texts = ["从前，有一只小兔子。", text.encode("utf-16", "surrogatepass").decode("utf-16"), "它去唱歌。"] * 30
    lines = [json.dumps({"text": t}) for t in texts]
    (tmp_path / "c.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plan = encoding.Plan(home / "tok", tmp_path, 0, 9, "best-fit", 0.0, 0)
    part = encoding.Slice(tmp_path / "c.jsonl", 0, (tmp_path / "c.jsonl").stat().st_size, "train-00000", 0)
    found, tokenizer = encoding.read(part, plan), files.load(home / "tok")
    expected = [[*tokenizer.encode(encoding.plain(t)).ids, 0] for t in texts if t]
    assert found.flat.tolist() == [n for ids in expected for n in ids]
    assert found.lengths == [len(ids) for ids in expected]


def test_other_tokenizers_encode_each_text_by_itself(tmp_path: Path) -> None:
    """A pre-tokenizer may see a text's beginning; an end piece inside a text is no end."""
    tokenizer = Tokenizer(models.BPE({"▁": 0, "a": 1, "b": 2, "</s>": 3}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.add_special_tokens(["</s>"])
    for name, expected in (("meta", [0, 1, 3, 0, 2, 3]), ("bare", [1, 3, 2, 3, 1, 3])):
        (tmp_path / name).mkdir()
        tokenizer.save(str(tmp_path / name / "tokenizer.json"))
        tokenizer.pre_tokenizer = None
        (tmp_path / "c.jsonl").write_text('{"text": "a"}\n{"text": "b</s>a"}\n')
        found = encoding.read(
            encoding.Slice(tmp_path / "c.jsonl", 0, 99, "train-00000", 0),
            encoding.Plan(tmp_path / name, tmp_path, 3, 9, "best-fit", 0.0, 0),
        )
        assert found.flat.tolist()[: len(expected)] == expected
        assert found.lengths == ([2, 4] if name == "bare" else [3, len(found.flat) - 3])


# ---- bad input


BAD = {
    "broken json": b'{"text": "\xe5\xb0\x8f',
    "invalid UTF-8": b'{"text": "\xff\xfe"}',
    "not a record but a JSON list": b"[1]",
    "no text": b'{"story": "a"}',
    "half a character (a lone surrogate)": b'{"text": "a\\ud800"}',
}


@pytest.mark.usefixtures("english")
@pytest.mark.parametrize(("workers", "reason"), [(2, "broken json"), *((1, reason) for reason in BAD)])
def test_a_bad_line_is_named_and_counted(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    workers: int,
    reason: str,
) -> None:
    monkeypatch.setattr(stage, "SLICE", 50_000)
    corpus = write(tmp_path / "corpus", lines_of(2000))
    path = corpus / "train-00000.jsonl"
    whole = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*whole[:1500], BAD[reason], *whole[1500:]]))
    manifest = tokens(corpus, home / "tok", tmp_path / "out", BLOCK, workers=workers)
    assert manifest.counts["train"]["documents"] == 2000 and manifest.counts["train"]["bad"] == 1
    assert manifest.counts["examples"] == [{"file": "train-00000.jsonl", "line": 1501, "reason": reason}]
    assert f"1 lines could not be read and were left out (train-00000.jsonl:1501: {reason})" in capsys.readouterr().out
    tokens(corpus, home / "tok", tmp_path / "one", BLOCK, max_bad=1, workers=workers)
    with pytest.raises(UserError, match=r"train-00000\.jsonl:1501: .*; that makes 1, more than --max_bad 0"):
        tokens(corpus, home / "tok", tmp_path / "none", BLOCK, max_bad=0, workers=workers)
    assert not (tmp_path / "none").exists()


def test_lines_are_counted_from_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n\n{"text": "b"}\n[]\n')
    found: list[tuple[int, str]] = []
    assert [record["text"] for record, _ in records(path, bad=lambda at, reason: found.append((at, reason)))] == [
        "a",
        "b",
    ]
    assert [line_number(path, at) for at, _ in found] == [4] and line_number(path, 0) == 1
    with pytest.raises(UserError, match=r"a\.jsonl:4: not a record"):
        list(records(path))


def test_a_truncated_shard_of_the_corpus_is_refused(home: Path, tmp_path: Path) -> None:
    corpus = write(tmp_path / "corpus", lines_of(50))
    outputs = {path.name: fingerprint(path) for path in corpus.iterdir()}
    Manifest("corpus", {}, {}, outputs=outputs).write(corpus)
    shutil.copytree(corpus, tmp_path / "cut")
    tokens(corpus, home / "tok", tmp_path / "out", BLOCK, workers=1)
    path = tmp_path / "cut" / "train-00000.jsonl"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"train-00000\.jsonl: [\d,]+ bytes, [\d,]+ were written"):
        tokens(tmp_path / "cut", home / "tok", tmp_path / "other", BLOCK, workers=1)
    assert not (tmp_path / "other.partial").exists()


def test_a_second_run_into_one_folder_is_refused(home: Path, tmp_path: Path) -> None:
    call = (
        f"from litgpt_zh.tokens.stage import tokens\ntokens({str(home / 'corpus')!r}, {str(home / 'tok')!r}, 'out', 32)"
    )
    with exclusive(tmp_path / "out"):
        second = subprocess.run([sys.executable, "-c", call], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert second.returncode and "out: another process is writing there" in second.stderr
    assert not (tmp_path / "out").exists()


def test_slices_are_even_and_cover_every_line(tmp_path: Path) -> None:
    for n, size in enumerate((0, 10, 100, 101)):
        (tmp_path / f"train-{n:05d}.jsonl").write_bytes(b"x" * size)
    paths = sorted(tmp_path.glob("*.jsonl"))
    found = encoding.slices(paths, "train", 50)
    assert [part.stop - part.start for part in found] == [10, 50, 50, 33, 34, 34]
    assert [part.name for part in found] == [f"train-{n:05d}" for n in range(6)]


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    """macOS allows 256 at first, most Linux 1,024, and there is a file for 8 MB of corpus."""
    code = (
        "import resource, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from litgpt_zh.tokens.loader import Rows\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "paths = [Path(sys.argv[1]) / f'train-{n:05d}.bin' for n in range(100)]\n"
        "for n, path in enumerate(paths): np.full((1, 3), n, '<u2').tofile(path)\n"
        "assert Rows(paths, [1] * 100, 3)[np.arange(100)].sum() == 3 * sum(range(100))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_workers_import_no_torch() -> None:
    code = "import sys, litgpt_zh.tokens.stage; sys.exit(bool({'torch', 'litgpt'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
