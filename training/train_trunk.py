"""School the demo's trunk: labels of the objects photos, and an ImageNet teacher's opinion of every crop of all photos.

Everything hangs on one number, the fraction of the given time that is used up: learning rate, picture size and kind
of views follow it (loop.py). It starts at small pictures (most steps a second) and ends at what the daemon will feed it.

    python training/train_trunk.py --work WORK --minutes 124 --bf16   # goes on from its checkpoint; at the end WORK/trunk.safetensors
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

import data as D
import distil
import loop
import res2net

# until this fraction of the time: size, batch, share of letterboxed views, smallest area of a crop
PHASES = (
    (0.10, 96, 64, 0.25, 0.25),
    (0.58, 128, 64, 0.25, 0.35),
    (0.74, 160, 64, 0.30, 0.40),
    (0.88, 224, 64, 0.50, 0.45),
    (1.01, 320, 32, 0.85, 0.50),
)
LABELLED = 0.72  # share of labelled photos in a batch
MIXED = 0.15  # share of the batches with mixup; few passes over the photos: the student underfits, more would slow it
FINAL_SIZE = 320
GRID = 3  # features are compared with the teacher's on a grid of this many by this many parts of a view
HEAT = 2.0  # temperature of the soft targets
WEIGHTS = {"hard": 0.5, "ours": 1.0, "imagenet": 0.5, "features": 3.0}


def phase(fraction: float) -> tuple:
    """The row of PHASES for a fraction of the time."""
    return next(row for row in PHASES if fraction < row[0])


def last(fraction: float) -> bool:
    return phase(fraction) is PHASES[-1]


class Views:
    """Batches of random views; a batch depends on the seed, its number and the fraction of the time only."""

    def __init__(self, cache: D.Cache, photos: list[D.Photo]):
        self.cache = cache
        train = [i for i, p in enumerate(photos) if p.split == "train"]
        self.labelled = np.array([i for i in train if photos[i].label >= 0])
        self.others = np.array([i for i in train if photos[i].label < 0])
        counts = np.bincount([photos[i].label for i in self.labelled])
        weight = np.array([counts[photos[i].label] ** -0.25 for i in self.labelled])  # lift rare labels a little
        self.weight = weight / weight.sum()

    def batch(self, rng: np.random.Generator, fraction: float, parts: int) -> tuple[Tensor, ...]:
        """One of ``parts`` equal pieces of a batch: (pixels NHWC uint8, valid, photo numbers, boxes, mirrored)."""
        _, size, batch, boxed, min_area = phase(fraction)
        batch //= parts
        known = rng.binomial(batch, LABELLED)
        rows = np.concatenate([rng.choice(self.labelled, known, p=self.weight),
                               rng.choice(self.others, batch - known)])
        views = [D.random_view(rng, self.cache.image(i), size, boxed, min_area) for i in rows]
        squares, valid, boxes, mirrored = zip(*views)
        return (torch.from_numpy(np.stack(squares)), torch.tensor(valid), torch.tensor(rows),
                torch.tensor(boxes, dtype=torch.float32), torch.tensor(mirrored))


class Student(nn.Module):
    """The trunk with what only the schooling needs: a map into the teacher's features and an ImageNet classifier."""

    def __init__(self, classes: int, **changes):
        super().__init__()
        self.trunk = res2net.variant("demo", num_classes=classes, **changes)
        channels = self.trunk.fc.in_features
        self.project = nn.Conv2d(channels, distil.CHANNELS, 1)
        self.imagenet = nn.Linear(channels, 1000)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(our logits, ImageNet logits, features like the teacher's (N, C, h, w))."""
        c5 = self.trunk.stages(x)[-1]
        pooled = c5.mean((2, 3))
        return self.trunk.fc(pooled), self.imagenet(pooled), self.project(c5)


def mix(lam: float, order: Tensor, *tensors: Tensor) -> list[Tensor]:
    """mixup: every tensor blended with its rows in another order."""
    return [lam * t + (1 - lam) * t[order] for t in tensors]


def losses(student: Student, batch: tuple, targets: distil.Targets, labels: Tensor,
           rng: np.random.Generator, plain: bool, bf16: bool) -> tuple[dict[str, Tensor], Tensor]:
    """The losses of one batch, and the features. ``labels`` (photos, classes): smoothed one-hot rows, zero where unknown;
    ``plain``: without mixup."""
    pixels, valid, rows, boxes, mirrored = batch
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    with torch.no_grad():
        x = D.erase(D.normalise(D.colour(pixels, generator), valid), rng, 0.15)
        grid = targets.grid(rows, boxes, mirrored, GRID)
        ours, imagenet = targets.logits(grid.mean((1, 2)))
        ours, imagenet = distil.soften(ours, HEAT), distil.soften(imagenet, HEAT)
        known = labels[rows]
        if not plain and rng.random() < MIXED:
            x, grid, ours, imagenet, known = mix(
                float(rng.beta(0.4, 0.4)), torch.from_numpy(rng.permutation(len(rows))), x, grid, ours, imagenet, known)
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        out_ours, out_imagenet, features = student(x)
    out_ours, out_imagenet = out_ours.float(), out_imagenet.float()
    means = features.float().permute(0, 2, 3, 1)
    cells = means.shape[1]
    seen = valid.float() * (cells / x.shape[-1])
    none = torch.zeros(len(rows))
    means = distil.grid_means(means, distil.cover(none, seen[:, 0], GRID, cells),
                              distil.cover(none, seen[:, 1], GRID, cells))
    return {
        "hard": -(known * F.log_softmax(out_ours, 1)).sum(1).mean(),
        "ours": distil.soft_loss(out_ours, ours, HEAT),
        "imagenet": distil.soft_loss(out_imagenet, imagenet, HEAT),
        "features": (1 - F.cosine_similarity(means, grid, dim=3)).mean(),
    }, features


@torch.no_grad()
def evaluate(trunk: nn.Module, cache: D.Cache, photos: list[D.Photo]) -> tuple[float, float, float]:
    """(top-1, top-5, mean over labels of top-1) on the validation photos, as the daemon sees them."""
    rows = [i for i, p in enumerate(photos) if p.split == "val"]
    counts = torch.zeros(3, trunk.fc.out_features)  # of each label: photos, right, among the five best
    for start in range(0, len(rows), 32):
        part = rows[start: start + 32]
        squares, valid = zip(*(D.letterbox(cache.image(i), FINAL_SIZE) for i in part))
        x = D.normalise(torch.from_numpy(np.stack(squares)), torch.tensor(valid))
        top = trunk(x.contiguous(memory_format=torch.channels_last)).topk(5).indices
        truth = torch.tensor([photos[i].label for i in part])
        right = (top == truth[:, None]).float()
        for row, value in zip(counts, (torch.ones(len(part)), right[:, 0], right.sum(1))):
            row.index_add_(0, truth, value)
    total, first, five = counts
    there = total > 0
    return ((first.sum() / total.sum()).item(), (five.sum() / total.sum()).item(),
            (first[there] / total[there]).mean().item())


def prepare(args: argparse.Namespace, photos: list[D.Photo], classes: int) -> None:
    """Decode the photos, run the teacher and fit its head; what is there already is kept."""
    folder = args.work / "cache"
    if not (folder / "pixels.json").exists():
        D.build_cache(photos, folder)
    cache = D.Cache(folder)
    if len(cache) != len(photos):
        raise SystemExit(f"{folder} was made from other photos: {len(cache)} there, {len(photos)} in {args.data}")
    if not (folder / "maps.npy").exists():
        distil.build_maps(distil.teacher(), cache, folder)
    if not (folder / "head.pt").exists():
        torch.save(distil.fit_head(distil.Targets(folder, cache), photos, classes), folder / "head.pt")
    accuracy = torch.load(folder / "head.pt")["accuracy"]
    print(f"teacher with a linear head: {accuracy:.4f} top-1 on the validation split", flush=True)


def smoothed(photos: list[D.Photo], classes: int) -> Tensor:
    """Targets of the labelled training photos (photos, classes), smoothed by 0.1; zero rows for all others."""
    rows = torch.zeros(len(photos), classes)
    for i, p in enumerate(photos):
        if p.label >= 0 and p.split == "train":
            rows[i] = 0.1 / classes
            rows[i, p.label] += 0.9
    return rows


def learn(rank: int, args: argparse.Namespace) -> None:
    photos, folder = D.index(args.data), args.work / "cache"
    classes, cache = len(D.labels(args.data)), D.Cache(folder)
    targets = distil.Targets(folder, cache, torch.load(folder / "head.pt"))
    labels, views = smoothed(photos, classes), Views(cache, photos)
    student = Student(classes).to(memory_format=torch.channels_last).train()

    def step(rng: np.random.Generator, done: float) -> tuple[dict[str, Tensor], Tensor]:
        return losses(student, views.batch(rng, done, args.processes), targets, labels, rng, last(done), args.bf16)

    # a shorter memory at the end, so that the averaged statistics are those of the final picture size
    loop.run(rank, args, student, loop.groups(student, (), 1.0, args.decay), WEIGHTS, step, clip=2.0,
             memory=lambda done: 0.98 if last(done) else loop.MEMORY)


def write(work: Path, photos: list[D.Photo], classes: int) -> None:
    """Checkpoint -> trunk and classifier under the official names."""
    state, trunk = torch.load(work / "checkpoint.pt"), res2net.variant("demo", num_classes=classes)
    trunk.load_state_dict({n.removeprefix("trunk."): t for n, t in state["ema"].items() if n.startswith("trunk.")})
    save_file({n: t.contiguous() for n, t in trunk.state_dict().items() if not n.endswith("num_batches_tracked")},
              work / "trunk.safetensors", metadata={"format": "pt", "step": str(state["step"])})
    top1, top5, even = evaluate(trunk.eval().to(memory_format=torch.channels_last), D.Cache(work / "cache"), photos)
    print(f"{work / 'trunk.safetensors'}: step {state['step']}, top-1 {top1:.4f} top-5 {top5:.4f} by label {even:.4f}")


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, default=home.parent / "shared" / "data", help="folder of the photos")
    loop.options(p, 100, rate=1.5e-3, decay=0.05)
    args = p.parse_args()
    photos, classes = D.index(args.data), len(D.labels(args.data))
    args.work.mkdir(parents=True, exist_ok=True)
    prepare(args, photos, classes)
    loop.spawn(learn, args)
    write(args.work, photos, classes)


if __name__ == "__main__":
    main()
