"""Muon for the matrices inside the blocks, AdamW for everything else; name it as ``optimizer.class_path`` in any recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim.adamw import adamw

_QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrices, roughly: singular values between 0.7 and 1.2.

    Newton-Schulz iteration with the quintic of Keller Jordan's Muon (https://kellerjordan.github.io/posts/muon/).

    Args:
        matrices: (..., n, m).
        steps: iterations.
    """
    a, b, c = _QUINTIC
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    if tall := x.size(-2) > x.size(-1):
        x = x.mT
    shape, x = x.shape, x.reshape(-1, *x.shape[-2:])
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.view(shape)
    return x.mT if tall else x


def roles(parameters: Iterable[torch.Tensor]) -> list[str]:
    """What each parameter of a litgpt GPT is: ``qkv``, ``matrix`` or ``other`` (embeddings, norms).

    Optimizers get no names, and at n_embd 512 the fused qkv and the SwiGLU matrices have one shape: the order of
    registration tells them apart. Between two norms stand either the two matrices of attention (qkv, proj) or those of
    the MLP; what comes before the first norm are embeddings.
    """
    parameters = list(parameters)
    found = ["other"] * len(parameters)
    norms = [n for n, p in enumerate(parameters) if p.dim() < 2]
    for before, after in zip(norms, [*norms[1:], len(parameters)], strict=False):
        between = range(before + 1, after)
        for n in between:
            found[n] = "qkv" if len(between) == 2 and n == before + 1 else "matrix"
    return found


class MuonAdamW(torch.optim.Optimizer):
    """One optimizer over all parameters of a litgpt GPT, with one learning rate that litgpt's loop may overwrite.

    Matrices get Muon: momentum, orthogonalised (q, k and v apart), scaled by sqrt(max(1, rows / columns)), decoupled
    weight decay. Embeddings and norms get AdamW without decay at ``lr * adam_ratio``.

    Args:
        params: ``model.parameters()``, in their order.
        lr: of the matrices; a root-mean-square update of about this size.
        adam_ratio: learning rate of embeddings and norms as a share of ``lr``.
        momentum: of Muon (Nesterov).
        weight_decay: of the matrices.
        betas: of AdamW.
        eps: of AdamW.
        iterations: of Newton-Schulz; fewer are faster, and the singular values of an update lie further from one.
        bfloat16: orthogonalise in bfloat16, as the original does: faster on a GPU or processor that has it.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float = 0.02,
        adam_ratio: float = 0.2,
        momentum: float = 0.95,
        weight_decay: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        iterations: int = 5,
        bfloat16: bool = False,
    ) -> None:
        parameters = list(params)
        by_role: dict[str, list[torch.Tensor]] = {"other": [], "qkv": [], "matrix": []}
        for parameter, role in zip(parameters, roles(parameters), strict=True):
            by_role[role].append(parameter)
        defaults = {"lr": lr, "adam_ratio": adam_ratio, "momentum": momentum, "weight_decay": weight_decay}
        groups = [{"params": members, "role": role} for role, members in by_role.items() if members]
        super().__init__(groups, {**defaults, "betas": tuple(betas), "eps": eps})
        self.iterations, self.bfloat16 = iterations, bfloat16

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update; parameters without a gradient are left alone."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        parts: dict[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor, float]]] = {}
        for group in self.param_groups:
            if group["role"] == "other":
                self._adamw(group)
                continue
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = self._momentum(parameter, parameter.grad, group, self.state[parameter])
                rows = _qkv_rows(parameter) if group["role"] == "qkv" else [parameter.size(0)]
                for target, part in zip(parameter.split(rows), update.split(rows), strict=True):
                    parts.setdefault((part.size(0), part.size(1)), []).append((target, part, group["lr"]))
        for (rows_, columns), members in parts.items():  # matrices of one shape together: few large products
            stacked = torch.stack([part for _, part, _ in members])
            updates = orthogonalised(stacked.bfloat16() if self.bfloat16 else stacked, self.iterations)
            for (target, _, lr), update in zip(members, updates, strict=True):
                target.add_(update.to(target.dtype), alpha=-lr * max(1.0, rows_ / columns) ** 0.5)
        return loss

    @staticmethod
    def _momentum(
        parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> torch.Tensor:
        """The Nesterov direction (before it is orthogonalised), after the weight decay."""
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - group["momentum"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        return gradient.lerp(state["momentum"], group["momentum"])

    def _adamw(self, group: dict[str, Any]) -> None:
        """torch's, in one pass on a CPU."""
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                own = {
                    "step": torch.zeros(()),
                    "mean": torch.zeros_like(parameter),
                    "square": torch.zeros_like(parameter),
                }
                self.state[parameter].update(own)
        states = [self.state[parameter] for parameter in parameters]
        fused = all(parameter.device.type == "cpu" for parameter in parameters)
        adamw(
            parameters,
            [parameter.grad for parameter in parameters],
            [state["mean"] for state in states],
            [state["square"] for state in states],
            [],
            [state["step"] for state in states],
            foreach=not fused,
            fused=fused,
            amsgrad=False,
            maximize=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"] * group["adam_ratio"],
            weight_decay=0.0,
            eps=group["eps"],
        )


def _qkv_rows(parameter: torch.Tensor) -> list[int]:
    """Rows of q, k and v in a fused matrix of litgpt: q has n_embd rows, k and v share the rest."""
    rows, columns = parameter.shape
    rest = (rows - columns) // 2
    return [columns, rest, rows - columns - rest] if rest > 0 else [rows]
