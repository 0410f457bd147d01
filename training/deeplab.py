"""DeepLabv3+ on a Res2Net trunk, inference only: the reference of the head ``deeplabv3plus``.

Parameters carry mmsegmentation's names (``backbone.* decode_head.*``), semantics are those of its ``ASPPHead`` and
``DepthwiseSeparableASPPHead`` and of its ``whole`` inference, as the model zoo sheet describes them. The defaults of
``Options`` are that head; what other code bases do differently is told by options. Test weights are
``faster_rcnn.fill``'s.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import res2net
from faster_rcnn import TAPS, Trunk


@dataclass(frozen=True)
class Options:
    """``low_channels`` 0: no detail is brought in, and the map stays as coarse as c5."""

    classes: int = 21
    rates: tuple[int, ...] = (1, 12, 24, 36)
    separable: bool = True
    image_pool: str = "first"
    channels: int = 512
    fuse_kernel: int = 3
    low_tap: int = 2
    low_channels: int = 48
    low_first: bool = False
    decoder_convs: int = 2
    align_corners: bool = False


class Frame(NamedTuple):
    """The picture inside the network's input, at its upper left: its size there and its original size, in pixels."""

    height: int
    width: int
    original_height: int
    original_width: int


class ConvModule(nn.Module):
    def __init__(self, cin: int, cout: int, kernel: int, dilation: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, padding=kernel // 2 * dilation, dilation=dilation, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class SeparableConvModule(nn.Module):
    """Norm and ReLU after both steps."""

    def __init__(self, cin: int, cout: int, kernel: int, dilation: int = 1):
        super().__init__()
        self.depthwise_conv = ConvModule(cin, cin, kernel, dilation, groups=cin)
        self.pointwise_conv = ConvModule(cin, cout, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise_conv(self.depthwise_conv(x))


class DecodeHead(nn.Module):
    def __init__(self, planes: tuple[int, ...], options: Options):
        super().__init__()
        o = self.options = options
        conv = SeparableConvModule if o.separable else ConvModule
        cin, width = planes[3] * res2net.EXPANSION, o.channels
        branches = len(o.rates) + (o.image_pool != "none")
        if o.image_pool != "none":
            self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvModule(cin, width, 1))
        self.aspp_modules = nn.ModuleList(
            ConvModule(cin, width, 1) if rate == 1 else conv(cin, width, 3, rate) for rate in o.rates)
        self.bottleneck = ConvModule(branches * width, width, o.fuse_kernel)
        if o.low_channels:
            self.c1_bottleneck = ConvModule(planes[o.low_tap - 2] * res2net.EXPANSION, o.low_channels, 1)
        self.sep_bottleneck = nn.Sequential(*(
            conv(width + (o.low_channels if i == 0 else 0), width, 3) for i in range(o.decoder_convs)))
        self.conv_seg = nn.Conv2d(width + (0 if o.decoder_convs else o.low_channels), o.classes, 1)

    def resize(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(x, size, mode="bilinear", align_corners=self.options.align_corners)

    def forward(self, taps: dict[str, Tensor]) -> Tensor:
        o, x = self.options, taps["c5"]
        parts = [module(x) for module in self.aspp_modules]
        if o.image_pool != "none":
            parts.insert(0 if o.image_pool == "first" else len(parts), self.resize(self.image_pool(x), x.shape[2:]))
        x = self.bottleneck(torch.cat(parts, 1))
        if o.low_channels:
            low = self.c1_bottleneck(taps[TAPS[o.low_tap - 2]])
            x = self.resize(x, low.shape[2:])
            x = torch.cat((low, x) if o.low_first else (x, low), 1)
        return self.conv_seg(self.sep_bottleneck(x))


class DeepLab(nn.Module):
    """``trunk``: options of ``res2net.Res2Net``."""

    def __init__(self, trunk: dict, options: Options = Options()):
        super().__init__()
        self.backbone = Trunk(trunk)
        self.decode_head = DecodeHead(trunk["planes"], options)

    def forward(self, picture: Tensor) -> Tensor:
        """Logits (1, classes, h, w) of a normalised and padded picture (1, 3, H, W)."""
        return self.decode_head(self.backbone(picture))

    def scores(self, logits: Tensor, size: tuple[int, int], frame: Frame) -> Tensor:
        """Logits (classes, height, width) of the original picture, from those of an input of this size."""
        head = self.decode_head
        logits = head.resize(logits, size)[:, :, :frame.height, :frame.width]
        return head.resize(logits, (frame.original_height, frame.original_width))[0]
