"""FedAdagrad, FedAdam and FedYogi: adaptive server optimizers.

Reddi et al., "Adaptive Federated Optimization", ICLR 2021 (arXiv 2003.00295), Algorithm 2. They
differ from torch.optim's Adagrad and Adam: moments are not bias-corrected, the accumulator begins
at ``tau^2``, and all of them may have momentum. The rules are taken from secondary sources.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class FedOpt(torch.optim.Optimizer):
    """``m <- beta1 m + (1 - beta1) g`` and ``w <- w - lr m / (sqrt(v) + tau)``.

    g is the (pseudo-)gradient. The subclass defines how v follows from ``g^2``.

    Args:
        params: the parameters.
        lr: eta, the learning rate.
        betas: beta1 and beta2.
        tau: degree of adaptivity; v begins at ``tau^2``.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.99),
        tau: float = 1e-3,
    ) -> None:
        if lr < 0 or tau <= 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"lr={lr}, betas={betas}, tau={tau}")
        super().__init__(params, {"lr": lr, "betas": betas, "tau": tau})

    @staticmethod
    def accumulate(v: Tensor, square: Tensor, beta2: float) -> Tensor:
        """The next v."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move the parameters along their gradients."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient, state = parameter.grad, self.state[parameter]
                if not state:
                    state["m"] = torch.zeros_like(parameter)
                    state["v"] = torch.full_like(parameter, group["tau"] ** 2)
                state["m"] = beta1 * state["m"] + (1 - beta1) * gradient
                state["v"] = self.accumulate(state["v"], gradient**2, beta2)
                step = state["m"] / (state["v"].sqrt() + group["tau"])
                parameter.sub_(step, alpha=group["lr"])


class FedAdagrad(FedOpt):
    """``v <- v + g^2``; without momentum unless asked for."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        betas: tuple[float, float] = (0.0, 0.99),
        tau: float = 1e-3,
    ) -> None:
        super().__init__(params, lr, betas, tau)

    @staticmethod
    def accumulate(v: Tensor, square: Tensor, beta2: float) -> Tensor:
        """The next v."""
        return v + square


class FedAdam(FedOpt):
    """``v <- beta2 v + (1 - beta2) g^2``."""

    @staticmethod
    def accumulate(v: Tensor, square: Tensor, beta2: float) -> Tensor:
        """The next v."""
        return beta2 * v + (1 - beta2) * square


class FedYogi(FedOpt):
    """``v <- v - (1 - beta2) g^2 sign(v - g^2)``."""

    @staticmethod
    def accumulate(v: Tensor, square: Tensor, beta2: float) -> Tensor:
        """The next v."""
        return v - (1 - beta2) * square * torch.sign(v - square)
