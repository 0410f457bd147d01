"""SimpleBaseline on a Res2Net trunk: the reference of the head ``simple_baseline``, published tensor names.

``SimpleBaseline(trunk)`` gives heat maps of a quarter of the input's side; ``flip_test`` averages them with those of the
mirrored input, as the published code does.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

import res2net

PAIRS = [(left, left + 1) for left in range(1, 17, 2)]  # COCO's left and right joints


class SimpleBaseline(res2net.Res2Net):
    def __init__(self, joints: int = 17, deconv_channels: int = 256, **trunk) -> None:
        super().__init__(**trunk)
        inside = self.fc.in_features
        del self.fc
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.ConvTranspose2d(inside, deconv_channels, 4, 2, 1, bias=False),
                       nn.BatchNorm2d(deconv_channels), nn.ReLU()]
            inside = deconv_channels
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(deconv_channels, joints, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.final_layer(self.deconv_layers(self.stages(pixels)[-1]))

    def flip_test(self, pixels: Tensor) -> Tensor:
        back = self(pixels.flip(3)).flip(3)
        order = list(range(back.shape[1]))
        for a, b in PAIRS:
            order[a], order[b] = b, a
        back = back[:, order]
        return (self(pixels) + torch.cat((back[..., :1], back[..., :-1]), 3)) / 2
