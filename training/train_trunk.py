"""School the demo trunk: labels of the objects photos, and an ImageNet teacher's opinion of every crop of all photos.

Everything hangs on one number, the fraction of the given time that is used up: learning rate, picture size and kind
of views follow it, so the run ends on time however busy the machine is. It starts at small pictures (most steps a
second) and ends at what the daemon will feed it. A killed run goes on from its last checkpoint when started again.

Cores are used by one-threaded processes that average their gradients, not by threads: oneDNN's convolution gradients
meet in spinning barriers, and on a machine that has other work they were measured to lose nine tenths of the time there.
"""
from __future__ import annotations

import argparse
import copy
import math
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

import data as D
import distil
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
           rng: np.random.Generator, last: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one batch and its parts. ``labels`` (photos, classes): smoothed one-hot rows, zero where unknown."""
    pixels, valid, rows, boxes, mirrored = batch
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    with torch.no_grad():
        x = D.erase(D.normalise(D.colour(pixels, generator), valid), rng, 0.15)
        grid = targets.grid(rows, boxes, mirrored, GRID)
        ours, imagenet = targets.logits(grid.mean((1, 2)))
        ours, imagenet = distil.soften(ours, HEAT), distil.soften(imagenet, HEAT)
        known = labels[rows]
        if not last and rng.random() < MIXED:
            x, grid, ours, imagenet, known = mix(
                float(rng.beta(0.4, 0.4)), torch.from_numpy(rng.permutation(len(rows))), x, grid, ours, imagenet, known)
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        out_ours, out_imagenet, features = student(x)
    out_ours, out_imagenet = out_ours.float(), out_imagenet.float()
    features = features.float().permute(0, 2, 3, 1)
    cells = features.shape[1]
    seen = valid.float() * (cells / x.shape[-1])
    none = torch.zeros(len(rows))
    features = distil.grid_means(features, distil.cover(none, seen[:, 0], GRID, cells),
                                 distil.cover(none, seen[:, 1], GRID, cells))
    parts = {
        "hard": -(known * F.log_softmax(out_ours, 1)).sum(1).mean(),
        "ours": distil.soft_loss(out_ours, ours, HEAT),
        "imagenet": distil.soft_loss(out_imagenet, imagenet, HEAT),
        "features": (1 - F.cosine_similarity(features, grid, dim=3)).mean(),
    }
    return sum(WEIGHTS[name] * value for name, value in parts.items()), {n: v.detach() for n, v in parts.items()}


def average(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the running average of all weights and batch-norm statistics towards the model."""
    with torch.no_grad():
        for a, b in zip(ema.state_dict().values(), model.state_dict().values()):
            if a.is_floating_point():
                a.lerp_(b, 1 - decay)
            else:
                a.copy_(b)


@torch.no_grad()
def evaluate(trunk: nn.Module, cache: D.Cache, photos: list[D.Photo], size: int, every: int = 1,
             bf16: bool = True) -> tuple[float, float, float]:
    """(top-1, top-5, mean over labels of top-1) on every n-th validation photo, letterboxed to ``size``.

    Where there are several processes they share the work.
    """
    rows = [i for i, p in enumerate(photos) if p.split == "val"][::every]
    if dist.is_initialized():
        rows = rows[dist.get_rank():: dist.get_world_size()]
    trunk.eval()
    counts = torch.zeros(3, trunk.fc.out_features)  # of each label: photos, right, among the five best
    for start in range(0, len(rows), 32):
        part = rows[start: start + 32]
        squares, valid = zip(*(D.letterbox(cache.image(i), size) for i in part))
        x = D.normalise(torch.from_numpy(np.stack(squares)), torch.tensor(valid))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            top = trunk(x.contiguous(memory_format=torch.channels_last)).float().topk(5).indices
        truth = torch.tensor([photos[i].label for i in part])
        right = (top == truth[:, None]).float()
        for row, value in zip(counts, (torch.ones(len(part)), right[:, 0], right.sum(1))):
            row.index_add_(0, truth, value)
    if dist.is_initialized():
        dist.all_reduce(counts)
    total, first, five = counts
    there = total > 0
    return ((first.sum() / total.sum()).item(), (five.sum() / total.sum()).item(),
            (first[there] / total[there]).mean().item())


def share_gradients(parameters: list[nn.Parameter], extra: Tensor) -> Tensor:
    """Average the gradients, and ``extra`` numbers, over the processes."""
    flat = torch.cat([p.grad.reshape(-1) for p in parameters] + [extra])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    start = 0
    for p in parameters:
        p.grad.copy_(flat[start: start + p.numel()].view_as(p))
        start += p.numel()
    return flat[start:]


def groups(student: Student, decay: float) -> list[dict]:
    """Weight decay for matrices and kernels only."""
    plain = [p for p in student.parameters() if p.ndim < 2]
    return [{"params": [p for p in student.parameters() if p.ndim >= 2], "weight_decay": decay},
            {"params": plain, "weight_decay": 0.0}]


def save(path: Path, **state) -> None:
    """Write a checkpoint; the old one stays until the new one is whole."""
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def prepare(args, photos: list[D.Photo], classes: int) -> None:
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


