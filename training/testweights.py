"""Test weights and pictures that C and Python make alike, so that goldens need no stored weights.

Element ``i`` of tensor ``name``: FNV-1a 64 over the bytes of ``name#i`` (i in decimal), one SplitMix64 step, the top
24 bits as ``u`` in [-1, 1). Convolution and linear weights are ``u * sqrt(3 / fan_in)`` (variance 1 / fan_in); batch norm
weight ``1 + 0.4 u`` (times 0.3 in a block's ``bn3``), variance ``1 + 0.5 u``, everything else (biases, means) ``0.2 u``.
``u`` is exact in f32; the products are rounded once, from float64 to f32.
"""
from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

_OFFSET = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_DIGIT = np.arange(48, 58, dtype=np.uint64)


def fnv1a(text: bytes, state: np.uint64 = _OFFSET) -> np.uint64:
    """FNV-1a 64 of ``text``, going on from ``state``."""
    with np.errstate(over="ignore"):
        for byte in text:
            state = (state ^ np.uint64(byte)) * _PRIME
    return state


def _hashes(prefix: np.uint64, count: int) -> np.ndarray:
    """FNV-1a of prefix + str(i) for i < count: all numbers of d digits follow from those of d - 1 in one step."""
    ones = (prefix ^ _DIGIT) * _PRIME
    out = [ones]
    level, total = ones[1:], 10  # no number but 0 itself starts with 0
    while total < count:
        level = ((level[:, None] ^ _DIGIT[None, :]) * _PRIME).reshape(-1)
        out.append(level)
        total += len(level)
    return np.concatenate(out)[:count]


def uniform(name: str, count: int) -> np.ndarray:
    """``u`` of the first ``count`` elements of tensor ``name``, as float64 (exact in f32)."""
    with np.errstate(over="ignore"):
        z = _hashes(fnv1a(name.encode() + b"#"), count) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def tensor(name: str, shape: tuple[int, ...], norm: bool) -> torch.Tensor:
    """The test tensor of a name. ``norm``: it belongs to a batch norm."""
    u = uniform(name, math.prod(shape))
    leaf = name.rsplit(".", 1)[1]
    if norm and leaf == "weight":
        values = (1 + 0.4 * u) * (0.3 if ".bn3." in name else 1.0)
    elif norm and leaf == "running_var":
        values = 1 + 0.5 * u
    elif leaf == "weight":
        values = u * math.sqrt(3 / math.prod(shape[1:]))
    else:
        values = 0.2 * u
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def fill(model: nn.Module) -> None:
    """Give every parameter and statistic of a model its test value."""
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                value.copy_(tensor(name, tuple(value.shape), name.rsplit(".", 1)[0] in norms))


def picture(height: int, width: int) -> torch.Tensor:
    """The golden picture (1, 3, H, W): tensor ``input``, values 2u in NCHW order."""
    u = uniform("input", 3 * height * width)
    return torch.from_numpy((2 * u).astype(np.float32).reshape(1, 3, height, width))
