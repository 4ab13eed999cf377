"""What a micro batch of pretraining must not do: wait for the device, or leave the compiled graph. Counted, not timed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from litgpt.model import GPT, Block
from torch._dynamo.utils import clear_compilation_metrics, counters, get_compilation_metrics
from torch.utils._python_dispatch import TorchDispatchMode
from trainings import BLOCK, pretrain, tiny_config

from litgpt_zh.compiling import why_not
from litgpt_zh.pretrain.data import Pretraining
from litgpt_zh.pretrain.loss import cross_entropy, loss_without_requests
from litgpt_zh.tokens.data import PackedTokens

SYNC = torch.ops.aten._local_scalar_dense.default


class Counting(TorchDispatchMode):
    """Calls of each operator."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Any] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func] += 1
        return func(*args, **(kwargs or {}))


def syncs_of_each_micro_batch(counting: Counting, seen: list[int]) -> list[int]:
    return [after - before for before, after in zip(seen, [*seen[1:], counting.calls[SYNC]], strict=True)]


@pytest.mark.usefixtures("no_compile")
def test_no_micro_batch_waits_for_the_device(home: Path, tmp_path: Path, monkeypatch) -> None:
    """Four micro batches a step; stock waits in each of them (its running mean), ours only where a step is logged."""
    changes = {
        "train": {"micro_batch_size": 2, "log_interval": 100, "save_interval": None, "max_tokens": 2 * 8 * BLOCK}
    }
    found = {}
    for name in ("ours", "stock"):
        counting, seen = Counting(), list[int]()
        import litgpt.pretrain as module

        class Noting(module.CycleIterator):
            def __next__(self, counting=counting, seen=seen) -> Any:
                seen.append(counting.calls[SYNC])
                return super().__next__()

        monkeypatch.setattr(module, "CycleIterator", Noting)
        data = Pretraining(home / "tokens", sample_prompt="") if name == "ours" else PackedTokens(home / "tokens")
        with counting:
            pretrain(home, tmp_path / name, monkeypatch, data=data, resume=False, **changes)
        monkeypatch.undo()
        counts = syncs_of_each_micro_batch(counting, seen)
        found[name] = counts[1:3] + counts[4:7]  # not the steps, nor the first: a DataLoader draws its seed there
    assert found["ours"] == [0] * 5
    assert min(found["stock"]) >= 1


def test_our_loss_is_one_graph_and_few_operators() -> None:
    logits, targets = torch.randn(2, 64, 50), torch.randint(0, 50, (2, 64))
    for loss in (cross_entropy, loss_without_requests(2, 3)):
        whole = torch.compile(loss, fullgraph=True, backend="eager")  # a graph break would raise
        assert torch.equal(whole(logits, targets), loss(logits, targets))
    from litgpt.utils import chunked_cross_entropy

    calls = []
    for loss in (cross_entropy, chunked_cross_entropy):
        logits = torch.randn(16, 512, 50, requires_grad=True)
        with Counting() as counting:
            loss(logits, torch.randint(0, 50, (16, 512))).backward()
        calls.append(sum(counting.calls.values()))
    assert calls[0] < 30 < 200 < calls[1]


def test_the_model_is_one_graph() -> None:
    """As litgpt compiles it where we leave that to litgpt, on a GPU."""
    model = GPT(tiny_config())
    model.max_seq_length = BLOCK
    with torch.compiler.set_stance("default"):  # another test of this file turns compiling off
        explained = torch._dynamo.explain(model)(torch.randint(0, 480, (2, BLOCK)))
    assert explained.graph_count == 1 and explained.graph_break_count == 0, explained.break_reasons


@pytest.mark.parametrize(("precision", "graphs"), [("32-true", 1), ("bf16-mixed", 2)])
@pytest.mark.slow
def test_pretraining_on_a_cpu_compiles_one_block_for_all_and_never_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, graphs: int
) -> None:
    """In bfloat16 the loss too. The embedding stays out: compiled, its gradient is added up in the order threads come in."""
    if reason := why_not(torch.device("cpu")):  # compiles a function itself
        pytest.skip(reason)
    torch._dynamo.reset()
    counters.clear()
    clear_compilation_metrics()
    with torch.compiler.set_stance("default"):  # another test of this file turns compiling off
        pretrain(home, tmp_path / "run", monkeypatch, precision=precision)
    assert len(counters["graph_break"]) == 0
    assert counters["stats"]["unique_graphs"] == graphs
    compiled = {(metrics.co_filename, metrics.co_firstlineno) for metrics in get_compilation_metrics()}
    block, whole = ((f.__code__.co_filename, f.__code__.co_firstlineno) for f in (Block.forward, GPT.forward))
    assert block in compiled and whole not in compiled
