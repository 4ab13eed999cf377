"""Training through litgpt's own ``setup`` functions: the same losses however it is split, stopped or started again."""

from __future__ import annotations

import copy
import json
import math
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from litgpt.model import CausalSelfAttention
from litgpt.utils import chunked_cross_entropy
from trainings import BLOCK, OPTIMIZER, finetune, losses, pretrain, same_weights, stop_at, tiny_config

from litgpt_zh import attention, checkpoints, runlog
from litgpt_zh.finetune import run
from litgpt_zh.finetune.head import token_nll
from litgpt_zh.finetune.objective import Objective
from litgpt_zh.instruct.data import Instructions
from litgpt_zh.instruct.fit import weights
from litgpt_zh.pretrain.data import Pretraining
from litgpt_zh.pretrain.loss import cross_entropy, loss_without_requests, without_requests
from litgpt_zh.stage import Manifest, UserError

pytestmark = pytest.mark.usefixtures("no_compile")


# the loss ------------------------------------------------------------------------------------------------------------


def test_cross_entropy_equals_litgpts_in_value_and_gradient() -> None:
    torch.manual_seed(0)
    targets = torch.randint(0, 50, (3, 40))
    targets[0, :7] = -100
    results = []
    for loss in (cross_entropy, chunked_cross_entropy):
        logits = torch.randn(3, 40, 50, generator=torch.Generator().manual_seed(1)).requires_grad_()
        value = loss(logits, targets)
        value.backward()
        results.append((value.detach(), logits.grad))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-5, rtol=0)
    torch.testing.assert_close(results[0][1], results[1][1], atol=1e-4, rtol=0)


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0)], [0.0, 0.0]]])
    assert cross_entropy(logits, torch.tensor([[1, 0]])).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert cross_entropy(logits, torch.full((1, 2), -100)).item() == 0.0


def test_requests_are_left_out_of_the_loss_by_hand() -> None:
    user, assistant = 2, 3
    targets = torch.tensor([[9, 0, user, 7, 8, assistant, 5, 6, 0, user, 4]])
    expected = torch.tensor([[9, 0, user, -100, -100, assistant, 5, 6, 0, user, -100]])
    assert torch.equal(without_requests(targets, user, assistant), expected)
    logits = torch.randn(1, 11, 10)
    loss = loss_without_requests(user, assistant)(logits, targets)
    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(logits[0], expected[0]).item(), abs=1e-6)


# pretraining ---------------------------------------------------------------------------------------------------------


def test_pretraining_leaves_a_folder_that_stands_alone(base: Path) -> None:
    weights = checkpoints.flat_weights(base / "lit_model.pth")
    assert "model" not in weights
    assert torch.equal(weights["lm_head.weight"], weights["transformer.wte.weight"])
    assert zipfile.ZipFile(base / "lit_model.pth").namelist()
    manifest = Manifest.read(base)
    assert manifest.stage == "pretrain" and manifest.counts["steps"] == 6
    assert {"lit_model.pth", "model_config.yaml", "tokenizer.json", "config.json"} <= set(manifest.outputs)
    assert json.loads((base / "config.json").read_text())["tie_word_embeddings"] is True
    samples = runlog.read(base.parent / "samples.jsonl")
    assert [s["share"] for s in samples] == [0.0, 0.1, 0.3, 1.0]
    assert not list(base.parent.glob(".pending*"))


@pytest.mark.usefixtures("english")
def test_a_finished_pretraining_does_nothing(home: Path, base: Path, monkeypatch, capsys) -> None:
    before = (base / "lit_model.pth").stat().st_mtime_ns
    pretrain(home, home / "base", monkeypatch)
    assert (base / "lit_model.pth").stat().st_mtime_ns == before
    assert "already finished" in capsys.readouterr().out


