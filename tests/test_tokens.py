"""The tokens stage: packing, equal output for any worker count, resume, a loader that goes on at the exact batch."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from litgpt_zh.constraints import Constraints
from litgpt_zh.prompts import chat_prompt, story_request
from litgpt_zh.stage import Manifest, UserError
from litgpt_zh.tokenizer import files
from litgpt_zh.tokenizer.train import train_tokenizer
from litgpt_zh.tokens import encode as encoding
from litgpt_zh.tokens import stage
from litgpt_zh.tokens.order import Source, Stage, Stream
from litgpt_zh.tokens.pack import best_fit, exact_fit, pack_best_fit, pack_concatenate
from litgpt_zh.tokens.stage import tokens

BLOCK = 32


def make_corpus(folder: Path, n: int = 400) -> Path:
    rng = random.Random(1)
    folder.mkdir(parents=True)
    lines = []
    for i in range(n):
        who, what = rng.choice(("小兔子", "大象", "乐乐")), rng.choice(("唱歌", "种花", "放风筝"))
        text = f"第{i}天，{who}去{what}。" + "大家很高兴。" * rng.randrange(1, 9)
        extra = {"words": [who, what], "features": ["对话"], "group": str(i // 2)} if i % 4 < 2 else {}
        lines.append(json.dumps({"text": text, **extra}, ensure_ascii=False))
    parts = {"train-00000": lines[2 : n // 2], "train-00001": lines[n // 2 :], "val-00000": lines[:2]}
    for name, part in parts.items():
        (folder / f"{name}.jsonl").write_text("\n".join(part) + "\n", encoding="utf-8")
    return folder


def texts(corpus: Path, split: str) -> list[str]:
    paths = sorted(corpus.glob(f"{split}-*.jsonl"))
    return [json.loads(line)["text"] for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def rows(folder: Path, split: str) -> np.ndarray:
    width = Manifest.read(folder).settings["block_size"] + 1
    return np.concatenate([np.fromfile(p, "<u2").reshape(-1, width) for p in sorted(folder.glob(f"{split}-*.bin"))])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``corpus``, ``tok`` and packed ``rows``."""
    home = tmp_path_factory.mktemp("tokens")
    make_corpus(home / "corpus")
    train_tokenizer(home / "corpus", home / "tok", vocab_size=450, hanzi="seen", dictionary_weight=0, segment=False)
    tokens(home / "corpus", home / "tok", home / "rows", block_size=BLOCK)
    return home


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SLICE", 5000)


def test_best_fit_by_hand() -> None:
    assert best_fit([5, 3, 4, 2, 6], 8) == [[4, 3], [0, 1], [2]]
    assert best_fit([], 8) == []
    with pytest.raises(ValueError, match=r"1\.\.8"):
        best_fit([9], 8)


def test_exact_fit_by_hand() -> None:
    assert exact_fit([5, 5, 4, 4, 3, 3], 12) == [[0, 2, 4], [1, 3, 5]]  # best fit: 5+5, 4+4+3, 3
    assert len(best_fit([5, 5, 4, 4, 3, 3], 12)) == 3
    assert exact_fit([], 8) == [] and exact_fit([8, 8], 8) == [[0], [1]] and exact_fit([1] * 20, 8)[0] == [*range(8)]


@pytest.mark.parametrize("fit", [best_fit, exact_fit])
@pytest.mark.parametrize("low", [1, 40])
def test_fits_keep_every_item_once(fit: Callable, low: int) -> None:
    rng = random.Random(0)
    lengths = [rng.randrange(low, 101) for _ in range(3000)]
    packed = fit(lengths, 100)
    assert sorted(item for row in packed for item in row) == list(range(3000)) and all(packed)
    assert max(sum(lengths[i] for i in row) for row in packed) <= 100
    assert low > 1 or len(packed) * 100 < 1.02 * sum(lengths)


