"""Preference losses: equal to TRL's in value and gradient, worked by hand, and never cut by how a batch is split."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from litgpt_zh.preference import losses
from litgpt_zh.preference.losses import LOSSES, Pairs

GOLDEN = json.loads((Path(__file__).parent / "golden" / "trl_losses.json").read_text(encoding="utf-8"))


def given(tokens: list[list[int]], **changes: list[float]) -> Pairs:
    values = {name: torch.tensor(changes.get(name, GOLDEN["inputs"][name])) for name in ("ref_chosen", "ref_rejected")}
    leaves = {name: torch.tensor(changes.get(name, GOLDEN["inputs"][name])) for name in ("chosen", "rejected")}
    for leaf in leaves.values():
        leaf.requires_grad_()
    lengths = dict(zip(("chosen_tokens", "rejected_tokens"), map(torch.tensor, tokens), strict=True))
    return Pairs(**leaves, **values, **lengths)


def one(chosen: float, rejected: float, tokens: tuple[int, int] = (1, 1)) -> Pairs:
    """A pair whose reference is 0 everywhere: D = chosen - rejected."""
    zero = torch.zeros(1)
    sides = torch.tensor([chosen]), torch.tensor([rejected])
    return Pairs(*sides, torch.tensor([tokens[0]]), torch.tensor([tokens[1]]), zero, zero)


# TRL -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dpo", "robust", "hinge", "ipo", "rpo", "simpo", "orpo"])
def test_values_and_gradients_are_trls(name: str) -> None:
    golden = GOLDEN[name]
    pairs = given(golden["tokens"])
    loss = LOSSES[name].function(pairs, **golden["settings"]).mean()
    loss.backward()
    assert loss.item() == pytest.approx(golden["loss"], abs=1e-6)
    for side in ("chosen", "rejected"):
        expected = torch.tensor(golden[f"{side}_gradient"])
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(getattr(pairs, side).grad, expected, atol=1e-6, rtol=0)


def test_kto_is_trls() -> None:
    golden, inputs = GOLDEN["kto"], GOLDEN["inputs"]
    policy = torch.tensor(inputs["chosen"], requires_grad=True)
    kl = losses.kto_kl(torch.tensor(inputs["mismatched"]), torch.tensor(inputs["ref_mismatched"]))
    labels = torch.tensor(inputs["labels"])
    loss = losses.kto(policy, torch.tensor(inputs["ref_chosen"]), labels, kl, **golden["settings"]).mean()
    loss.backward()
    assert kl.item() == pytest.approx(golden["kl"], abs=1e-6) and golden["kl"] > 0
    assert loss.item() == pytest.approx(golden["loss"], abs=1e-6)
    torch.testing.assert_close(policy.grad, torch.tensor(golden["gradient"]), atol=1e-6, rtol=0)


def test_metrics_are_trls() -> None:
    golden = GOLDEN["dpo"]
    found = losses.metrics(given(golden["tokens"]), beta=0.3)
    assert {name: found[name].mean().item() for name in golden["metrics"]} == pytest.approx(golden["metrics"], abs=1e-6)
    assert found["rewards/accuracies"].tolist() == [1.0, 0.0, 1.0, 0.0, 0.0]  # the last pair is a tie


def test_rewards_without_a_reference_are_means_as_trl_has_them() -> None:
    means = Pairs(*(torch.tensor([x]) for x in (-6.0, -8.0, 3, 2)))
    found = losses.metrics(means, beta=2.0)
    assert found["rewards/chosen"].item() == -4.0 and found["rewards/margins"].item() == 4.0
    assert found["logps/chosen"].item() == -6.0 and found["nll_loss"].item() == 2.0


# by hand -------------------------------------------------------------------------------------------------------------


def test_dpo_family_by_hand() -> None:
    pairs = one(-2.0, -2.0 - math.log(3.0))  # D = ln 3, so sigmoid(D) = 3/4
    right, wrong = -math.log(0.75), -math.log(0.25)
    assert losses.dpo(pairs, 1.0).item() == pytest.approx(right)
    assert losses.cdpo(pairs, 1.0, 0.2).item() == pytest.approx(0.8 * right + 0.2 * wrong)
    assert losses.robust(pairs, 1.0, 0.2).item() == pytest.approx((0.8 * right - 0.2 * wrong) / 0.6)
    assert losses.hinge(pairs, 0.5).item() == pytest.approx(1 - 0.5 * math.log(3.0))
    assert losses.hinge(pairs, 2.0).item() == 0.0
    assert losses.rpo(pairs, 1.0, 0.5).item() == pytest.approx(right + 0.5 * 2.0)


def test_smoothing_of_zero_is_plain_dpo_and_cdpo_has_its_minimum_where_it_should() -> None:
    pairs = one(-1.0, -3.0)
    for loss in (losses.cdpo, losses.robust):
        assert loss(pairs, 0.5, 0.0).item() == pytest.approx(losses.dpo(pairs, 0.5).item())
    best = torch.tensor([math.log(0.9 / 0.1)], requires_grad=True)  # sigmoid(D) = 1 - e
    zero = torch.zeros(1)
    losses.cdpo(Pairs(best, zero, zero + 1, zero + 1, zero, zero), 1.0, 0.1).backward()
    assert best.grad is not None and best.grad.item() == pytest.approx(0.0, abs=1e-7)


def test_ipo_takes_means_over_tokens() -> None:
    assert losses.ipo(one(-2.0, -12.0, (2, 4)), 0.5).item() == pytest.approx((-1.0 + 3.0 - 1.0) ** 2)


def test_length_normalised_losses_by_hand() -> None:
    pairs = one(-2.0, -12.0, (2, 4))  # means -1 and -3
    assert losses.simpo(pairs, 0.5, 0.25).item() == pytest.approx(math.log(1 + math.exp(-0.75)))
    half, quarter = math.log(0.5), math.log(0.25)
    ratio = math.log(1 / (1 / 3))  # odds of 1/2 over odds of 1/4
    expected = -half + 0.1 * math.log(1 + math.exp(-ratio))
    assert losses.orpo(one(2 * half, 3 * quarter, (2, 3)), 0.1).item() == pytest.approx(expected)


def test_at_the_reference_every_margin_is_zero() -> None:
    s = torch.tensor([-10.0, -20.0])
    pairs = Pairs(s, s - 5, torch.tensor([5, 6]), torch.tensor([7, 8]), s, s - 5)
    assert losses.dpo(pairs, 0.3).tolist() == pytest.approx([math.log(2)] * 2)
    assert losses.hinge(pairs, 0.3).tolist() == [1.0, 1.0]
    assert losses.ipo(pairs, 0.5).tolist() == [1.0, 1.0]


def test_log1mexp_is_exact_near_zero_and_far_away() -> None:
    x = torch.tensor([-1e-6, -0.5, -math.log(2), -5.0, -80.0], requires_grad=True)
    exact = [math.log(-math.expm1(value)) for value in x.tolist()]
    found = losses.log1mexp(x)
    assert found.tolist() == pytest.approx(exact, rel=1e-6, abs=1e-30)
    found.sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all()


def test_extreme_margins_stay_finite() -> None:
    for difference in (-2000.0, 2000.0):
        pairs = one(-1.0, -1.0 - difference)
        for loss in (losses.dpo(pairs, 1.0), losses.cdpo(pairs, 1.0, 0.1), losses.robust(pairs, 1.0, 0.1)):
            assert torch.isfinite(loss).all()


def test_kto_by_hand() -> None:
    policy, reference = torch.tensor([-1.0, -1.0]), torch.tensor([-1.0 - math.log(3), -1.0 - math.log(3)])
    found = losses.kto(policy, reference, torch.tensor([True, False]), torch.tensor(0.0), 1.0, (1.0, 2.0))
    assert found.tolist() == pytest.approx([1 - 0.75, 2 * (1 - 0.25)])
    assert losses.kto_kl(torch.tensor([-3.0, -4.0]), torch.tensor([-2.0, -3.0])).item() == 0.0  # never negative


def test_the_table_says_what_each_loss_needs() -> None:
    import inspect

    for name, loss in LOSSES.items():
        parameters = list(inspect.signature(loss.function).parameters)
        if loss.labels or loss.graded:
            continue
        assert parameters == ["pairs", *loss.settings], name
        s = torch.tensor([-10.0])
        needed = Pairs(s, s - 1, torch.tensor([5]), torch.tensor([5]), *((s, s) if loss.reference else (None, None)))
        other = Pairs(s, s - 1, torch.tensor([10]), torch.tensor([2]), needed.ref_chosen, needed.ref_rejected)
        settings = dict(zip(loss.settings, (0.3, 0.1), strict=False))
        before, after = loss.function(needed, **settings), loss.function(other, **settings)
        assert (before != after).item() == loss.lengths, name
