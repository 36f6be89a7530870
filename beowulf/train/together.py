"""Whether micro-batches may go through a model as one."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd


def refuse_meeting(model: nn.Module) -> None:
    """ValueError, naming the layer, where samples of a pass meet (BatchNorm) or share random numbers (Dropout)."""
    for name, layer in model.named_modules():
        if isinstance(layer, _NormBase) or _drops(layer):
            raise ValueError(
                f"{name or 'the model'} is a {type(layer).__name__}: with it, micro-batches that go through "
                "the model together give another result than one by one: leave out bw.loader(together=…)"
            )


def _drops(layer: nn.Module) -> bool:
    if isinstance(layer, _DropoutNd):
        return layer.p > 0
    return isinstance(layer, (nn.MultiheadAttention, nn.RNNBase)) and layer.dropout > 0
