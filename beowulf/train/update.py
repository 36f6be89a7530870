"""From reduced gradients to moved parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn


def update(
    optimizers: Sequence[torch.optim.Optimizer],
    scaler: torch.amp.GradScaler,
    parameters: Sequence[nn.Parameter],
    factor: float,
    clip: float | None,
) -> bool:
    """Unscale, weigh by ``factor``, clip to a norm of ``clip``, step. False: left out for an overflow.

    The gradients are the sum over ranks already, so an overflow of any rank is in everybody's, and all ranks find
    the same: no further message is needed to agree.
    """
    for optimizer in optimizers:
        scaler.unscale_(optimizer)
    if factor != 1.0:
        gradients: Any = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, factor)
    if clip is not None:
        nn.utils.clip_grad_norm_(parameters, clip)
    scale = scaler.get_scale()
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update()
    for parameter in parameters:
        parameter.grad = None
    return bool(scaler.get_scale() >= scale)
