"""Makes tests/golden/pose/simple_baseline.f32: the points that PyTorch finds in a picture that a rule makes.

    python training/make_simple_baseline_golden.py [tests/golden/pose/simple_baseline.f32]

Needs PyTorch. The network has the test weights of testweights.py. Little-endian float32, one row a box: x1 y1 x2 y2, then
x, y, score of each of 17 joints with the flip test, then without. Computed in float64. Crops fall on whole pixels, so that
they are exact without OpenCV (tests/golden/warp.u8 has others). No decision is close: the two hottest cells of a map, and the
neighbours that decide the quarter offset, differ by 1e-4 at least; a box is shifted by whole pixels until that is so.
"""
import sys

import numpy as np
import torch

import testweights
from simple_baseline import SimpleBaseline

WIDTH, HEIGHT, CROP_WIDTH, CROP_HEIGHT, MARGIN = 150, 130, 96, 128, 1e-4
TRUNK = dict(layers=(1, 1, 1, 1), base_width=64, scale=2, groups=1, stem="7x7", downsample="conv", stem_channels=16,
             planes=(16, 16, 16, 16), dialect="A")
# middle, then size: as high as the crop, wider, twice the crop, over the corner
BOXES = [(60, 70, 76.8, 102.4), (75, 64, 76.8, 50), (80, 60, 153.6, 204.8), (10, 120, 40, 102.4)]
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def make_picture():
    y, x, c = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(3), indexing="ij")
    return (x * 37 + y * 59 + c * 85 + x * y % 97 * 3) % 256


def crop_width(box):
    return max(box[2], box[3] * CROP_WIDTH / CROP_HEIGHT) * 1.25


def make_crop(picture, box):
    """(1, 3, height, width): blue first, but normalised in the order of RGB."""
    step = round(crop_width(box) / CROP_WIDTH)
    x = box[0] + step * (np.arange(CROP_WIDTH) - CROP_WIDTH // 2)
    y = box[1] + step * (np.arange(CROP_HEIGHT) - CROP_HEIGHT // 2)
    inside = ((y >= 0) & (y < HEIGHT))[:, None] & ((x >= 0) & (x < WIDTH))[None]
    pixels = picture[y.clip(0, HEIGHT - 1)][:, x.clip(0, WIDTH - 1)] * inside[:, :, None]
    return torch.from_numpy((pixels[:, :, ::-1] / 255 - MEAN) / STD).permute(2, 0, 1)[None]


def find_point(heat):
    """(x, y, score) in cells, and how close the nearest decision was."""
    height, width = heat.shape
    best, order = heat.flatten().sort(descending=True)
    y, x = divmod(int(order[0]), width)
    margin = float(best[0] - best[1])
    if best[0] <= 0:
        return 0, 0, float(best[0]), float(-best[0])
    px, py = float(x), float(y)
    if 1 < x < width - 1 and 1 < y < height - 1:
        right, below = float(heat[y, x + 1] - heat[y, x - 1]), float(heat[y + 1, x] - heat[y - 1, x])
        px, py = px + 0.25 * np.sign(right), py + 0.25 * np.sign(below)
        margin = min(margin, abs(right), abs(below))
    return px, py, float(best[0]), margin


def find_points(heats, box):
    """[x, y, score] in the picture of each joint in one list, and the nearest decision."""
    cell, found, nearest = crop_width(box) / heats.shape[2], [], 1.0
    for heat in heats:
        x, y, score, margin = find_point(heat)
        found += [box[0] + (x - heats.shape[2] / 2) * cell, box[1] + (y - heats.shape[1] / 2) * cell, score]
        nearest = min(nearest, margin)
    return found, nearest


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/pose/simple_baseline.f32"
    network = SimpleBaseline(deconv_channels=24, **TRUNK).eval()
    testweights.fill(network)
    network.double()
    picture, rows = make_picture(), []
    with torch.no_grad():
        for box in BOXES:
            nearest = 0.0
            while nearest < MARGIN:
                box = (box[0] + 1, *box[1:])
                crop = make_crop(picture, box)
                flipped, at_most = find_points(network.flip_test(crop)[0], box)
                plain, nearest = find_points(network(crop)[0], box)
                nearest = min(nearest, at_most)
            rows.append([box[0] - box[2] / 2, box[1] - box[3] / 2, box[0] + box[2] / 2, box[1] + box[3] / 2]
                        + flipped + plain)
            print(f"  {box}: nearest decision {nearest:.1e}")
    np.array(rows, "<f4").tofile(path)
    print(f"{path}: {len(rows)} boxes")


if __name__ == "__main__":
    main()
