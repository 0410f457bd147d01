"""Makes tests/golden/roi_align.f32: what torchvision pools out of a map that a rule makes.

    python training/make_roi_golden.py [tests/golden/roi_align.f32]

Needs PyTorch and torchvision (0.29 made the stored file). The map is [200, 334, 5], at a stride of
4, as under a picture of 1333 x 800 pixels. Little-endian float32, one row a RoI: x1 y1 x2 y2, then
its 3 x 3 bins of 5 channels.
"""
import sys

import torch
from torchvision.ops import roi_align

HEIGHT, WIDTH, CHANNELS, STRIDE, BINS = 200, 334, 5, 4, 3


def make_map():
    y, x, c = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), torch.arange(CHANNELS),
                             indexing="ij")
    return ((y * 31 + x * 17 + c * 7 + x * y % 13) % 64).float() / 32 - 1


def make_rois():
    fixed = [
        [0, 0, 1333, 800], [0, 0, 1336, 800], [-4, -4, 0, 0], [-30, -20, 40, 50],  # whole, borders
        [1300, 780, 1400, 900], [2000, 100, 2100, 200], [100, -500, 200, -400],    # beyond
        [10, 10, 10, 50], [10, 10, 50, 10], [20, 20, 20, 20],                      # degenerate
        [60, 60, 20, 20], [-1e4, -1e4, 1e4, 1e4],                                  # inverted, huge
        [2, 2, 14, 14], [100, 100, 112, 124], [1330, 796, 1334, 800],              # on the grid
    ]
    generator = torch.Generator().manual_seed(7)
    corner = torch.rand(48, 2, generator=generator) * torch.tensor([1333.0, 800.0])
    size = 2 ** (torch.rand(48, 2, generator=generator) * 9)
    drawn = torch.cat([corner - size / 2, corner + size / 2], 1)
    return torch.cat([torch.tensor(fixed, dtype=torch.float32), drawn])


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/roi_align.f32"
    rois = make_rois()
    features = make_map().permute(2, 0, 1)[None]
    pooled = roi_align(features, [rois], BINS, 1 / STRIDE, sampling_ratio=0, aligned=True)
    rows = torch.cat([rois, pooled.permute(0, 2, 3, 1).flatten(1)], 1)
    rows.numpy().astype("<f4").tofile(path)
    print(f"{path}: {rows.shape[0]} RoIs")


if __name__ == "__main__":
    main()
