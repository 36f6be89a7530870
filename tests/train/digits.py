"""Real data and a model in which everything that could depend on the split does."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

IGNORED = -100
BATCH, MICRO = 128, 16


def digits(dtype: torch.dtype, samples: int = 1797) -> TensorDataset:
    """scikit-learn's handwritten digits; the sevens, eights and nines have no label (masked)."""
    pictures, labels = load_digits(return_X_y=True)
    y = torch.tensor(labels)
    return TensorDataset(torch.tensor(pictures / 16.0, dtype=dtype)[:samples], torch.where(y > 6, IGNORED, y)[:samples])


def on(device: torch.device, data: TensorDataset) -> TensorDataset:
    return TensorDataset(*(tensor.to(device) for tensor in data.tensors))


def network(dtype: torch.dtype) -> nn.Sequential:
    """LayerNorm, BatchNorm and Dropout; the same weights on every call."""
    torch.manual_seed(7)
    layers = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(288, 64),
        nn.LayerNorm(64),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(64, 64),
        nn.BatchNorm1d(64, momentum=0.2),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(64, 10),
    )
    return layers.to(dtype)


def separate(dtype: torch.dtype) -> nn.Sequential:
    """A network in which samples do not meet; the same weights on every call."""
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 10)).to(dtype)


def loss_of(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Masked: the mean over the labels that are there."""
    return nn.functional.cross_entropy(outputs, labels, ignore_index=IGNORED)


def labels_in(micro_batch: tuple[torch.Tensor, torch.Tensor]) -> int:
    return int((micro_batch[1] != IGNORED).sum())


def optimizer_of(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)


def rate_of(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    """A schedule by epochs, which depends on all that were before."""
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().double().cpu().reshape(-1) for parameter in model.parameters()])


def statistics_of(model: nn.Module) -> torch.Tensor:
    buffers = [buffer.detach().double().cpu().reshape(-1) for buffer in model.buffers()]
    return torch.cat([torch.empty(0, dtype=torch.float64), *buffers])


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())
