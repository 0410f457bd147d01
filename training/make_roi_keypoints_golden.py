"""Makes tests/golden/pose/roi_keypoints.f32: the points that PyTorch finds in a picture that a rule makes.

    python training/make_roi_keypoints_golden.py [tests/golden/pose/roi_keypoints.f32]

Needs PyTorch and torchvision. Trunk and head have the test weights of testweights.py. Little-endian float32, one row a box:
x1 y1 x2 y2, then x, y, score of each of 5 joints; the same again of smooth maps (``smooth`` 0.08). Computed in float64. No
decision is close: the two hottest cells of a map, and the neighbours that decide the quarter offset, differ by 1e-4 at least.
"""
import sys

import numpy as np
import torch
from torch import nn

import res2net
import testweights
from roi_keypoints import KeypointHead, grow, near

WIDTH, HEIGHT, BINS, MARGIN, SMOOTH, PADDING = 150, 90, 12, 1e-4, 0.08, 1.25
TRUNK = dict(layers=(1, 1, 1, 1), base_width=64, scale=2, groups=1, stem="7x7", downsample="conv", stem_channels=16,
             planes=(16, 16, 16, 16), dialect="A")
BOXES = [[0, 0, 150, 90], [20, 10, 60, 80], [70.5, 20.25, 130, 60], [100, 50, 149, 89], [-10, -20, 45, 40]]


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.keypoints = KeypointHead((64, 64), joints=5, channels=24, bins=BINS, convs=2)


def make_input():
    """As the daemon prepares it: normalised, then padded with 0 to multiples of 32."""
    y, x, c = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(3), indexing="ij")
    picture = (x * 37 + y * 59 + c * 85 + x * y % 97 * 3) % 256
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = torch.from_numpy((picture / 255 - mean) / std).permute(2, 0, 1)[None]
    return nn.functional.pad(pixels, (0, -WIDTH % 32, 0, -HEIGHT % 32))


def find_point(heat):
    """(x, y, score) in cells, and how close the nearest decision was."""
    best, order = heat.flatten().sort(descending=True)
    y, x = divmod(int(order[0]), BINS)
    margin = float(best[0] - best[1])
    if best[0] <= 0:
        return 0, 0, float(best[0]), float(-best[0])
    px, py = float(x), float(y)
    if 1 < x < BINS - 1 and 1 < y < BINS - 1:
        right, below = float(heat[y, x + 1] - heat[y, x - 1]), float(heat[y + 1, x] - heat[y - 1, x])
        px, py = px + 0.25 * np.sign(right), py + 0.25 * np.sign(below)
        margin = min(margin, abs(right), abs(below))
    return px, py, float(best[0]), margin


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/pose/roi_keypoints.f32"
    trunk, network = res2net.Res2Net(**TRUNK, num_classes=7).eval(), Network().eval()
    testweights.fill(trunk)
    testweights.fill(network)
    head = network.double().keypoints
    boxes = torch.tensor(BOXES, dtype=torch.float64)
    regions = grow(boxes, PADDING)
    with torch.no_grad():
        stages = trunk.double().taps(make_input())
        maps = head(head.features((stages.c2, stages.c3)), [regions])
    rows, nearest = [], 1.0
    for kind in (maps, near(maps, regions, SMOOTH / PADDING)):
        for box, region, raw, heats in zip(BOXES, regions.tolist(), maps, kind):
            row = list(box)
            for heat, score in zip(heats, raw.flatten(1).max(1).values.tolist()):
                x, y, _, margin = find_point(heat)
                nearest = min(nearest, -score if score <= 0 else margin)
                row += [region[0] + (x + 0.5) * (region[2] - region[0]) / BINS,
                        region[1] + (y + 0.5) * (region[3] - region[1]) / BINS, score]
            rows.append(row)
    if nearest < MARGIN:
        raise SystemExit(f"a decision is close: {nearest:.1e}")
    np.array(rows, "<f4").tofile(path)
    print(f"{path}: {len(BOXES)} boxes, nearest decision {nearest:.1e}")


if __name__ == "__main__":
    main()
