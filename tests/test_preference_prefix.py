"""Prompts that several sequences share go through the model once: the same numbers, the same gradients."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
import trainings
from litgpt import GPT
from litgpt.lora import GPT as LoRAGPT
from litgpt.lora import Config as LoRAConfig
from llama_like import SHAPES

from litgpt_zh.finetune.head import ROWS, token_nll
from litgpt_zh.preference import prefix
from litgpt_zh.preference.logps import completion_logps


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Four prompts, the first with three answers, one of which learns nothing of its middle; a row that learns nothing.

    The fourth row has the first one's prompt, one token longer.
    """
    torch.manual_seed(0)
    one, two = torch.randint(6, 480, (5,)), torch.randint(6, 480, (9,))
    ids, labels = torch.full((7, 24), 1), torch.full((7, 24), -100)
    for row, (prompt, answer) in enumerate(((one, 12), (two, 15), (one, 19), (one, 4), (two, 1), (one, 3))):
        longer = torch.cat([one, torch.tensor([7])]) if row == 3 else prompt
        tokens = torch.cat([longer, torch.randint(6, 480, (answer,))])
        ids[row, : len(tokens)] = tokens
        labels[row, len(longer) : len(tokens)] = tokens[len(longer) :]
    labels[2, 8:12] = -100
    ids[6, :6] = ids[0, :6]
    return ids, labels


def padded(model: GPT, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The sums by litgpt's own forward pass over the padded rows."""
    nll, mask = token_nll(model, ids, labels)
    return -torch.zeros(mask.shape).masked_scatter(mask, nll).sum(1)


def test_each_token_once_by_hand() -> None:
    ids = torch.tensor([[10, 11, 12, 13], [10, 11, 20, 0], [30, 31, 0, 0], [10, 11, 40, 41]])
    labels = torch.tensor([[-100, 12, 13, 14], [-100, 20, 21, -100], [31, -100, -100, -100], [-100, -100, 41, 42]])
    found = prefix.column(ids, labels)
    # tokens 0-3 of row 0; of row 1 only the 20; of row 2 the first; row 3 has a longer prompt, 10 11 40
    assert found.rows.tolist() == [[0, 1, 2, 3], [0, 1, 4, 0], [5, 0, 0, 0], [6, 7, 8, 9]]
    assert found.places[:10].tolist() == [0, 1, 2, 3, 6, 8, 12, 13, 14, 15]
    assert found.positions[:10, 0].tolist() == [0, 1, 2, 3, 2, 0, 0, 1, 2, 3]
    assert len(found.places) == ROWS


@pytest.mark.parametrize(
    "shape",
    [
        {}, {"n_query_groups": 1}, {"n_query_groups": 4}, {"norm_qk": True}, {"attention_logit_softcapping": 5.0},
        {"attention_scores_scalar": 3}, {"rotary_percentage": 0.5}, *SHAPES.values(),
    ],
    ids=str,
)  # fmt: skip
def test_sums_and_gradients_are_those_of_the_padded_rows(shape: dict[str, Any]) -> None:
    torch.manual_seed(1)
    config = replace(trainings.tiny_config(), n_head=4, n_query_groups=2, head_size=8)
    model, (ids, labels) = GPT(replace(config, **shape)), batch()
    seen: list[int] = []
    model.transformer.h[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:2].numel()))
    weights = torch.linspace(-1, 1, len(ids))
    gradients = []
    for sums in (completion_logps(model, ids, labels)[0], padded(model, ids, labels)):
        model.zero_grad()
        (sums * weights).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
        expected = sums.detach()
    torch.testing.assert_close(completion_logps(model, ids, labels)[0].detach(), expected, atol=1e-4, rtol=0)
    assert expected[6] == 0
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-4, rtol=1e-4, msg=name)
    # 5 + 9 of the prompts once, one prompt of 6, and all but the last token of each answer
    assert seen[:2] == [-(-(5 + 9 + 6 + 11 + 14 + 18 + 3 + 2) // ROWS) * ROWS, 7 * 23]
    assert model.mask_cache is None and all(block.attn.kv_cache is None for block in model.transformer.h)


def test_lora_learns_the_same() -> None:
    torch.manual_seed(1)
    config = LoRAConfig(**asdict(trainings.tiny_config()), lora_r=2, lora_query=True, lora_value=True)
    model = LoRAGPT(config)
    (ids, labels), gradients = batch(), []
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    for sums in (completion_logps(model, ids, labels)[0], padded(model, ids, labels)):
        model.zero_grad()
        sums.sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if "lora" in name})
    assert gradients[0]
    for name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-4, rtol=1e-4)


def test_a_window_is_left_to_litgpt() -> None:
    config = replace(trainings.tiny_config(), sliding_window_size=4, sliding_window_indices=[1, 0])
    model, (ids, labels) = GPT(config), batch()
    assert not prefix.serves(model)
    torch.testing.assert_close(completion_logps(model, ids, labels)[0], padded(model, ids, labels), atol=0, rtol=0)


def test_an_error_leaves_the_model_as_it_was() -> None:
    model, (ids, labels) = GPT(trainings.tiny_config()), batch()
    with pytest.raises(IndexError):
        completion_logps(model, ids.masked_fill(ids == ids[0, 0], 480), labels)
    assert model(ids).shape == (7, 24, 480) and not model.lm_head._forward_pre_hooks
    assert model.mask_cache is None and all(block.attn.kv_cache is None for block in model.transformer.h)
