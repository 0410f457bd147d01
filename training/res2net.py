"""Res2Net in PyTorch: the reference that the C engine is compared with, and what the demo trunk is schooled as.

The parameters carry the names of the official checkpoints (``conv1 bn1 layerS.B.{conv1,bn1,convs.i,bns.i,conv3,
bn3,downsample.*} fc``), so a published ``.pth`` loads with ``strict=True``.

Dialect A (official): the first block of *every* stage, also of the stride-1 stage 1, keeps its branches apart and
average-pools its last slice; every other block adds the previous branch's output to the next slice and passes the
last slice through. The others differ in that first block:

* B (mmdetection): no pool where the stride is 1;
* D (Paddle): where the stride is 1 it is like those that follow it; the pool divides by valid cells only;
* E (maskrcnn-benchmark as configured): the stride is in ``conv1``, the 3x3 convolutions and the pool have 1;
* F (detectron2 as configured): likewise, and no pool.

C is DLA's, which timm defines (``trunks.py``). ``SqueezeExcite`` is timm's SE module, right before the sum.
"""
from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

EXPANSION = 4

# name -> (layers, base width, scale, groups, deep stem and average-pool shortcut[, squeeze and excitation])
_VARIANTS = {
    "res2net50_48w_2s": ((3, 4, 6, 3), 48, 2, 1, False),
    "res2net50_26w_4s": ((3, 4, 6, 3), 26, 4, 1, False),
    "res2net50_14w_8s": ((3, 4, 6, 3), 14, 8, 1, False),
    "res2net50_26w_6s": ((3, 4, 6, 3), 26, 6, 1, False),
    "res2net50_26w_8s": ((3, 4, 6, 3), 26, 8, 1, False),
    "res2net101_26w_4s": ((3, 4, 23, 3), 26, 4, 1, False),
    "res2next50": ((3, 4, 6, 3), 4, 4, 8, False),
    "res2net50_v1b_26w_4s": ((3, 4, 6, 3), 26, 4, 1, True),
    "res2net101_v1b_26w_4s": ((3, 4, 23, 3), 26, 4, 1, True),
    "res2net152_v1b_26w_4s": ((3, 8, 36, 3), 26, 4, 1, True),
    "res2net50_26w_4s_se": ((3, 4, 6, 3), 26, 4, 1, False, True),
    "res2next50_4s_se": ((3, 4, 6, 3), 4, 4, 8, False, True),
    # of the paper's CIFAR table: 32 x 32 stem, three stages
    "res2next29_6cx24wx4s": ((3, 3, 3), 24, 4, 6, False),
    "res2next29_8cx25wx4s": ((3, 3, 3), 25, 4, 8, False),
    "res2next29_6cx24wx6s": ((3, 3, 3), 24, 6, 6, False),
    "res2next29_6cx24wx4s_se": ((3, 3, 3), 24, 4, 6, False, True),
    "res2next29_8cx25wx4s_se": ((3, 3, 3), 25, 4, 8, False, True),
    "res2next29_6cx24wx6s_se": ((3, 3, 3), 24, 6, 6, False, True),
}
_ALIASES = {
    "res2net50": "res2net50_26w_4s",
    "res2net50_v1b": "res2net50_v1b_26w_4s",
    "res2net101_v1b": "res2net101_v1b_26w_4s",
    "res2net50d": "res2net50_v1b_26w_4s",
    "res2net101d": "res2net101_v1b_26w_4s",
    "res2net50_se": "res2net50_26w_4s_se",
    "res2next50_se": "res2next50_4s_se",
}

# The demo trunk: half the planes of Res2Net-50; slices of 16, 32, 64, 128 channels fill whole vector registers.
DEMO = dict(layers=(3, 4, 4, 2), base_width=32, scale=4, groups=1, stem="7x7", downsample="avg",
            stem_channels=32, planes=(32, 64, 128, 256))


class Taps(NamedTuple):
    """What the heads read. ``stem``: after the stem's ReLU, before the max pool (stride 2); ``c2..c5``: strides 4..32.

    A trunk of three stages has no ``c5``.
    """

    stem: Tensor
    c2: Tensor
    c3: Tensor
    c4: Tensor
    c5: Tensor | None
    pooled: Tensor
    logits: Tensor


class SqueezeExcite(nn.Module):
    """x times what two layers make of its mean: a number in (0, 1) for each channel."""

    def __init__(self, channels: int):
        super().__init__()
        squeezed = max(8, (channels // 16 + 4) // 8 * 8)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class Bottle2neck(nn.Module):
    """One block. ``first``: the first block of a stage ("stage" type, no sums between the branches)."""

    def __init__(self, inplanes: int, planes: int, stride: int, first: bool, base_width: int, scale: int,
                 groups: int, downsample: nn.Module | None, dialect: str, dilation: int = 1, se: bool = False):
        super().__init__()
        width = int(planes * base_width / 64) * groups
        self.width, self.scale = width, scale
        self.apart = first and not (dialect == "D" and stride == 1)
        early, stride = (stride, 1) if dialect in "EF" else (1, stride)
        self.conv1 = nn.Conv2d(inplanes, width * scale, 1, early, bias=False)
        self.bn1 = nn.BatchNorm2d(width * scale)
        branches = max(1, scale - 1)
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride, dilation, dilation, groups, bias=False) for _ in range(branches))
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(branches))
        # AvgPool2d's defaults count the padding: always a division by 9.
        pooled = first and scale > 1 and not (dialect in "BDF" and stride == 1)
        self.pool = nn.AvgPool2d(3, stride, 1, count_include_pad=dialect != "D") if pooled else nn.Identity()
        self.conv3 = nn.Conv2d(width * scale, planes * EXPANSION, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * EXPANSION)
        self.relu = nn.ReLU(inplace=True)
        if se:
            self.se = SqueezeExcite(planes * EXPANSION)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        slices = torch.split(y, self.width, 1)
        outs: list[Tensor] = []
        for i, (conv, bn) in enumerate(zip(self.convs, self.bns)):
            s = slices[i] if i == 0 or self.apart else outs[-1] + slices[i]
            outs.append(self.relu(bn(conv(s))))
        if self.scale > 1:
            outs.append(self.pool(slices[self.scale - 1]))
        y = self.bn3(self.conv3(torch.cat(outs, 1)))
        if hasattr(self, "se"):
            y = self.se(y)
        return self.relu(y + shortcut)


