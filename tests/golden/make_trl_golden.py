"""Losses, gradients and metrics of TRL's own trainers on fixed log-probabilities, for tests/test_preference_losses.py.

TRL cannot share an environment with litgpt 0.5.13 (huggingface-hub), so it gets its own:

    python3 -m venv /tmp/trl-venv && /tmp/trl-venv/bin/pip install torch trl==1.16
    /tmp/trl-venv/bin/python tests/golden/make_trl_golden.py

The trainers' loss methods run unchanged; only the model in front of them is a stand-in that returns the given numbers.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import torch
import trl
from trl import DPOTrainer, KTOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

CHOSEN = [-31.0, -52.5, -18.25, -75.0, -40.0]
REJECTED = [-33.5, -48.0, -60.0, -74.5, -44.0]
REF_CHOSEN = [-32.0, -50.0, -21.25, -73.0, -40.0]
REF_REJECTED = [-30.5, -49.5, -49.0, -74.0, -44.0]
CHOSEN_TOKENS = [12, 20, 9, 31, 16]
REJECTED_TOKENS = [14, 17, 30, 28, 16]
EQUAL_TOKENS = [20] * 5
LABELS = [True, False, True, True, False]
MISMATCHED, REF_MISMATCHED = [-90.0, -85.5, -77.0, -101.0, -60.0], [-91.5, -86.0, -80.0, -99.5, -61.0]


class Accelerator:
    device = torch.device("cpu")
    gather = staticmethod(lambda x: x)
    gather_for_metrics = gather


def leaf(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32, requires_grad=True)


def outputs_of(sums: torch.Tensor, tokens: list[int]) -> tuple[SimpleNamespace, torch.Tensor]:
    """What a model would return for completions of ``tokens`` tokens with these summed log-probs, and their mask."""
    mask = torch.zeros(len(tokens), 1 + max(tokens), dtype=torch.int64)
    for row, n in enumerate(tokens):
        mask[row, 1 : n + 1] = 1
    logps = (sums / torch.tensor(tokens))[:, None] * mask[:, 1:]
    zeros = torch.zeros_like(logps)
    return SimpleNamespace(log_probs=logps, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool()), mask


def dpo(loss_type: list[str], tokens: tuple[list[int], list[int]], weights: list[float] | None = None, **own) -> dict:
    trainer = DPOTrainer.__new__(DPOTrainer)
    settings = {
        "beta": 0.3, "label_smoothing": 0.0, "loss_types": loss_type, "loss_weights": weights or [1.0] * len(loss_type),
        "ld_alpha": None, "aux_loss_enabled": False, "precompute_ref_logps": True, "f_divergence_type": "reverse_kl",
        "use_weighting": False, "accelerator": Accelerator(), "model": SimpleNamespace(training=True), "_tp_size": 1,
        "_metrics": {"train": defaultdict(list)}, "_total_train_tokens": 0,
    }  # fmt: skip
    trainer.__dict__.update(settings | own)
    chosen, rejected = leaf(CHOSEN), leaf(REJECTED)
    outputs, mask = outputs_of(torch.cat([chosen, rejected]), [*tokens[0], *tokens[1]])
    inputs = {
        "input_ids": mask, "attention_mask": mask, "completion_mask": mask,
        "ref_chosen_logps": torch.tensor(REF_CHOSEN), "ref_rejected_logps": torch.tensor(REF_REJECTED),
    }  # fmt: skip
    loss = trainer._compute_loss(lambda **_: outputs, inputs, False)
    found = result(loss, chosen, rejected)
    names = (
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "rewards/accuracies",
        "logps/chosen",
        "logps/rejected",
    )
    found["metrics"] = {name: trainer._metrics["train"][name][-1] for name in names}
    return found | {"tokens": [list(side) for side in tokens]}


def simpo() -> dict:
    chosen, rejected = leaf(CHOSEN), leaf(REJECTED)
    trainer = SimpleNamespace(
        loss_type="simpo", beta=2.5, simpo_gamma=1.25, label_smoothing=0.0, alpha=0.0, accelerator=Accelerator()
    )
    means = chosen / torch.tensor(CHOSEN_TOKENS), rejected / torch.tensor(REJECTED_TOKENS)
    losses, *_ = CPOTrainer.cpo_loss(trainer, *means)
    return result(losses.mean(), chosen, rejected) | {"tokens": [CHOSEN_TOKENS, REJECTED_TOKENS]}


def orpo() -> dict:
    """TRL's NLL term runs over prompt and completion; the stand-in gives it the mean over each completion."""
    chosen, rejected = leaf(CHOSEN), leaf(REJECTED)
    means = chosen / torch.tensor(CHOSEN_TOKENS), rejected / torch.tensor(REJECTED_TOKENS)
    trainer = SimpleNamespace(beta=1.0, accelerator=Accelerator(), aux_loss_enabled=False)
    trainer.odds_ratio_loss = lambda *call: ORPOTrainer.odds_ratio_loss(trainer, *call)
    logits = torch.zeros(1)
    trainer.concatenated_forward = lambda *_: (*means, logits, logits, -means[0].mean())
    loss, _ = ORPOTrainer.get_batch_loss_metrics(trainer, None, {})
    return result(loss, chosen, rejected) | {"tokens": [CHOSEN_TOKENS, REJECTED_TOKENS]}


