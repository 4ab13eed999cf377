"""Sampling: equal to litgpt's own one by one, independent of the neighbours, whole characters, a chat that survives."""

from __future__ import annotations

import io
import random
import sys
from dataclasses import asdict

import pytest
import torch
from litgpt import lora
from litgpt.generate.base import generate_fn
from tiny_checkpoint import tiny_model, tiny_tokenizer, write_checkpoint

from litgpt_zh.generate.batch import generate
from litgpt_zh.generate.chat import chat, marks
from litgpt_zh.generate.load import load
from litgpt_zh.generate.pick import pick
from litgpt_zh.generate.stream import decode, stream
from litgpt_zh.language import language
from litgpt_zh.stage import UserError


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def prompts():
    rng = random.Random(0)
    return [[rng.randrange(97) for _ in range(rng.randrange(1, 80))] for _ in range(16)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, instruct=True)
    return folder


def one_by_one(model, prompt, new, stop):
    model.set_kv_cache(1)
    tokens = generate_fn(
        model, torch.tensor(prompt), len(prompt) + new, temperature=0.0, stop_tokens=tuple([s] for s in stop),
        include_prompt=False, include_eos=False,
    )  # fmt: skip
    ids = [int(token) for token in tokens]
    model.clear_kv_cache()
    return ids


@pytest.mark.parametrize("batch_size", [7, 64])
def test_greedy_is_litgpts_own(model, prompts, batch_size):
    answers = generate(model, prompts, max_new_tokens=40, stop_ids=[5, 6], batch_size=batch_size)
    expected = [one_by_one(model, p, min(40, 96 - len(p)), (5, 6)) for p in prompts]
    assert [a.ids for a in answers] == expected
    budgets = [min(40, 96 - len(p)) for p in prompts]
    assert all(a.finished or len(a.ids) == n for a, n in zip(answers, budgets, strict=True))
    assert 0 < sum(a.finished for a in answers) < len(prompts)


@pytest.mark.parametrize("head", [False, True])
def test_adapters_need_not_be_merged(model, prompts, head):
    """A model with LoRA writes what it writes merged, so one in training can be sampled from."""
    where = dict.fromkeys(("lora_query", "lora_value", "lora_projection", "lora_mlp"), True) | {"lora_head": head}
    config = lora.Config(lora_r=4, lora_alpha=8, **where, **asdict(model.config))
    apart = lora.GPT(config).eval()
    apart.load_state_dict(model.state_dict(), strict=False)
    torch.manual_seed(1)
    for name, parameter in apart.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    found = generate(apart, prompts, max_new_tokens=20, stop_ids=[])
    lora.merge_lora_weights(apart)
    assert [a.ids for a in found] == [one_by_one(apart, prompt, min(20, 96 - len(prompt)), ()) for prompt in prompts]
    assert [a.ids for a in found] != [a.ids for a in generate(model, prompts, max_new_tokens=20, stop_ids=[])]


def test_samples_do_not_depend_on_neighbours(model, prompts):
    settings = {"max_new_tokens": 30, "stop_ids": [5], "temperature": 1.0, "top_k": 20, "top_p": 0.9}
    alone = generate(model, prompts, batch_size=1, seed=3, **settings)
    assert generate(model, prompts, batch_size=11, seed=3, **settings) == alone
    assert generate(model, prompts, batch_size=11, seed=4, **settings) != alone
    own = generate(model, prompts, seed=list(range(16)), **settings)
    assert generate(model, prompts[7:9], seed=[7, 8], **settings) == own[7:9]
    same = generate(model, [prompts[0]] * 4, **settings)
    assert len({tuple(a.ids) for a in same}) > 1


def test_model_comes_back_as_it_was(model, prompts):
    model.train()
    model.set_kv_cache(1)
    layer, mask = model.transformer.h[0].attn, model.mask_cache
    cache, own = layer.kv_cache, set(vars(layer))
    seen = []
    generate(
        model, prompts[:3], max_new_tokens=2, stop_ids=[], on_sample=lambda i, sample: seen.append((i, len(sample.ids)))
    )
    assert model.training and layer.kv_cache is cache and set(vars(layer)) == own and model.mask_cache is mask
    assert not any("forward" in vars(module) for module in model.modules())
    assert sorted(seen) == [(0, 2), (1, 2), (2, 2)]
    model.clear_kv_cache()
    model.eval()


def test_block_limits(model):
    assert len(generate(model, [[1] * 90], stop_ids=[])[0].ids) == 6
    assert generate(model, [], stop_ids=[]) == []
    for bad in ([[1] * 96], [[]]):
        with pytest.raises(UserError, match="prompt 0"):
            generate(model, bad, stop_ids=[])
    with pytest.raises(UserError, match="top_p"):
        generate(model, [[1]], stop_ids=[], top_p=0.0)


def test_pick_follows_the_distribution():
    logits = torch.tensor([0.5, 0.2, 0.2, 0.1]).log().expand(4000, 4)
    uniform = (torch.arange(4000) + 0.5) / 4000
    shares = torch.bincount(pick(logits, uniform, 1.0, None, 1.0), minlength=4) / 4000
    assert torch.allclose(shares, torch.tensor([0.5, 0.2, 0.2, 0.1]), atol=1e-3)
    assert set(pick(logits, uniform, 1.0, 1, 1.0).tolist()) == {0}
    assert set(pick(logits, uniform, 1.0, None, 0.4).tolist()) == {0}
    assert set(pick(logits, uniform, 1.0, None, 0.89).tolist()) == {0, 1, 2}
    last = torch.tensor([[0.0, float("-inf")]])
    assert pick(last, torch.tensor([1 - 2**-24]), 1.0, None, 1.0).tolist() == [0]