class Res2Net(nn.Module):
    """The whole trunk with its classifier; options are those of ``backbone`` in ``model.json``."""

    def __init__(self, layers=(3, 4, 6, 3), base_width=26, scale=4, groups=1, stem="7x7", downsample="conv",
                 stem_channels=64, planes=(64, 128, 256, 512), num_classes=1000, dialect="A", output_stride=32,
                 first_dilation="half", se=False):
        super().__init__()
        if stem not in ("7x7", "deep", "3x3") or downsample not in ("conv", "avg") or dialect not in "ABDEF":
            raise ValueError(f"unknown stem {stem!r}, downsample {downsample!r} or dialect {dialect!r}")
        c = stem_channels
        if stem == "deep":
            half = c // 2
            self.conv1 = nn.Sequential(
                nn.Conv2d(3, half, 3, 2, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True),
                nn.Conv2d(half, half, 3, 1, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(inplace=True),
                nn.Conv2d(half, c, 3, 1, 1, bias=False))
        elif stem == "3x3":
            self.conv1 = nn.Conv2d(3, c, 3, 1, 1, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, c, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if stem == "3x3" else nn.MaxPool2d(3, 2, 1)
        self.depth = len(layers)
        inplanes = c
        reached, dilation = 4, 1
        for s, (depth, p) in enumerate(zip(layers, planes)):
            before = dilation
            stride = 2 if s > 0 and reached < output_stride else 1
            if s > 0 and stride == 1:
                dilation *= 2  # instead of the stride
            reached *= stride
            blocks = []
            for b in range(depth):
                step = stride if b == 0 else 1
                blocks.append(Bottle2neck(
                    inplanes, p, step, b == 0, base_width, scale, groups,
                    _shortcut(inplanes, p * EXPANSION, step, downsample, dilation > 1 and dialect == "A")
                    if b == 0 else None, dialect,
                    before if b == 0 and first_dilation == "half" else dilation, se))
                inplanes = p * EXPANSION
            self.add_module(f"layer{s + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inplanes, num_classes)
        self.reset()

    def reset(self) -> None:
        """He initialisation; the last batch norm of a block starts at zero, so that a block starts as its shortcut."""
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, Bottle2neck):
                nn.init.zeros_(m.bn3.weight)

    def stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """(stem, c2, c3, c4, c5) of pictures (N, 3, H, W); without c5 where there are three stages."""
        stem = self.relu(self.bn1(self.conv1(x)))
        out = [stem]
        x = self.maxpool(stem)
        for s in range(1, self.depth + 1):
            x = getattr(self, f"layer{s}")(x)
            out.append(x)
        return tuple(out)

    def taps(self, x: Tensor) -> Taps:
        """All taps; ``pooled`` is (N, C), ``logits`` (N, classes)."""
        stages = self.stages(x)
        pooled = stages[-1].mean((2, 3))
        return Taps(*stages, *[None] * (5 - len(stages)), pooled, self.fc(pooled))

    def forward(self, x: Tensor) -> Tensor:
        return self.taps(x).logits


def _shortcut(cin: int, cout: int, stride: int, kind: str, dilated: bool) -> nn.Sequential:
    """The projection of a stage's first block. ``avg``: pool (valid pixels only, ceil), then 1x1; index 0 is the pool.

    ``dilated``: timm's dilated stages keep a 2x2 pool there, of stride 1, over a picture with zeros at its end.
    """
    if kind == "conv":
        return nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))
    same = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, 1)) if dilated else nn.Identity()
    return nn.Sequential(
        nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else same,
        nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout))


def names() -> list[str]:
    """The published variants, one name each."""
    return list(_VARIANTS)


def options(name: str) -> dict:
    """Constructor options of a published variant (official or timm name), or of ``demo``."""
    if name == "demo":
        return dict(DEMO)
    name = _ALIASES.get(name, name)
    if name not in _VARIANTS:
        raise ValueError(f"unknown variant {name!r}; known: {', '.join([*_VARIANTS, *_ALIASES, 'demo'])}")
    layers, base_width, scale, groups, v1b, *se = _VARIANTS[name]
    small = len(layers) == 3
    found = dict(layers=layers, base_width=base_width, scale=scale, groups=groups,
                 stem="3x3" if small else "deep" if v1b else "7x7", downsample="avg" if v1b else "conv",
                 stem_channels=64, planes=(64, 128, 256, 512)[:len(layers)])
    if se:
        found["se"] = True
    if small:
        found["num_classes"] = 100
    return found


def variant(name: str, **changes) -> Res2Net:
    """A model by name; ``changes`` override options (``num_classes``, ``dialect``, ...)."""
    return Res2Net(**{**options(name), **changes})