def kto() -> dict:
    policy = leaf(CHOSEN)
    outputs, mask = outputs_of(policy, CHOSEN_TOKENS)
    trainer = KTOTrainer.__new__(KTOTrainer)
    settings = {
        "beta": 0.3, "loss_type": "kto", "calculate_KL": True, "precompute_ref_logps": True, "aux_loss_enabled": False,
        "desirable_weight": 1.0, "undesirable_weight": 1.5, "accelerator": Accelerator(), "_tp_size": 1,
        "model": SimpleNamespace(training=True), "_metrics": {"train": defaultdict(list)}, "_total_train_tokens": 0,
        "_compute_kl_logps": lambda *_: torch.tensor(MISMATCHED),
    }  # fmt: skip
    trainer.__dict__.update(settings)
    inputs = {
        "input_ids": mask, "attention_mask": mask, "completion_mask": mask, "label": torch.tensor(LABELS),
        "ref_logps": torch.tensor(REF_CHOSEN), "ref_KL_logps": torch.tensor(REF_MISMATCHED),
    }  # fmt: skip
    loss = trainer._compute_loss(lambda **_: outputs, inputs, False)
    loss.backward()
    return {"loss": loss.item(), "gradient": policy.grad.tolist(), "kl": trainer._metrics["train"]["kl"][-1]}


def result(loss: torch.Tensor, chosen: torch.Tensor, rejected: torch.Tensor) -> dict:
    loss.backward()
    return {"loss": loss.item(), "chosen_gradient": chosen.grad.tolist(), "rejected_gradient": rejected.grad.tolist()}


def main() -> None:
    lengths = (CHOSEN_TOKENS, REJECTED_TOKENS)
    golden = {
        "versions": {"trl": trl.__version__, "torch": torch.__version__.split("+")[0]},
        "inputs": {
            "chosen": CHOSEN, "rejected": REJECTED, "ref_chosen": REF_CHOSEN, "ref_rejected": REF_REJECTED,
            "labels": LABELS, "mismatched": MISMATCHED, "ref_mismatched": REF_MISMATCHED,
        },
        "dpo": dpo(["sigmoid"], lengths) | {"settings": {"beta": 0.3}},
        "robust": dpo(["robust"], lengths, label_smoothing=0.1) | {"settings": {"beta": 0.3, "label_smoothing": 0.1}},
        "hinge": dpo(["hinge"], lengths) | {"settings": {"beta": 0.3}},
        "ipo": dpo(["ipo"], lengths) | {"settings": {"beta": 0.3}},
        # equal lengths: there a mean over the batch's tokens and a mean over pairs of means over tokens are one
        "rpo": dpo(["sigmoid", "sft"], (EQUAL_TOKENS, REJECTED_TOKENS), [1.0, 0.5])
        | {"settings": {"beta": 0.3, "nll_weight": 0.5}},
        "simpo": simpo() | {"settings": {"beta": 2.5, "gamma": 1.25}},
        "orpo": orpo() | {"settings": {"beta": 1.0}},
        "kto": kto() | {"settings": {"beta": 0.3, "weights": [1.0, 1.5]}},
    }  # fmt: skip
    path = Path(__file__).with_name("trl_losses.json")
    path.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"{path}: TRL {trl.__version__}")


if __name__ == "__main__":
    main()
