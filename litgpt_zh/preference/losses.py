"""Preference losses as pure functions of log-probabilities, in nats; every one gives (B,) values, one a pair.

``s`` is the sum of the log-probabilities of a completion's tokens, ``n`` their number, ``r = s - s_ref``; ``w`` is the
chosen side, ``l`` the rejected one, and ``D = r_w - r_l``. Nothing is averaged here: the mean over a global batch belongs
to the loop, so that it does not depend on how the batch is cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """Log-probabilities of B pairs, each field a float32 tensor (B,), nats or tokens.

    ``chosen``, ``rejected``: s under the policy, with its graph. ``ref_*``: s under the reference, without one; None for
    losses that need none. ``*_tokens``: n, completion tokens with the one that ends it.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor
    ref_chosen: Tensor | None = None
    ref_rejected: Tensor | None = None

    @property
    def ratios(self) -> tuple[Tensor, Tensor]:
        """(r_w, r_l)."""
        assert self.ref_chosen is not None and self.ref_rejected is not None, "this loss needs a reference"
        return self.chosen - self.ref_chosen, self.rejected - self.ref_rejected

    @property
    def difference(self) -> Tensor:
        """D."""
        chosen, rejected = self.ratios
        return chosen - rejected

    @property
    def means(self) -> tuple[Tensor, Tensor]:
        """(s_w / n_w, s_l / n_l), nats a token."""
        return self.chosen / self.chosen_tokens, self.rejected / self.rejected_tokens

    @property
    def nll(self) -> Tensor:
        """-s_w / n_w: cross entropy of the chosen side, nats a token."""
        return -self.means[0]


def dpo(pairs: Pairs, beta: float) -> Tensor:
    """-log sigmoid(beta D). arXiv 2305.18290, eq. 7. TRL: ``loss_type="sigmoid"``."""
    return -F.logsigmoid(beta * pairs.difference)


def cdpo(pairs: Pairs, beta: float, label_smoothing: float) -> Tensor:
    """-(1-e) log sigmoid(beta D) - e log sigmoid(-beta D): a share e of the labels is taken to be wrong.

    E. Mitchell, "A note on DPO with noisy preferences" (2023). TRL 1.16 lacks it: its sigmoid ignores label_smoothing.
    """
    x = beta * pairs.difference
    return -(1 - label_smoothing) * F.logsigmoid(x) - label_smoothing * F.logsigmoid(-x)


def robust(pairs: Pairs, beta: float, label_smoothing: float) -> Tensor:
    """[-(1-e) log sigmoid(beta D) + e log sigmoid(-beta D)] / (1-2e): unbiased under label noise e < 1/2.

    arXiv 2403.00409. TRL: ``loss_type="robust"``.
    """
    x = beta * pairs.difference
    return (-(1 - label_smoothing) * F.logsigmoid(x) + label_smoothing * F.logsigmoid(-x)) / (1 - 2 * label_smoothing)


def hinge(pairs: Pairs, beta: float) -> Tensor:
    """max(0, 1 - beta D). arXiv 2305.10425 (SLiC), with a reference as in arXiv 2309.06657. TRL: ``loss_type="hinge"``."""
    return F.relu(1 - beta * pairs.difference)


def ipo(pairs: Pairs, beta: float) -> Tensor:
    """(r_w / n_w - r_l / n_l - 1 / (2 beta))^2, in squared nats a token. arXiv 2310.12036, eq. 17.

    Means over tokens, as TRL 1.16 does (``loss_type="ipo"``); the paper and Mitchell's code take sums, for which the same
    beta means a margin n times smaller a token.
    """
    chosen, rejected = pairs.ratios
    return (chosen / pairs.chosen_tokens - rejected / pairs.rejected_tokens - 1 / (2 * beta)) ** 2


def simpo(pairs: Pairs, beta: float, gamma: float) -> Tensor:
    """-log sigmoid(beta (s_w / n_w - s_l / n_l) - gamma). arXiv 2405.14734, eq. 6; no reference.

    TRL: ``CPOConfig(loss_type="simpo", simpo_gamma=gamma, cpo_alpha=0)``.
    """
    chosen, rejected = pairs.means
    return -F.logsigmoid(beta * (chosen - rejected) - gamma)


def orpo(pairs: Pairs, beta: float) -> Tensor:
    """-m_w - beta log sigmoid(log odds(m_w) - log odds(m_l)), m = s / n, log odds(m) = m - log(1 - exp m).

    arXiv 2403.07691, eq. 7 (beta is its lambda); no reference. TRL's ORPO differs in its NLL term: a mean over the
    tokens of the batch, those of the prompt included; ours is a mean over each pair's chosen completion.
    """
    chosen, rejected = pairs.means
    ratio = (chosen - log1mexp(chosen)) - (rejected - log1mexp(rejected))
    return pairs.nll - beta * F.logsigmoid(ratio)


def rpo(pairs: Pairs, beta: float, nll_weight: float) -> Tensor:
    """-log sigmoid(beta D) + nll_weight * (-s_w / n_w). arXiv 2404.19733.

    The second term keeps the chosen side likely (arXiv 2402.13228). TRL: ``loss_type=["sigmoid", "sft"]``, whose second
    term is a mean over the batch's chosen tokens; ours is a mean over each pair, then over pairs.
    """
    return dpo(pairs, beta) + nll_weight * pairs.nll


