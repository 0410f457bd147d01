"""Makes tests/golden/pose/{points,oks}.f32: heat maps to points, and poses that are the same person's.

    python training/make_pose_goldens.py [tests/golden/pose]

Needs NumPy only; written from the sheet of SimpleBaseline's code, the plain way. Little-endian
float32.

points.f32: CASES cases. The maps of a case, and of its mirror image, are made by a rule (make_maps).
    A case is 2 x JOINTS rows of x, y, score: of the maps alone, then of the mean with the mirror's.
oks.f32: POSES rows of box score, area, 17 x (x, y, score), score of the pose, and its place among
    those that are kept at a likeness of 0.9 and of 0.5, or -1.
"""
import sys
from pathlib import Path

import numpy as np

CASES, HEIGHT, WIDTH, JOINTS, POSES = 24, 16, 12, 5, 60
PAIRS = [(1, 2), (3, 4)]
SIGMAS = np.array([.26, .25, .25, .35, .35, .79, .79, .72, .72, .62, .62, 1.07, 1.07, .87, .87, .89,
                   .89]) / 10


def make_maps(case, mirrored):
    y, x, j = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(JOINTS), indexing="ij")
    value = (y * 31 + x * 17 + j * 7 + case * 13 + mirrored * 29 + x * y * (j + 1) % 11) % 64
    cold = 2 * (case % 6 == j)  # every sixth case has a map without a value above 0
    return (value / 32 - 0.9 - cold).astype(np.float32)


def find_points(maps):
    points = []
    for j in range(JOINTS):
        heat = maps[:, :, j]
        y, x = divmod(int(heat.argmax()), WIDTH)
        score = heat[y, x]
        at = np.array([x, y], np.float32)
        if score <= 0:
            at[:] = x = y = 0
        if 1 < x < WIDTH - 1 and 1 < y < HEIGHT - 1:
            at += 0.25 * np.sign([heat[y, x + 1] - heat[y, x - 1], heat[y + 1, x] - heat[y - 1, x]])
        points.append([at[0], at[1], score])
    return points


def merge(maps, of_mirror):
    back = of_mirror[:, ::-1].copy()
    for a, b in PAIRS:
        back[:, :, [a, b]] = back[:, :, [b, a]]
    back[:, 1:] = back[:, :-1].copy()
    return (maps + back) * np.float32(0.5)


def make_poses():
    rng = np.random.default_rng(5)
    rows = np.zeros((POSES, 53))
    for i in range(POSES):  # a person is found up to four times, each time a little elsewhere
        if i % 4 == 0:
            person, size = rng.uniform(0, 600, 2) + rng.uniform(-80, 80, (17, 2)), rng.uniform(90, 300)
        rows[i, 0], rows[i, 1] = rng.uniform(0.1, 1), size * size * rng.uniform(0.8, 1.25)
        points = rows[i, 2:].reshape(17, 3)
        points[:, :2] = person + rng.normal(0, rng.choice([2, 6, 15]), (17, 2))
        points[:, 2] = rng.uniform(-0.1, 1, 17) if i % 10 else rng.uniform(-0.1, 0.2, 17)
    return rows.astype(np.float32).astype(np.float64)


def likeness(a, b):
    p, q = a[2:].reshape(17, 3), b[2:].reshape(17, 3)
    distance = ((p[:, :2] - q[:, :2]) ** 2).sum(1)
    return np.mean(np.exp(-distance / (2 * SIGMAS) ** 2 / ((a[1] + b[1]) / 2 + np.spacing(1)) / 2))


def keep(rows, scores, most):
    kept, places = [], np.full(POSES, -1)
    for i in np.argsort(-scores, kind="stable"):
        if all(likeness(rows[k], rows[i]) <= most for k in kept):
            places[i] = len(kept)
            kept.append(i)
    return places


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/pose")
    folder.mkdir(parents=True, exist_ok=True)
    points = []
    for case in range(CASES):
        maps = make_maps(case, 0)
        points += find_points(maps) + find_points(merge(maps, make_maps(case, 1)))
    np.array(points, "<f4").tofile(folder / "points.f32")
    rows, scores = make_poses(), []
    for row in rows:
        seen = row[4::3][row[4::3] > 0.2]
        scores.append(row[0] * seen.mean() if len(seen) else 0)
    scores = np.array(scores)
    columns = [rows, scores[:, None]] + [keep(rows, scores, t)[:, None] for t in (0.9, 0.5)]
    np.hstack(columns).astype("<f4").tofile(folder / "oks.f32")
    print(f"{folder}: {CASES} cases of maps; {POSES} poses, kept "
          f"{[int((c >= 0).sum()) for c in columns[2:]]}")


if __name__ == "__main__":
    main()
