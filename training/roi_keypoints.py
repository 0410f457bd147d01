"""Keypoints of regions on the features of a trunk: the reference of the head ``roi_keypoints``, tensors by the same names.

The head's file (``heads/roi_keypoints.c``) says what is computed. ``KeypointHead.features`` makes the map that regions are
cut out of, ``forward`` the heat maps (n, joints, bins, bins) of regions in pixels of the network's input; a target is a
Gaussian with 1 in the cell of the joint.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align


class KeypointHead(nn.Module):
    """``taps``: channels of the trunk's stages that are read, finest first; ``stride``: of the finest, in pixels."""

    def __init__(self, taps: tuple[int, ...], stride: int = 4, joints: int = 17, channels: int = 128, bins: int = 28,
                 convs: int = 4) -> None:
        super().__init__()
        self.bins, self.stride = bins, stride
        self.lateral = nn.ModuleList(nn.Conv2d(tap, channels, 1) for tap in taps)
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, 1 if i else 2, 1) for i in range(convs))
        self.up = nn.Conv2d(channels, channels, 3, 1, 1)
        self.maps = nn.Conv2d(channels, joints, 1)

    def features(self, taps: tuple[Tensor, ...]) -> Tensor:
        size = taps[0].shape[2:]
        return sum(F.interpolate(conv(tap), size=size, mode="bilinear", align_corners=False)
                   for conv, tap in zip(self.lateral, taps))

    def forward(self, features: Tensor, regions: list[Tensor]) -> Tensor:
        """``regions``: for each picture (n, 4), x1 y1 x2 y2."""
        cut = roi_align(features, regions, self.bins, 1 / self.stride, sampling_ratio=0, aligned=True)
        x = cut
        for conv in self.convs:
            x = conv(x).relu()
        x = cut + F.interpolate(x, size=cut.shape[2:], mode="bilinear", align_corners=False)
        return self.maps(self.up(x).relu())


def grow(boxes: Tensor, by: float = 1.25) -> Tensor:
    """The regions of boxes (n, 4): both sides times ``by``, about the middle."""
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * by
    return F.pad(middle - side / 2, (0, 2)) + F.pad(middle + side / 2, (2, 0))


def near(maps: Tensor, regions: Tensor, sigma: float) -> Tensor:
    """Heat maps (n, joints, bins, bins) of regions (n, 4) of which what is above 0 is spread by a Gaussian; ``sigma`` in the
    longer sides of the regions."""
    bins, side = maps.shape[-1], regions[:, 2:] - regions[:, :2]
    cells = (sigma * bins * side.max(1, keepdim=True).values / side)[..., None, None].clamp(max=bins)
    at = torch.arange(bins, dtype=maps.dtype)
    x, y = torch.exp(-(((at[:, None] - at) / cells) ** 2) / 2).unbind(1)
    return torch.einsum("njik,nyi,nxk->njyx", maps.clamp_min(0), y, x)