def kto(
    policy: Tensor,
    reference: Tensor,
    desirable: Tensor,
    kl: Tensor,
    beta: float,
    weights: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """l_D (1 - sigmoid(beta (r - z))) for wanted answers, l_U (1 - sigmoid(beta (z - r))) for unwanted ones.

    arXiv 2402.01306, eq. 7. Not of pairs: every answer stands alone with its label.

    Args:
        policy: s, (B,).
        reference: s_ref, (B,).
        desirable: labels, (B,) bool.
        kl: z, a scalar from ``kto_kl``; no gradient goes through it.
        beta: how far the policy may move.
        weights: (l_D, l_U); n_D l_D / (n_U l_U) should lie in 1 .. 4/3.

    Returns:
        (B,).
    """
    ratio = policy - reference
    z = kl.detach()
    wanted = weights[0] * (1 - torch.sigmoid(beta * (ratio - z)))
    return torch.where(desirable, wanted, weights[1] * (1 - torch.sigmoid(beta * (z - ratio))))


def kto_kl(policy: Tensor, reference: Tensor) -> Tensor:
    """z = max(0, mean(s - s_ref)) over mismatched completions (those of a batch, rotated by one prompt), a scalar."""
    return (policy - reference).mean().detach().clamp(min=0)


def grpo(policy: Tensor, reference: Tensor, tokens: Tensor, advantages: Tensor, epsilon: float) -> Tensor:
    """-min(q A, clip(q, 1-e, 1+e) A), q = exp((s - s_ref) / n): every answer stands alone with its advantage A.

    GRPO's objective (arXiv 2402.03300, eq. 3) with the ratio of whole answers of GSPO (arXiv 2507.18071, eq. 5 and 7), which
    needs sums only; the reference is the model that wrote the answers, and there is no further KL term. TRL:
    ``GRPOConfig(importance_sampling_level="sequence", beta=0, loss_type="grpo")``.

    Args:
        policy: s, (B,).
        reference: s_ref, (B,).
        tokens: n, (B,).
        advantages: A, (B,), see ``choose.advantages``.
        epsilon: how far q may move from 1 before an answer teaches no more.

    Returns:
        (B,).
    """
    ratio = torch.exp((policy - reference) / tokens)
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - epsilon, 1 + epsilon) * advantages)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, exact near 0 and far from it (Maechler 2012)."""
    near = x > -math.log(2)
    a = torch.log(-torch.expm1(torch.where(near, x, -1.0)))
    b = torch.log1p(-torch.exp(torch.where(near, -1.0, x)))
    return torch.where(near, a, b)


@dataclass(frozen=True)
class Loss:
    """A row of ``LOSSES``."""

    function: Callable[..., Tensor]
    settings: dict[str, float]
    """What it takes besides the log-probabilities, with values to start from."""
    reference: bool
    lengths: bool
    labels: bool = False
    """Single answers with a label, instead of pairs."""
    graded: bool = False
    """Single answers with an advantage."""


LOSSES = {
    "dpo": Loss(dpo, {"beta": 0.3}, reference=True, lengths=False),
    "cdpo": Loss(cdpo, {"beta": 0.3, "label_smoothing": 0.1}, reference=True, lengths=False),
    "robust": Loss(robust, {"beta": 0.3, "label_smoothing": 0.1}, reference=True, lengths=False),
    "hinge": Loss(hinge, {"beta": 0.3}, reference=True, lengths=False),
    "ipo": Loss(ipo, {"beta": 0.3}, reference=True, lengths=True),
    "simpo": Loss(simpo, {"beta": 2.5, "gamma": 1.25}, reference=False, lengths=True),
    "orpo": Loss(orpo, {"beta": 0.1}, reference=False, lengths=True),
    "rpo": Loss(rpo, {"beta": 0.3, "nll_weight": 1.0}, reference=True, lengths=True),
    "kto": Loss(
        kto,
        {"beta": 0.3, "desirable_weight": 1.0, "undesirable_weight": 1.0},
        reference=True,
        lengths=False,
        labels=True,
    ),
    "grpo": Loss(grpo, {"epsilon": 0.2}, reference=True, lengths=True, graded=True),
}
"""Every loss by its name in a recipe."""


def metrics(pairs: Pairs, beta: float) -> dict[str, Tensor]:
    """What people watch, under TRL's names: (B,) each, to be averaged over pairs.

    ``rewards/*`` are beta r, without a reference beta s / n, as in TRL's SimPO and ORPO; ``logps/*`` are s (TRL's SimPO and
    ORPO log s / n there); ``nll_loss`` is -s_w / n_w. A tie counts as a miss in ``rewards/accuracies``, as in TRL.
    """
    chosen, rejected = (beta * x.detach() for x in (pairs.means if pairs.ref_chosen is None else pairs.ratios))
    means = [mean.detach() for mean in pairs.means]
    return {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/margins": chosen - rejected,
        "rewards/accuracies": (chosen > rejected).float(),
        "logps/chosen": pairs.chosen.detach(),
        "logps/rejected": pairs.rejected.detach(),
        "logps/chosen_per_token": means[0],
        "logps/rejected_per_token": means[1],
        "nll_loss": -means[0],
    }