def test_exact_fit_where_lengths_lie_close() -> None:
    rng = random.Random(0)
    lengths = [round(min(max(rng.gauss(100, 18), 50), 180)) for _ in range(10_000)]
    gap_best, gap_exact = (len(fit(lengths, 513)) * 513 / sum(lengths) - 1 for fit in (best_fit, exact_fit))
    assert gap_exact < gap_best / 4 and gap_best > 0.02


@pytest.mark.parametrize("seed", range(5))
def test_whole_documents_stand_once(seed: int) -> None:
    """A document that fits stands in one piece; a long one comes in cuts; the rest of a row is the head of one."""
    rng, width, eos = random.Random(seed), 20, 0
    documents = [[i + 1] * rng.randrange(1, 45) + [eos] for i in range(60)]
    flat = np.array([t for d in documents for t in d], np.uint16)
    packed = pack_best_fit(flat, [len(d) for d in documents], width, seed)
    assert packed.cut == sum(len(d) > width for d in documents)
    assert packed.rows.size == flat.size + packed.filler
    runs: Counter[tuple[int, int, bool]] = Counter()  # (document, length, ended)
    for row in packed.rows.tolist():
        at = 0
        while at < width:
            stop = next((n for n in range(at, width) if row[n] != row[at]), width)
            ended = stop < width and row[stop] == eos
            runs[row[at], stop - at + ended, ended] += 1
            at = stop + ended
    for i, document in enumerate(documents):
        if len(document) <= width:
            assert runs[i + 1, len(document), True] >= 1
    again = pack_best_fit(flat, [len(d) for d in documents], width, seed)
    assert (again.rows == packed.rows).all()


def test_concatenate_by_hand() -> None:
    packed = pack_concatenate(np.array([1, 1, 0, 2, 2, 2, 0], np.uint16), [3, 4], 4, seed=0)
    assert packed.rows[0].tolist() == [1, 1, 0, 2] and packed.rows[1, :3].tolist() == [2, 2, 0]
    assert packed.rows[1, 3] in (1, 2) and (packed.filler, packed.cut) == (1, 1)


def test_tiny_split_is_filled_with_whole_documents() -> None:
    packed = pack_best_fit(np.array([5, 0], np.uint16), [2], 7, seed=0)
    assert packed.rows.tolist() == [[5, 0, 5, 0, 5, 0, 5]] and packed.filler == 5


def test_stories_survive(home: Path) -> None:
    tokenizer, manifest = files.load(home / "tok"), Manifest.read(home / "rows")
    text = "|".join(tokenizer.decode(row.tolist(), skip_special_tokens=False) for row in rows(home / "rows", "train"))
    fitting = [t for t in texts(home / "corpus", "train") if len(tokenizer.encode(t).ids) <= BLOCK]
    assert len(fitting) > 100 and all(t + "<|endoftext|>" in text for t in fitting)
    counts = manifest.counts["train"]
    assert counts["documents"] == 398 and counts["cut"] == 398 - len(fitting)
    assert counts["characters"] == sum(map(len, texts(home / "corpus", "train")))
    assert counts["tokens"] + counts["filler"] == counts["rows"] * (BLOCK + 1)
    assert manifest.counts["val"]["rows"] >= 1
    assert manifest.settings["vocab_size"] == 450 and manifest.settings["eos_id"] == 0


@pytest.mark.parametrize("packing", ["best-fit", "concatenate"])
def test_workers_do_not_matter(home: Path, tmp_path: Path, small_slices: None, packing: str) -> None:
    made = []
    for workers in (1, 2):
        tokens(home / "corpus", home / "tok", tmp_path / str(workers), BLOCK, packing, 0.5, workers=workers)
        made.append({p.name: p.read_bytes() for p in (tmp_path / str(workers)).glob("*.bin")})
    assert len(made[0]) > 5 and made[0] == made[1]