def arguments() -> argparse.Namespace:
    home = Path(__file__).resolve().parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, default=home.parent.parent / "shared" / "data", help="folder of the photos")
    p.add_argument("--work", type=Path, required=True, help="folder for caches and checkpoints, outside the repository")
    p.add_argument("--minutes", type=float, default=100, help="time to train, spread over the schedule")
    p.add_argument("--until", type=float, help="end at this Unix time instead")
    p.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate (AdamW)")
    p.add_argument("--decay", type=float, default=0.05, help="weight decay")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--processes", type=int, default=2, help="one-threaded processes; they share each batch")
    return p.parse_args()


def train(rank: int, args: argparse.Namespace) -> None:
    """One of the processes. Process 0 keeps the clock, the averaged weights and the checkpoint."""
    torch.set_num_threads(1)
    world = args.processes
    dist.init_process_group("gloo", init_method=f"file://{args.work}/rendezvous", rank=rank, world_size=world)
    torch.manual_seed(args.seed)
    photos = D.index(args.data)
    classes = len(D.labels(args.data))
    folder = args.work / "cache"
    cache = D.Cache(folder)
    targets = distil.Targets(folder, cache, torch.load(folder / "head.pt"))
    labels = smoothed(photos, classes)
    views = Views(cache, photos)
    student = Student(classes).to(memory_format=torch.channels_last)
    ema = copy.deepcopy(student)
    parameters = list(student.parameters())
    optimiser = torch.optim.AdamW(groups(student, args.decay), args.rate, betas=(0.9, 0.98), fused=True)
    checkpoint = args.work / "checkpoint.pt"
    step, begun, seen = 0, 0.0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        student.load_state_dict(state["student"])
        ema.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        step, begun, seen = state["step"], state["fraction"], state["seen"]

    def say(text: str) -> None:
        if rank == 0:
            print(time.strftime("%H:%M:%S ") + text, flush=True)

    say(f"step {step}, fraction {begun:.3f}, trunk {sum(p.numel() for p in student.trunk.parameters()) / 1e6:.3f} M")
    dist.broadcast(clock := torch.tensor([time.time()], dtype=torch.float64), 0)
    start = saved = told = tested = clock.item()
    end = args.until or start + args.minutes * 60 * (1 - begun)
    shown: dict[str, float] = {}
    count = 0
    while True:
        now = time.time()
        done = min(1.0, begun + (1 - begun) * (now - start) / max(1.0, end - start))
        dist.broadcast(clock := torch.tensor([now, done], dtype=torch.float64), 0)  # one clock for all
        now, done = clock.tolist()
        if now - saved > 300 or done >= 1:
            if rank == 0:
                save(checkpoint, student=student.state_dict(), ema=ema.state_dict(), optimiser=optimiser.state_dict(),
                     step=step, fraction=done, seen=seen, seed=args.seed)
            saved = now
        if now - tested > 900:
            size = phase(done)[1]
            top1, top5, even = evaluate(ema.trunk, cache, photos, size, every=3)
            say(f"step {step} EMA at {size}: top-1 {top1:.4f} top-5 {top5:.4f} by label {even:.4f} (a third of val)")
            tested = now
        if done >= 1:
            break
        rate = args.rate * min(1.0, (step + 1) / 200) * max(0.01, 1 - done)
        for g in optimiser.param_groups:
            g["lr"] = rate
        rng = np.random.default_rng([args.seed, step, rank])
        batch = views.batch(rng, done, world)
        student.train()
        loss, parts = losses(student, batch, targets, labels, rng, done > PHASES[-2][0])
        optimiser.zero_grad()
        loss.backward()
        numbers = share_gradients(parameters, torch.stack([loss.detach(), *parts.values()]))
        norm = nn.utils.clip_grad_norm_(parameters, 2.0)
        if not math.isfinite(numbers[0].item()):
            raise SystemExit(f"step {step}: loss {numbers.tolist()}")
        optimiser.step()
        # a shorter memory at the end, so that the statistics are those of the final picture size
        average(ema, student, min(0.98 if done > PHASES[-2][0] else 0.998, (step + 1) / (step + 10)))
        step += 1
        count += len(batch[2]) * world
        seen += len(batch[2]) * world
        for name, value in zip(("loss", *parts, "norm"), (*numbers.tolist(), norm.item())):
            shown[name] = 0.95 * shown.get(name, value) + 0.05 * value
        if now - told > 30:
            text = " ".join(f"{n} {v:.3f}" for n, v in shown.items())
            say(f"step {step} size {batch[0].shape[1]} {text} rate {rate:.2e} {count / (now - told):.0f}/s "
                f"views {seen} left {(end - now) / 60:.1f} min")
            told, count = now, 0
    top1, top5, even = evaluate(ema.trunk, cache, photos, FINAL_SIZE)
    say(f"finished: EMA at {FINAL_SIZE}: top-1 {top1:.4f} top-5 {top5:.4f} by label {even:.4f}")
    dist.destroy_process_group()


def main() -> None:
    args = arguments()
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    prepare(args, D.index(args.data), len(D.labels(args.data)))
    (args.work / "rendezvous").unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and so end the processes, which are daemonic
    torch.multiprocessing.spawn(train, (args,), nprocs=args.processes, daemon=True)


if __name__ == "__main__":
    main()
