"""Whether micro-batches may go through a model as one, or in parts."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd


def meeting(model: nn.Module) -> str:
    """Which layer lets the samples of a pass meet (BatchNorm) or share random numbers (Dropout); "" where none does."""
    for name, layer in model.named_modules():
        if isinstance(layer, _NormBase) or _drops(layer):
            return f"{name or 'the model'} is a {type(layer).__name__}"
    return ""


def refuse_meeting(model: nn.Module) -> None:
    """ValueError, naming the layer, where micro-batches that go through ``model`` as one give another result."""
    found = meeting(model)
    if found:
        raise ValueError(
            f"{found}: with it, micro-batches that go through the model together give another result than one by "
            "one: leave out bw.loader(together=…)"
        )


def _drops(layer: nn.Module) -> bool:
    if isinstance(layer, _DropoutNd):
        return layer.p > 0
    return isinstance(layer, (nn.MultiheadAttention, nn.RNNBase)) and layer.dropout > 0