def test_stream_equals_batch(checkpoint):
    loaded = load(checkpoint)
    ids = loaded.encode("小兔子")
    batch = generate(loaded.model, [ids], stop_ids=loaded.stop_ids, temperature=1.0, top_k=50, seed=5)[0]
    text = "".join(decode(loaded.tokenizer.processor, batch.ids))
    assert "".join(stream(loaded, ids, temperature=1.0, seed=5)) == text
    with pytest.raises(UserError, match="shorten"):
        stream(loaded, [1] * 96)


def test_no_broken_character_is_shown():
    tokenizer = tiny_tokenizer()
    text = "小兔子😀龘在👩‍👧草地上。"
    ids = tokenizer.encode(text).ids
    pieces = list(decode(tokenizer, ids))
    assert "".join(pieces) == text and not any("\ufffd" in piece for piece in pieces) and "😀" in pieces
    halves = [*ids[:5], *tokenizer.encode("草地").ids]  # the emoji is cut in the middle
    assert "".join(decode(tokenizer, halves)) == "小兔子草地"
    assert "".join(decode(tokenizer, ids[:5])) == "小兔子"
    assert "".join(decode(tokenizer, [tokenizer.token_to_id("<0xF0>")] * 20 + ids)).endswith("草地上。")


@pytest.mark.parametrize("nested", [False, True])
def test_load_takes_both_forms(tmp_path, nested):
    model = write_checkpoint(tmp_path, nested=nested)
    loaded = load(tmp_path)
    ids = torch.randint(0, 200, (2, 30))
    assert torch.allclose(loaded.model(ids), model(ids), atol=1e-5)
    assert not loaded.model.training and not loaded.instruct and loaded.stop_ids == (0, 2)
    assert loaded.decode(loaded.encode("小兔子😀")) == "小兔子😀"


def test_load_refuses_in_one_line(tmp_path):
    def refused(break_it) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        write_checkpoint(folder)
        break_it(folder)
        with pytest.raises(UserError) as error:
            load(folder)
        assert "\n" not in str(error.value) and str(folder) in str(error.value)
        return str(error.value)

    for name in ("lit_model.pth", "model_config.yaml", "tokenizer.json"):
        assert name in refused(lambda folder, name=name: (folder / name).unlink())
    assert "whole" in refused(lambda f: (f / "lit_model.pth").write_bytes((f / "lit_model.pth").read_bytes()[:999]))
    assert "fit" in refused(lambda f: torch.save(tiny_model(40).state_dict(), f / "lit_model.pth"))
    assert "merge_lora" in refused(lambda f: (f / "lit_model.pth").rename(f / "lit_model.pth.lora"))
    assert "weights" in refused(lambda f: torch.save({"model": {}, "data": random.Random()}, f / "lit_model.pth"))

    def smaller_model(folder):
        text = (folder / "model_config.yaml").read_text()
        size = tiny_tokenizer().get_vocab_size()
        (folder / "model_config.yaml").write_text(text.replace(f"padded_vocab_size: {size}", "padded_vocab_size: 40"))

    assert "tokenizer" in refused(smaller_model)
    assert "tokenizer_config" in refused(lambda f: (f / "tokenizer_config.json").write_text("{}"))


def test_chat_answers_once(checkpoint, capsys):
    chat(checkpoint, prompt="词汇：草地，铲子；特征：对话", seed=1, max_new_tokens=8)
    first = capsys.readouterr().out
    assert "草地" in first.splitlines()[-1] and "对话" in first.splitlines()[-1]
    chat(checkpoint, prompt="词汇：草地，铲子；特征：对话", seed=1, max_new_tokens=8)
    assert capsys.readouterr().out == first
    chat(checkpoint, prompt="小兔子", plain=True, seed=1, max_new_tokens=8)
    assert capsys.readouterr().out.startswith("小兔子")


def test_chat_goes_on_after_a_refusal_and_an_interrupt(checkpoint, capsys, monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO("草地" * 60 + "\n小兔子\nexit\n"))

    def interrupted(*args, **kwargs):
        yield "小"
        raise KeyboardInterrupt

    chat(checkpoint, max_new_tokens=4, seed=1)
    assert "shorten" in capsys.readouterr().out
    monkeypatch.setattr("litgpt_zh.generate.stream.stream", interrupted)
    monkeypatch.setattr(sys, "stdin", io.StringIO("小兔子\n小兔子\n"))
    chat(checkpoint)
    assert capsys.readouterr().out.count("小（已停止）") == 2


def test_marks_and_language(monkeypatch):
    assert marks({"word:草地": True, "feature:对话": False, "summary": None}) == "✓ 草地  ✗ 对话  – 摘要"
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert language() == "zh" and language("en") == "en"
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    assert language() == "en"
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert language() == "zh"
    with pytest.raises(UserError, match="auto"):
        language("fr")
