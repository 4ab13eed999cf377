"""Muon and AdamW in one optimizer: the right parameters, the right maths, an exact resume."""

from __future__ import annotations

import copy

import pytest
import torch
from litgpt import GPT, Config

from litgpt_zh.pretrain.optimizer import MuonAdamW, orthogonalised, roles

SHAPE: dict = dict(
    n_layer=2, n_embd=32, n_head=2, n_query_groups=2, intermediate_size=96, vocab_size=64, padded_vocab_size=64,
    block_size=16, rotary_percentage=1.0, parallel_residual=False, bias=False, norm_class_name="RMSNorm",
    mlp_class_name="LLaMAMLP",
)  # fmt: skip


def model(tied: bool = True, **changes) -> GPT:
    torch.manual_seed(0)
    gpt = GPT(Config(name="tiny", **(SHAPE | changes)))
    if tied:
        gpt.lm_head.weight = gpt.transformer.wte.weight
    return gpt


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_told_apart_by_their_order(tied: bool) -> None:
    gpt = model(tied)
    for (name, _), role in zip(gpt.named_parameters(), roles(gpt.parameters()), strict=True):
        inside = "transformer.h." in name and "norm" not in name
        assert role == ("qkv" if "qkv" in name else "matrix" if inside else "other"), name


def test_the_factors_of_lora_are_matrices_and_the_embedding_is_not() -> None:
    from litgpt import lora

    adapters = {f"lora_{name}": True for name in ("query", "key", "value", "projection", "mlp")}
    gpt = lora.GPT(lora.Config(name="tiny", lora_r=4, **SHAPE, **adapters))
    found = dict(zip((name for name, _ in gpt.named_parameters()), roles(gpt.parameters()), strict=True))
    factors = {name: role for name, role in found.items() if "lora_" in name}
    assert len(factors) == 2 * 2 * 5 and set(factors.values()) == {"matrix"}
    assert {role for name, role in found.items() if "wte" in name or "lm_head" in name or "norm" in name} == {"other"}


def test_orthogonalised_has_singular_values_near_one() -> None:
    torch.manual_seed(1)
    for shape in ((32, 96), (96, 32), (32, 32)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
        assert values.min() > 0.3 and values.max() < 1.3
        assert values.median() > 0.6


def test_fewer_iterations_of_newton_schulz_are_those_asked_for() -> None:
    """The first update of a matrix is its orthogonalised gradient: Nesterov only scales it."""
    updates = {}
    for iterations in (3, 5):
        gpt = model()
        weight = gpt.transformer.h[0].attn.proj.weight
        before = weight.detach().clone()
        optimizer = MuonAdamW(gpt.parameters(), lr=0.02, weight_decay=0.0, iterations=iterations)
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
        optimizer.step()
        torch.testing.assert_close(
            before - weight, 0.02 * orthogonalised(weight.grad, iterations), atol=1e-6, rtol=1e-4
        )
        updates[iterations] = before - weight.detach()
    assert (updates[3] - updates[5]).abs().max() > 1e-3


def test_embeddings_and_norms_get_adamw_without_decay() -> None:
    """Against torch's own AdamW on the same gradients."""
    ours, reference = model(), model()
    mine = MuonAdamW(ours.parameters(), lr=0.02, adam_ratio=0.2)
    rest = [p for p, role in zip(reference.parameters(), roles(reference.parameters()), strict=True) if role == "other"]
    theirs = torch.optim.AdamW(rest, lr=0.004, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(3):
        for one, two in zip(ours.parameters(), reference.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=torch.Generator().manual_seed(step))
            two.grad = one.grad.clone()
        mine.step()
        theirs.step()
    others = [p for p, role in zip(ours.parameters(), roles(ours.parameters()), strict=True) if role == "other"]
    for one, two in zip(others, rest, strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-5)


def test_q_k_and_v_are_orthogonalised_apart() -> None:
    gpt = model()
    weight = gpt.transformer.h[0].attn.qkv.weight
    before = weight.detach().clone()
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    MuonAdamW(gpt.parameters(), lr=1.0, weight_decay=0.0).step()
    update = before - weight.detach()
    first = weight.grad.lerp(torch.zeros_like(weight).lerp(weight.grad, 0.05), 0.95)
    for part, gradient in zip(update.split(32), first.split(32), strict=True):
        torch.testing.assert_close(part, orthogonalised(gradient), atol=1e-5, rtol=1e-4)


def test_it_learns_and_resumes_exactly() -> None:
    def train(gpt: GPT, optimizer: MuonAdamW, steps: range) -> list[float]:
        losses = []
        for step in steps:
            ids = torch.randint(0, 8, (4, 16), generator=torch.Generator().manual_seed(step % 3))
            loss = torch.nn.functional.cross_entropy(gpt(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses

    gpt = model()
    optimizer = MuonAdamW(gpt.parameters(), lr=0.02)
    first = train(gpt, optimizer, range(20))
    saved = copy.deepcopy((gpt.state_dict(), optimizer.state_dict()))
    whole = train(gpt, optimizer, range(20, 30))
    again = model()
    again.load_state_dict(saved[0])
    resumed = MuonAdamW(again.parameters(), lr=0.5)
    resumed.load_state_dict(saved[1])
    assert train(again, resumed, range(20, 30)) == whole
    assert whole[-1] < first[0] - 1.0


def test_bfloat16_orthogonalises_nearly_the_same() -> None:
    torch.manual_seed(0)
    steps = []
    for bfloat16 in (False, True):
        weight = torch.nn.Parameter(torch.zeros(48, 24))
        norm = torch.nn.Parameter(torch.ones(4))
        weight.grad = torch.randn(48, 24, generator=torch.Generator().manual_seed(1))
        norm.grad = torch.zeros(4)
        MuonAdamW([norm, weight], lr=0.1, bfloat16=bfloat16).step()
        assert weight.dtype == torch.float32
        steps.append(weight.detach())
    assert not torch.equal(*steps)
    torch.testing.assert_close(*steps, atol=0.006, rtol=0)