def test_stopped_pretraining_ends_the_same(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    revive = stop_at(monkeypatch, step=6)
    with pytest.raises(KeyboardInterrupt):
        pretrain(home, tmp_path / "run", monkeypatch)
    assert not (tmp_path / "run/final/manifest.json").exists()
    torn = tmp_path / "run" / "step-00000005"  # a checkpoint torn in the middle of its writing
    torn.mkdir()
    (torn / "lit_model.pth").write_bytes((tmp_path / "run/step-00000004/lit_model.pth").read_bytes()[:-900])
    revive()
    final = pretrain(home, tmp_path / "run", monkeypatch)
    assert same_weights(final, base)
    assert losses(tmp_path / "run") == losses(home / "base")
    assert [s["text"] for s in runlog.read(tmp_path / "run/samples.jsonl")] == [
        s["text"] for s in runlog.read(home / "base/samples.jsonl")
    ]


def wsd(folder: Path) -> Pretraining:
    return Pretraining(folder / "tokens", sample_prompt="", schedule="wsd", decay_share=0.5)


def test_pretraining_in_wsd_and_its_exact_resume(home: Path, tmp_path: Path, monkeypatch) -> None:
    """Peak 0.003: two steps up, one at the top, three down to min_lr; both micro batches of a step learn at one rate."""
    changes = {"train": {"min_lr": 0.0006}, "optimizer": copy.deepcopy(OPTIMIZER)}
    whole = pretrain(home, tmp_path / "whole", monkeypatch, data=wsd(home), **copy.deepcopy(changes))
    seen = [value for _, key, value in losses(tmp_path / "whole") if key == "learning_rate"]
    assert seen == pytest.approx([0.003, 0.0022, 0.0006])  # after steps 2, 4 and 6
    revive = stop_at(monkeypatch, step=5)
    with pytest.raises(KeyboardInterrupt):
        pretrain(home, tmp_path / "run", monkeypatch, data=wsd(home), **copy.deepcopy(changes))
    revive()
    with pytest.raises(UserError, match=r"other decay_share .*, schedule"):
        pretrain(home, tmp_path / "run", monkeypatch, **copy.deepcopy(changes))
    final = pretrain(home, tmp_path / "run", monkeypatch, data=wsd(home), **copy.deepcopy(changes))
    assert same_weights(final, whole) and losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_the_best_of_pretraining_is_kept(home: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """A rate that rises to the end, to far too much: the validation loss falls, then climbs; stopped in between or not."""

    def run(name: str) -> Path:
        data = Pretraining(home / "tokens", sample_tokens=5, keep_best=True)
        optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 5.0}}
        train = {"max_tokens": 12 * 8 * BLOCK, "lr_warmup_steps": 11}
        return pretrain(home, tmp_path / name, monkeypatch, data=data, optimizer=optimizer, train=train)

    final = run("whole")
    found = [value for _, key, value in losses(tmp_path / "whole") if key == "val_loss"]
    counts = Manifest.read(final).counts
    assert found[-1] == min(found) == counts["val_loss"] < found[-2]
    assert 0 < counts["best_step"] < counts["steps"] == 12
    assert f"验证损失最低的是第 {counts['best_step']} 步" in capsys.readouterr().out
    best, weights = (checkpoints.flat_weights(f) for f in (tmp_path / "whole/best.ckpt", final / "lit_model.pth"))
    assert best.keys() < weights.keys() and all(torch.equal(best[name], weights[name]) for name in best)
    assert torch.equal(weights["lm_head.weight"], weights["transformer.wte.weight"])
    revive = stop_at(monkeypatch, step=9)
    with pytest.raises(KeyboardInterrupt):
        run("run")
    revive()
    assert same_weights(run("run"), final) and losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_pretraining_with_other_settings_is_not_continued(home: Path, tmp_path: Path, monkeypatch) -> None:
    revive = stop_at(monkeypatch, step=4)
    with pytest.raises(KeyboardInterrupt):
        pretrain(home, tmp_path / "run", monkeypatch)
    revive()
    with pytest.raises(UserError, match="other train"):
        pretrain(home, tmp_path / "run", monkeypatch, train={"max_tokens": 8 * 8 * BLOCK})