def test_prompts(home: Path, tmp_path: Path) -> None:
    for share in (0.5, 1.0):
        tokens(home / "corpus", home / "tok", tmp_path / str(share), 128, prompt_share=share)
    some, most = (Manifest.read(tmp_path / s).counts["train"]["prompts"] for s in ("0.5", "1.0"))
    assert most == 198 and 60 < some < 140
    record = {"text": "从前<|user|>。", "words": ["小兔子"], "group": "7"}
    request = chat_prompt([("user", story_request(Constraints.of(record)))])
    assert encoding.document(record, 1.0, 0) == (request + "从前＜|user|＞。", True)
    assert encoding.document({"text": "从前"}, 1.0, 0) == ("从前", False)
    tokenizer = files.load(home / "tok")
    decoded = [tokenizer.decode(r.tolist(), skip_special_tokens=False) for r in rows(tmp_path / "1.0", "train")]
    assert any("<|user|>按照下面输入的约束生成故事\n词汇：" in text for text in decoded)


def test_stopped_run_goes_on(home: Path, tmp_path: Path, small_slices: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens(home / "corpus", home / "tok", tmp_path / "whole", BLOCK, workers=1)
    done: list[str] = []

    def stops(part: encoding.Slice, plan: encoding.Plan) -> dict:
        if len(done) == 3:
            (plan.out_dir / f"{part.name}.bin.tmp").write_bytes(b"half")
            raise KeyboardInterrupt
        done.append(part.name)
        return encoding.encode(part, plan)

    monkeypatch.setattr(stage, "encode", stops)
    with pytest.raises(KeyboardInterrupt):
        tokens(home / "corpus", home / "tok", tmp_path / "again", BLOCK, workers=1)
    kept = {name: (tmp_path / "again.partial" / f"{name}.bin").stat().st_mtime_ns for name in done}
    monkeypatch.setattr(stage, "encode", encoding.encode)
    tokens(home / "corpus", home / "tok", tmp_path / "again", BLOCK, workers=1)
    assert kept == {name: (tmp_path / "again" / f"{name}.bin").stat().st_mtime_ns for name in done}
    assert Manifest.read(tmp_path / "again").outputs == Manifest.read(tmp_path / "whole").outputs


def test_killed_run_goes_on(home: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of a parallel run leaves no folder under the final name and no lock."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    lines = (home / "corpus" / "train-00001.jsonl").read_bytes()
    for n in range(12):
        (corpus / f"train-{n:05d}.jsonl").write_bytes(lines * 30)
    shutil.copy(home / "corpus" / "val-00000.jsonl", corpus)
    arguments = f"{str(corpus)!r}, {str(home / 'tok')!r}, 'out', 32, workers=1"
    call = f"from litgpt_zh.tokens.stage import tokens\ntokens({arguments})"
    process = subprocess.Popen([sys.executable, "-c", call], cwd=tmp_path, stderr=subprocess.DEVNULL)
    partial = tmp_path / "out.partial"
    while process.poll() is None and len(list(partial.glob("*.json"))) < 3:
        time.sleep(0.01)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    before = len(list(partial.glob("train-*.json")))
    manifest = tokens(corpus, home / "tok", tmp_path / "out", BLOCK, workers=1)
    assert before >= 2 and manifest.counts["train"]["documents"] == 12 * 30 * 200
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".bin"] * 13 + [".json", ".npy"]


def test_finished_stage_does_nothing(home: Path) -> None:
    before = (home / "rows" / "manifest.json").read_bytes()
    tokens(home / "corpus", home / "tok", home / "rows", block_size=BLOCK, workers=2)
    assert (home / "rows" / "manifest.json").read_bytes() == before
    with pytest.raises(UserError, match="block_size"):
        tokens(home / "corpus", home / "tok", home / "rows", block_size=64)


def test_refusals(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    for changes, message in (
        ({"prompt_share": 1.5}, "prompt_share"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"prompt_fields": {"summary": 0.5}}, "does nothing without prompt_share"),
        ({"tokenizer_dir": tmp_path}, r"tokenizer\.json: no such file"),
        ({"corpus_dir": tmp_path}, "litgpt-zh corpus"),
    ):
        with pytest.raises(UserError, match=message):
            tokens(**{"corpus_dir": home / "corpus", "tokenizer_dir": home / "tok", "out_dir": out} | changes)
    corpus = tmp_path / "corpus"
    shutil.copytree(home / "corpus", corpus)
    (corpus / "val-00000.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="no text in val"):
        tokens(corpus, home / "tok", out)
    (corpus / "val-00000.jsonl").write_text("[1]\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"val-00000\.jsonl:1: not a record but a JSON list; .* --max_bad 0"):
        tokens(corpus, home / "tok", out, max_bad=0)
    monkeypatch.setattr(stage, "MAX_VOCAB", 429)
    with pytest.raises(UserError, match="16 bits"):
        tokens(home / "corpus", home / "tok", out)
    assert not out.exists()


# ---- the data module; imports torch and litgpt


@pytest.fixture
def module(home: Path):
    from litgpt_zh.tokens.data import PackedTokens

    def make(batch_size: int = 8, tokens_dir: Path = home / "rows", **fields):
        data = PackedTokens(tokens_dir=tokens_dir, **fields)
        data.connect(batch_size=batch_size, max_seq_length=BLOCK)
        data.prepare_data()
        data.setup()
        return data

    return make


def cycle(loader, count: int) -> list:
    """The first batches as litgpt's loop takes them."""
    from litgpt.utils import CycleIterator

    iterator = CycleIterator(loader)
    return [next(iterator) for _ in range(count)]


def test_epochs_show_every_row_once(home: Path, module) -> None:
    import torch

    stored = rows(home / "rows", "train")
    loader = module().train_dataloader()
    assert len(loader) == len(stored) // 8
    batches = cycle(loader, len(stored))  # 8 epochs
    assert {(b.shape, b.dtype) for b in batches} == {((8, BLOCK + 1), torch.int64)}
    stream = torch.cat(batches).numpy().reshape(8, len(stored), BLOCK + 1)
    for epoch in stream:
        assert sorted(map(bytes, epoch.astype(np.uint16))) == sorted(map(bytes, stored))
    assert not (stream[0] == stream[1]).all()
    assert (np.stack(cycle(module().train_dataloader(), 3)) == stream[0][:24].reshape(3, 8, -1)).all()
    assert not (np.stack(cycle(module(seed=7).train_dataloader(), 3)) == stream[0][:24].reshape(3, 8, -1)).all()


def test_fewer_rows_than_a_batch_go_round(home: Path, module) -> None:
    count = len(rows(home / "rows", "train"))
    batches = cycle(module(batch_size=count * 2 + 3).train_dataloader(), 3)
    assert {len(b) for b in batches} == {count * 2 + 3}


def test_validation_rows_in_order(home: Path, module) -> None:
    import torch

    tokens(home / "corpus", home / "tok", home / "other", block_size=BLOCK, seed=3)
    data = module(batch_size=4, val_dir=home / "other")
    data.val_rows = data.train_rows  # more than one batch
    loader = data.val_dataloader()
    for _ in range(2):
        assert (torch.cat(list(loader)).numpy() == rows(home / "rows", "train")).all()
    assert [len(b) for b in loader][:-1] == [4] * (len(loader) - 1)
    assert next(iter(loader)).dtype == torch.int64


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("at", [3, 25])  # in the first and in a later epoch
def test_exact_resume(home: Path, module, tmp_path: Path, workers: int, at: int) -> None:
    """Through Fabric's wrapper, save and load, as litgpt does; the batch after the checkpoint is the next one."""
    import lightning
    import torch

    fabric = lightning.Fabric(devices=1, accelerator="cpu")
    straight = cycle(module().train_dataloader(), at + 25)
    loader = fabric.setup_dataloaders(module(num_workers=workers).train_dataloader())
    first = cycle(loader, at)
    fabric.save(tmp_path / "state.pt", {"train_dataloader": loader, "iter_num": at})
    torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = fabric.setup_dataloaders(module(num_workers=2 - workers).train_dataloader())
    state = {"train_dataloader": resumed, "iter_num": 0}
    fabric.load(tmp_path / "state.pt", state)
    assert state["iter_num"] == at
    for a, b in zip(first + cycle(resumed, 25), straight, strict=True):
        assert torch.equal(a, b)


def test_resume_with_other_data_is_refused(module) -> None:
    state = module().train_dataloader().state_dict()
    with pytest.raises(UserError, match="seed 42, now 1"):
        module(seed=1).train_dataloader().load_state_dict(state)


@pytest.mark.parametrize("mixed", [False, True])
def test_processes_share_each_batch(mixed: bool) -> None:
    from litgpt_zh.tokens.loader import InOrder, Shuffled

    stream = Stream([Source("a", 100)], seed=0)
    if mixed:
        stream = Stream([Source("a", 60), Source("b", 40)], 0, stages=[Stage((0.7, 0.3), 50), Stage((0.0, 1.0))])
    whole = [n for batch in Shuffled(stream, 4) for n in batch]
    shares = []
    for rank in range(2):
        batches, ordered = Shuffled(stream, 2), InOrder(101, 2)
        batches.rank, batches.num_replicas, ordered.rank, ordered.num_replicas = rank, 2, rank, 2
        shares.append(list(batches))
        assert len(list(ordered)) == len(ordered) == 26
    assert whole == [n for pair in zip(*shares, strict=True) for batch in pair for n in batch]


def test_hyperparameters_can_be_copied(module) -> None:
    data = module()
    data.train_dataloader()
    fresh = type(data)(tokens_dir=data.tokens_dir)
    assert asdict(fresh)["train_rows"] is None and "train_rows" not in repr(data)


def test_connect_refuses_what_does_not_fit(home: Path, tmp_path: Path) -> None:
    from litgpt.tokenizer import Tokenizer

    from litgpt_zh.tokens.data import PackedTokens

    data = PackedTokens(home / "rows")
    data.connect(Tokenizer(home / "tok"), 4, BLOCK)
    with pytest.raises(UserError, match="--block_size 64"):
        data.connect(None, 4, 64)
    train_tokenizer(home / "corpus", tmp_path / "tok", vocab_size=446, hanzi="seen", dictionary_weight=0, segment=False)
    with pytest.raises(UserError, match="another tokenizer"):
        data.connect(Tokenizer(tmp_path / "tok"), 4, BLOCK)
    tokens(home / "corpus", tmp_path / "tok", tmp_path / "rows", block_size=BLOCK)
    with pytest.raises(UserError, match="another tokenizer than"):
        PackedTokens(home / "rows", val_dir=tmp_path / "rows").connect(None, 4, BLOCK)
    with pytest.raises(UserError, match="negative seed"):
        PackedTokens(home / "rows", seed=-1).connect(None, 4, BLOCK)
    with pytest.raises(UserError, match="stage tokenizer, not tokens"):
        PackedTokens(home / "tok").connect(None, 4, BLOCK)
    with pytest.raises(UserError, match="not a finished stage"):
        PackedTokens(tmp_path).connect(None, 4, BLOCK)


def test_damaged_files_are_refused(home: Path, tmp_path: Path, module) -> None:
    shutil.copytree(home / "rows", tmp_path / "rows")
    path = tmp_path / "rows" / "train-00000.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(UserError, match=r"train-00000\.bin: .* bytes"):
        module(tokens_dir=tmp_path / "rows")
    path.write_bytes(whole[:-2] + b"\1\1")
    module(tokens_dir=tmp_path / "rows")
    with pytest.raises(UserError, match="changed"):
        module(tokens_dir=tmp_path / "rows", verify=True)
    path.unlink()
    with pytest.raises(UserError, match="0 bytes"):
        module(tokens_dir=tmp_path / "rows")
