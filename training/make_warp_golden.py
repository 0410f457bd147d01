"""Makes tests/golden/warp.u8: what cv2.warpAffine crops out of a picture that a rule makes.

    python training/make_warp_golden.py [tests/golden/warp.u8]

Needs OpenCV (opencv-python-headless 4.10.0 made the stored file; 5.0 computes some samples a level
off). The picture is 97 wide and 61 high. One record a crop: the map from the picture to the crop,
six little-endian float64 in OpenCV's order, then 24 x 18 RGB bytes.
"""
import sys

import cv2
import numpy as np

WIDTH, HEIGHT, CROP_WIDTH, CROP_HEIGHT = 97, 61, 18, 24


def make_picture():
    y, x, c = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(3), indexing="ij")
    return ((x * 37 + y * 59 + c * 85 + x * y % 97 * 3) % 256).astype(np.uint8)


def of_box(x, y, width, height, padding=1.25):
    """SimpleBaseline's crop of a box, without rotation."""
    aspect = CROP_WIDTH / CROP_HEIGHT
    centre_x, centre_y = x + width * 0.5, y + height * 0.5
    wide = max(width, height * aspect) * padding
    scale = CROP_WIDTH / wide
    return [scale, 0, CROP_WIDTH / 2 - centre_x * scale,
            0, scale, CROP_HEIGHT / 2 - centre_y * scale]


def make_maps():
    fixed = [
        [1, 0, 0, 0, 1, 0], [1, 0, -30, 0, 1, -20],                # as it is; shifted
        [1, 0, -0.5, 0, 1, -0.5], [1, 0, 0.25, 0, 1, -0.03125],    # halves, fractions of 1/32
        [1, 0, -90, 0, 1, -50], [1, 0, 200, 0, 1, 0],              # over the corner; outside
        [-1, 0, 20, 0, 1, 0], [0.8, -0.6, 3, 0.6, 0.8, -5],        # mirrored; turned
        [0.01, 0, 0, 0, 0.01, 0], [60, 0, -900, 0, 60, -900],      # much smaller; much larger
        [0.3, 0.2, 1, 0.6, 0.4, 2],                                # no inverse
    ]
    boxes = [(10, 5, 30, 40), (10, 5, 60, 20), (-20, -10, 40, 40), (80, 40, 40, 60),
             (33.3, 21.7, 5.1, 8.9), (0, 0, 97, 61), (40, 30, 0.5, 0.5), (12.34, 3.21, 20, 55)]
    return fixed + [of_box(*box) for box in boxes]


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/golden/warp.u8"
    picture, maps = make_picture(), make_maps()
    with open(path, "wb") as out:
        for each in maps:
            matrix = np.array(each, dtype="<f8").reshape(2, 3)
            out.write(matrix.tobytes())
            out.write(cv2.warpAffine(picture, matrix, (CROP_WIDTH, CROP_HEIGHT),
                                     flags=cv2.INTER_LINEAR).tobytes())
    print(f"{path}: {len(maps)} crops by OpenCV {cv2.__version__}")


if __name__ == "__main__":
    main()