def test_continued_pretraining_starts_from_a_checkpoint(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    final = pretrain(home, tmp_path / "more", monkeypatch, initial_checkpoint_dir=base, resume=False)
    assert losses(tmp_path / "more")[0][2] < losses(home / "base")[0][2] - 0.5
    weights = checkpoints.flat_weights(final / "lit_model.pth")
    assert torch.equal(weights["lm_head.weight"], weights["transformer.wte.weight"])


def test_stopped_continued_pretraining_goes_on_where_it_was(
    home: Path, base: Path, tmp_path: Path, monkeypatch
) -> None:
    """The same command again: ``resume: auto`` beside ``initial_checkpoint_dir``, which litgpt refuses."""
    whole = pretrain(home, tmp_path / "whole", monkeypatch, initial_checkpoint_dir=base)
    assert losses(tmp_path / "whole")[0][2] < losses(home / "base")[0][2] - 0.5
    revive = stop_at(monkeypatch, step=5)
    with pytest.raises(KeyboardInterrupt):
        pretrain(home, tmp_path / "run", monkeypatch, initial_checkpoint_dir=base)
    revive()
    final = pretrain(home, tmp_path / "run", monkeypatch, initial_checkpoint_dir=base)
    assert same_weights(final, whole) and losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_pretraining_goes_on_from_what_it_can_only(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    def other(name: str, file: str, before: str, after: str) -> Path:
        shutil.copytree(base, tmp_path / name)
        text = (base / file).read_text(encoding="utf-8")
        assert before in text
        (tmp_path / name / file).write_text(text.replace(before, after), encoding="utf-8")
        return tmp_path / name

    words = other("words", "tokenizer.json", "猫", "龘")
    apart = other("apart", "model_config.yaml", "tie_word_embeddings: true", "tie_word_embeddings: false")
    with pytest.raises(UserError, match=r"words: trained with another tokenizer .* litgpt-zh tokens --tokenizer_dir"):
        pretrain(home, tmp_path / "a", monkeypatch, initial_checkpoint_dir=words)
    with pytest.raises(UserError, match="apart: its embedding and its head are apart"):
        pretrain(home, tmp_path / "b", monkeypatch, initial_checkpoint_dir=apart)


def test_pretraining_refuses_before_it_starts(home: Path, tmp_path: Path, monkeypatch) -> None:
    small = tiny_config()
    small.padded_vocab_size = small.vocab_size = 300
    with pytest.raises(UserError, match="tokenizer of 480 entries, the model has 300"):
        pretrain(home, tmp_path / "a", monkeypatch, model_config=small)
    with pytest.raises(UserError, match="block_size 128, the model has 64"):
        pretrain(home, tmp_path / "b", monkeypatch, train={"max_seq_length": 64})
    with pytest.raises(UserError, match="tokenizer_dir is missing"):
        pretrain(home, tmp_path / "c", monkeypatch, tokenizer_dir=None)
    with pytest.raises(UserError, match="less than one step"):
        pretrain(home, tmp_path / "d", monkeypatch, train={"max_tokens": 100})
    assert not (tmp_path / "a").exists()


def test_the_weighted_loss_by_hand() -> None:
    """Uniform logits over 4 tokens: ln 4 a token, whatever the weights; with one wrong token they decide."""
    labels = torch.tensor([[-100, -100, 5, 6, 7], [-100, 5, 6, -100, -100]])
    asked = torch.tensor([[False, False, True, False, False], [False, False, True, False, False]])
    micro = {"labels": labels, "asked": asked}
    assert weights(micro, 3.0).tolist() == [3.0, 1.0, 1.0, 1.0, 3.0]
    assert weights(micro, 1.0).tolist() == [1.0] * 5


def test_the_head_is_only_on_what_is_learnt_and_the_loss_is_the_same() -> None:
    from litgpt import GPT

    torch.manual_seed(0)
    model, ids = GPT(tiny_config()), torch.randint(0, 480, (3, 20))
    labels = ids.masked_fill(torch.rand(3, 20) < 0.5, -100)
    nll, mask = token_nll(model, ids, labels)
    whole = torch.nn.functional.cross_entropy(
        model(ids)[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none"
    )
    torch.testing.assert_close(nll, whole[mask], atol=1e-5, rtol=0)
    assert len(nll) == (labels[:, 1:] != -100).sum() < labels.numel() and (whole[~mask] == 0).all()
    assert not model.lm_head._forward_pre_hooks


# finetuning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [False, True])
def test_losses_do_not_depend_on_the_micro_batch(
    home: Path, base: Path, tmp_path: Path, monkeypatch, lora: bool
) -> None:
    records = []
    for micro in (8, 2):
        changes = {"lora_dropout": 0.0} if lora else {}
        changes["data"] = Instructions(home / "sft-data", word_weight=5.0)
        finetune(home, base, tmp_path / str(micro), monkeypatch, lora, train={"micro_batch_size": micro}, **changes)
        records.append([value for _, key, value in losses(tmp_path / str(micro)) if key == "loss"])
    assert len(records[0]) == 14  # 54 records: 7 global batches of 8, twice
    assert records[0] == pytest.approx(records[1], abs=1e-5)
    assert records[0][-1] < records[0][0]


@pytest.mark.parametrize("kind", ["full", "lora", "lora and embeddings"])
def test_stopped_finetuning_ends_the_same(home: Path, base: Path, tmp_path: Path, monkeypatch, kind: str) -> None:
    def tune(out: Path) -> Path:
        data = Instructions(home / "sft-data", train_embeddings="embeddings" in kind)
        return finetune(home, base, out, monkeypatch, "lora" in kind, data=data)

    whole = tune(tmp_path / "whole")
    revive = stop_at(monkeypatch, step=11)
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / "stopped")
    revive()
    final = tune(tmp_path / "stopped")
    assert same_weights(final, whole)
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


def test_full_finetuning_keeps_the_tie_and_every_command_takes_its_folder(
    home: Path, base: Path, tmp_path: Path, monkeypatch
) -> None:
    final = finetune(home, base, tmp_path / "sft", monkeypatch)
    weights = checkpoints.flat_weights(final / "lit_model.pth")
    assert "model" not in weights
    assert torch.equal(weights["lm_head.weight"], weights["transformer.wte.weight"])
    assert not torch.equal(
        weights["lm_head.weight"], checkpoints.flat_weights(base / "lit_model.pth")["lm_head.weight"]
    )
    assert "litgpt_zh.styles.Story" in (final / "prompt_style.yaml").read_text()
    again = finetune(home, final, tmp_path / "again", monkeypatch)  # the next stage takes it as it is
    lora = finetune(home, again, tmp_path / "lora", monkeypatch, lora=True)
    assert Manifest.read(lora).stage == "sft-lora"


@pytest.mark.parametrize(("head", "embeddings"), [(False, False), (True, False), (False, True)])
def test_merged_lora_equals_the_adapter(
    home: Path, base: Path, tmp_path: Path, monkeypatch, head: bool, embeddings: bool
) -> None:
    import yaml
    from litgpt import GPT as Plain
    from litgpt import Config as PlainConfig
    from litgpt.lora import GPT, Config

    data = Instructions(home / "sft-data", train_embeddings=embeddings)
    final = finetune(home, base, tmp_path / "lora", monkeypatch, lora=True, lora_head=head, data=data)
    settings = yaml.safe_load((final / "model_config.yaml").read_text())
    hparams = {
        "lora_r": 4,
        "lora_alpha": 16,
        "lora_query": True,
        "lora_value": True,
        "lora_mlp": True,
        "lora_head": head,
    }
    adapter = GPT(Config(**settings, **hparams)).eval()
    adapter.load_state_dict(checkpoints.flat_weights(base / "lit_model.pth"), strict=False)
    adapter.load_state_dict(torch.load(final / "lit_model.pth.lora", weights_only=True)["model"], strict=False)
    merged = Plain(PlainConfig(**settings)).eval()
    merged.load_state_dict(checkpoints.flat_weights(final / "lit_model.pth"))
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(adapter(ids), merged(ids), atol=1e-5, rtol=0)
    weights = checkpoints.flat_weights(final / "lit_model.pth")
    same = torch.equal(weights["lm_head.weight"], weights["transformer.wte.weight"])
    assert same == settings["hf_config"]["tie_word_embeddings"] == (not head)
    assert json.loads((final / "config.json").read_text())["tie_word_embeddings"] == (not head)
    before = checkpoints.flat_weights(base / "lit_model.pth")["transformer.wte.weight"]
    assert torch.equal(weights["transformer.wte.weight"], before) == (not embeddings)
    if head:  # the next stage leaves them apart
        again = checkpoints.flat_weights(finetune(home, final, tmp_path / "next", monkeypatch) / "lit_model.pth")
        assert not torch.equal(again["lm_head.weight"], again["transformer.wte.weight"])


def test_the_head_is_not_trained_twice(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    data = Instructions(home / "sft-data", train_embeddings=True)
    with pytest.raises(UserError, match="train_embeddings trains the head whole; set lora_head: false"):
        finetune(home, base, tmp_path / "lora", monkeypatch, lora=True, lora_head=True, data=data)
    assert not (tmp_path / "lora").exists()


def test_quantised_lora_is_refused(base: Path, tmp_path: Path) -> None:
    """litgpt's merge drops what it puts behind the embedding. (Lightning itself refuses the plugin without a GPU.)"""
    pytest.importorskip("bitsandbytes")
    from lightning.fabric.plugins import BitsandbytesPrecision
    from litgpt.finetune import lora

    objective = Objective()
    objective.stage = "sft"
    strategy = SimpleNamespace(precision=BitsandbytesPrecision("nf4", torch.float32))
    arguments = {
        "fabric": SimpleNamespace(strategy=strategy, world_size=1),
        "checkpoint_dir": base,
        "config": tiny_config(),
    }
    with pytest.raises(UserError, match="--quantize: litgpt trains such a model with a LayerNorm"):
        run.train_with(None, objective, lora, lora.main, {**arguments, "out_dir": tmp_path})
    arguments["fabric"].world_size = 2
    with pytest.raises(UserError, match="sft-lora: on one device only"):  # an objective that does not say in_parallel
        run.train_with(None, objective, lora, lora.main, {**arguments, "out_dir": tmp_path})


def test_an_eight_bit_optimizer_by_its_class_path(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("bitsandbytes")
    optimizer = {"class_path": "bitsandbytes.optim.AdamW8bit", "init_args": {"lr": 0.003}}
    whole = finetune(home, base, tmp_path / "run", monkeypatch, optimizer=copy.deepcopy(optimizer))
    found = [value for _, key, value in losses(tmp_path / "run") if key == "loss"]
    assert found[-1] < found[0]
    assert Manifest.read(whole).counts["steps"] == 14


def test_a_second_lora_run_does_not_keep_the_old_merge(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    first = checkpoints.flat_weights(finetune(home, base, tmp_path / "lora", monkeypatch, True) / "lit_model.pth")
    first = {key: value.clone() for key, value in first.items()}
    final = finetune(home, base, tmp_path / "lora", monkeypatch, True, train={"epochs": 3})
    second = checkpoints.flat_weights(final / "lit_model.pth")
    assert any(not torch.equal(first[key], second[key]) for key in first)
    assert (tmp_path / "lora" / "final.old").is_dir()


def test_finetuning_in_wsd(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    data = Instructions(home / "sft-data", schedule="wsd", decay_share=0.5, min_lr=0.001)
    finetune(home, base, tmp_path / "run", monkeypatch, data=data, train={"lr_warmup_steps": 2})
    rates = [value for _, key, value in losses(tmp_path / "run") if key == "learning_rate"]
    assert rates == pytest.approx([0.0015] + 6 * [0.003] + [0.003 - 0.002 * k / 7 for k in range(1, 8)])


@pytest.mark.parametrize("warmup", [0, 1000])
def test_any_warmup_is_honoured_or_shortened(home: Path, base: Path, tmp_path: Path, monkeypatch, warmup: int) -> None:
    finetune(home, base, tmp_path / "run", monkeypatch, train={"lr_warmup_steps": warmup, "epochs": 1})
    rates = [value for _, key, value in losses(tmp_path / "run") if key == "learning_rate"]
    assert rates[0] > 0 and rates[-1] == pytest.approx(0.0, abs=1e-6)
    assert rates[1:] == sorted(rates[1:], reverse=True)


def test_finetuning_refuses_before_it_starts(home: Path, base: Path, tmp_path: Path, monkeypatch) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    (broken / "tokenizer.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"broken' is missing the files: .*tokenizer\.json"
    ):  # litgpt's own words
        finetune(home, broken, tmp_path / "a", monkeypatch)
    other = tmp_path / "other"
    shutil.copytree(base, other)
    vocabulary = json.loads((other / "tokenizer.json").read_text())
    piece = next(p for p in vocabulary["model"]["vocab"] if p == "猫")
    vocabulary["model"]["vocab"]["龘"] = vocabulary["model"]["vocab"].pop(piece)
    vocabulary["model"]["merges"] = [m for m in vocabulary["model"]["merges"] if "猫" not in "".join(m)]
    (other / "tokenizer.json").write_text(json.dumps(vocabulary))
    with pytest.raises(UserError, match="another tokenizer"):
        finetune(home, other, tmp_path / "c", monkeypatch)


# the record ----------------------------------------------------------------------------------------------------------


def test_the_log_forgets_what_came_after_the_resumed_iteration(tmp_path: Path) -> None:
    log = runlog.RunLog(tmp_path)
    for n in range(1, 6):
        log.log_metrics({"iter": n, "loss": float(n)}, step=n)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"iter": 6, "lo')  # torn by a kill
    again = runlog.RunLog(tmp_path, resume_iter=3)
    again.log_metrics({"iter": 4, "loss": 40.0}, step=4)
    assert [line["loss"] for line in runlog.read(tmp_path / "metrics.jsonl")] == [1.0, 2.0, 3.0, 40.0]


def test_resume_true_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no whole step"):
        checkpoints.find_resume_path(True, tmp_path)
    assert checkpoints.find_resume_path("auto", tmp_path) is None


@pytest.mark.parametrize(
    ("device", "precision", "block", "swapped"),
    [
        ("cpu", "bf16-mixed", 256, True),
        ("cpu", "bf16-true", 128, True),
        ("cpu", "32-true", 256, False),
        ("cpu", "bf16-mixed", 512, False),
        ("cuda", "bf16-mixed", 256, False),
    ],
)
def test_bfloat16_on_a_cpu_trains_with_attention_in_float32(
    device: str, precision: str, block: int, swapped: bool
) -> None:
    strategy = SimpleNamespace(precision=SimpleNamespace(precision=precision))
    fabric = SimpleNamespace(device=torch.device(device), strategy=strategy)
    torch.manual_seed(0)
    layer = CausalSelfAttention(tiny_config(), 0)
    q, k, v = torch.randn(3, 2, layer.config.n_head, 9, layer.config.head_size).bfloat16()
    exact = layer.scaled_dot_product_attention(q.float(), k.float(), v.float())
    plain = layer.scaled_dot_product_attention(q, k, v)
    with attention.fastest(fabric, block), torch.autocast("cpu", torch.bfloat16):
        found = layer.scaled_dot_product_attention(q, k, v)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16() if swapped else plain)
    assert not torch.equal(plain, exact.bfloat16())
    assert torch.equal(layer.scaled_dot_product_attention(q, k, v), plain)
