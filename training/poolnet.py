"""PoolNet on a Res2Net trunk, inference only: the reference of the head ``poolnet``, published tensor names.

Written from the model zoo sheet and the published description (Liu et al., CVPR 2019): ``base.resnet.* base.ppms* base.infos.*
convert.* deep_pool.* score.*``. ``widths`` are those of the five levels, the stem's first; every resize keeps the corners.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import res2net

WIDTHS, GUIDE = (128, 256, 256, 512, 512), 512


def trunk(**options) -> res2net.Res2Net:
    """The trunk that PoolNet was published with: layer4 dilated in every block, a max pool that rounds up."""
    net = res2net.Res2Net(**options, output_stride=16, first_dilation="full")
    net.maxpool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
    return net


def plain(cin: int, cout: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=False)


def rectified(cin: int, cout: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(plain(cin, cout, kernel), nn.ReLU())


def resize(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


class Base(nn.Module):
    """The trunk and the pyramid pooling that guides the finer levels, told to each by a convolution."""

    def __init__(self, net: res2net.Res2Net, widths: tuple[int, ...], guide: int):
        super().__init__()
        self.resnet = net
        self.ppms_pre = plain(net.fc.in_features, guide, 1)
        self.ppms = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(n), plain(guide, guide, 1), nn.ReLU()) for n in (1, 3, 5))
        self.ppm_cat = rectified(4 * guide, guide, 3)
        self.infos = nn.ModuleList(rectified(guide, width, 3) for width in widths[-2::-1])

    def forward(self, picture: Tensor) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        stages = self.resnet.stages(picture)
        deep = self.ppms_pre(stages[-1])
        guide = self.ppm_cat(torch.cat([deep] + [resize(ppm(deep), deep) for ppm in self.ppms], 1))
        return stages, [info(resize(guide, stage)) for info, stage in zip(self.infos, stages[-2::-1])]


class Convert(nn.Module):
    def __init__(self, channels: list[int], widths: tuple[int, ...]):
        super().__init__()
        self.convert0 = nn.ModuleList(rectified(c, w, 1) for c, w in zip(channels, widths))


class Aggregation(nn.Module):
    """``fused``: goes on to a finer level."""

    def __init__(self, cin: int, cout: int, fused: bool):
        super().__init__()
        self.convs = nn.ModuleList(plain(cin, cin, 3) for _ in range(3))
        self.conv_sum = plain(cin, cout, 3)
        if fused:
            self.conv_sum_c = plain(cout, cout, 3)

    def forward(self, x: Tensor, skip: Tensor | None = None, info: Tensor | None = None) -> Tensor:
        pooled = [resize(conv(F.avg_pool2d(x, side)), x) for side, conv in zip((2, 4, 8), self.convs)]
        x = F.relu(x + sum(pooled))
        if skip is None:
            return self.conv_sum(x)
        return self.conv_sum_c(self.conv_sum(resize(x, skip)) + skip + info)


class Score(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.score = nn.Conv2d(width, 1, 1)


class PoolNet(nn.Module):
    def __init__(self, net: res2net.Res2Net, widths: tuple[int, ...] = WIDTHS, guide: int = GUIDE):
        super().__init__()
        self.base = Base(net, widths, guide)
        channels = [net.bn1.num_features] + [
            getattr(net, f"layer{s}")[0].conv3.out_channels for s in range(1, 5)]
        self.convert = Convert(channels, widths)
        outs = (*widths[-2::-1], widths[0])
        self.deep_pool = nn.ModuleList(
            Aggregation(cin, cout, i < 4) for i, (cin, cout) in enumerate(zip((widths[-1], *outs), outs)))
        self.score = Score(widths[0])

    def logits(self, picture: Tensor) -> Tensor:
        """(1, 1, h, w) at the stem's size of a normalised picture (1, 3, H, W)."""
        stages, infos = self.base(picture)
        levels = [convert(stage) for convert, stage in zip(self.convert.convert0, stages)][::-1]
        x = levels[0]
        for pool, skip, info in zip(self.deep_pool, levels[1:], infos):
            x = pool(x, skip, info)
        return self.score.score(self.deep_pool[-1](x))

    def forward(self, picture: Tensor) -> Tensor:
        """Logits at the picture's size."""
        return resize(self.logits(picture), picture)
