"""A pass through a model that adds nothing to its gradients, for ranks that have to take part in an exchange."""

from __future__ import annotations

import torch
from torch import nn

from beowulf.train.guards import sparse


class Nothing(nn.Module):
    """Gives every parameter of ``module`` a gradient of nought; its layers and hooks do not notice."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._theirs = learning(module)
        self._sparse = sparse(module)

    def forward(self, _: None) -> list[torch.Tensor]:
        return [self._nought(parameter) for parameter in self._theirs]

    def _nought(self, parameter: nn.Parameter) -> torch.Tensor:
        if id(parameter) not in self._sparse:
            return parameter.sum() * 0
        no_rows = torch.empty(0, dtype=torch.long, device=parameter.device)
        return nn.functional.embedding(no_rows, parameter, sparse=True).sum()


def learning(module: nn.Module) -> tuple[nn.Parameter, ...]:
    return tuple(parameter for parameter in module.parameters() if parameter.requires_grad)
