"""School the demo's keypoints: a narrow head ``roi_keypoints`` (roi_keypoints.py) on the frozen demo trunk.

The trunk is that of ``models/demo`` and does not change; its maps are standardised by fixed means and deviations of each
channel, which go into the first layers when the weights are written. Photos are COCO val2017 with persons; the 15 % that
train_detector.py holds back only validate here, too. Persons without any labelled joint are left out.

A photo has three views: what the daemon sees (longer side 320, top left in a square), that mirrored, and a random zoom or
cut of it that may be mirrored. Mirrored and cut views have random colours. The trunk looks at each once: maps are kept on
disk in steps of 1/16 deviation, a byte each, and most steps read them there. Every step cuts regions around true boxes
that were moved and stretched at random.

The loss of a labelled joint is the squared error to a Gaussian with 1 in the joint's cell, which makes values scores, plus
the divergence of softmax(10 x map) from the same Gaussian, which learns faster where it is. AdamW; averaged weights;
learning rate and end follow the clock.

    python training/train_keypoints.py --work WORK --minutes 20  # goes on from its checkpoint; then as with --write
    python training/train_keypoints.py --work WORK --write       # checkpoint -> models/demo, with its accuracy
"""
from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

import data as D
import roi_keypoints as K
import train_detector as TD
import train_demo as T

SIZE = TD.SIZE  # the heads share one pass of the trunk
TAPS = ("c2", "c3", "c4", "c5")
WIDTHS, STRIDES = (128, 256, 512, 1024), (4, 8, 16, 32)  # of the demo trunk's stages
OPTIONS = {"channels": 64, "bins": 24, "convs": 4}
PADDING = 1.25  # of boxes, as the head's default
VIEWS = 3
ZOOM = (0.7, 2.0)  # longer side of the third view, in that of the daemon's
VISIBLE = 0.5  # a person of whom a cut shows less is left out
MOST = 6  # persons of a photo in a step
SIGMA, SHARPNESS, DIVERGENCE = 1.2, 10.0, 0.3  # cells; of the softmax; its weight in the loss
ECHOES = 4  # one step of as many has views in their order, the others any of those that are kept: the trunk costs most
STEPS = 16  # of kept maps in a deviation
NEAR = 0.1  # right joints are as near, in longer sides of the box


@dataclass(frozen=True)
class Photo(TD.Photo):
    """Of ``size`` (width, height), with the ``joints`` (n, 17, 3) of the persons: x y visibility (0: not labelled)."""

    size: tuple[int, int]
    joints: np.ndarray


@dataclass(frozen=True)
class View:
    """The part ``x, y, w, h`` of a photo as a picture of ``size`` (width, height)."""

    part: np.ndarray
    size: tuple[int, int]
    mirrored: bool
    colour: int  # seed of the colours, 0: as they are


def split(coco: COCO, folder: Path) -> tuple[list[Photo], list[Photo]]:
    """Photos with joints to train with, to validate with: the split of train_detector.py."""
    parts = []
    for part in TD.split(coco, folder):
        photos = []
        for p in part:
            persons = [a for a in coco.imgToAnns[p.image_id] if a["num_keypoints"]]
            boxes = np.array([a["bbox"] for a in persons], np.float32).reshape(-1, 4)
            boxes[:, 2:] += boxes[:, :2]
            image, joints = coco.imgs[p.image_id], np.array([a["keypoints"] for a in persons], np.float32)
            photos.append(Photo(p.path, p.image_id, boxes, (image["width"], image["height"]), joints.reshape(-1, 17, 3)))
        parts.append([p for p in photos if len(p.boxes)])
    return parts[0], parts[1]


def view_of(photo: Photo, rng: np.random.Generator, kind: int) -> View:
    """View 0, 1 or 2."""
    size = np.array(photo.size, np.float64)
    zoom = math.exp(rng.uniform(*np.log(ZOOM))) if kind == 2 else 1.0
    scale = zoom * SIZE / size.max()
    cut = np.minimum(size, SIZE / scale)
    corner = rng.uniform(0, 1, 2) * (size - cut)
    w, h = (int(np.clip(round(s * scale), 1, SIZE)) for s in cut)
    mirrored = kind == 1 or (kind == 2 and bool(rng.random() < 0.5))
    return View(np.concatenate((corner, cut)), (w, h), mirrored, int(rng.integers(1, 2**62)) if kind else 0)


def pixels(photo: Photo, view: View) -> Tensor:
    """The network's input (1, 3, SIZE, SIZE)."""
    x, y, w, h = view.part
    small = np.asarray(Image.open(photo.path).convert("RGB").resize(view.size, Image.BILINEAR, box=(x, y, x + w, y + h)))
    square = np.zeros((SIZE, SIZE, 3), np.uint8)
    square[: view.size[1], : view.size[0]] = small[:, ::-1] if view.mirrored else small
    batch, dice = torch.from_numpy(square)[None], torch.Generator().manual_seed(view.colour)
    batch = D.colour(batch, dice) if view.colour else batch
    return D.normalise(batch, torch.tensor([view.size[::-1]]))


def persons(photo: Photo, view: View, mirror: list[int]) -> tuple[Tensor, Tensor]:
    """Boxes and joints of the persons that a view shows, in its pixels."""
    scale, size = view.size / view.part[2:], np.array(view.size)
    boxes = (photo.boxes - np.tile(view.part[:2], 2)) * np.tile(scale, 2)
    joints = photo.joints.copy()
    joints[..., :2] = (joints[..., :2] - view.part[:2]) * scale
    joints[((joints[..., :2] < 0) | (joints[..., :2] > size)).any(-1), 2] = 0
    inside = boxes.clip(0, np.tile(size, 2))
    area, seen = (np.prod(b[:, 2:] - b[:, :2], 1) for b in (boxes, inside))
    if view.mirrored:
        inside = np.stack((size[0] - inside[:, 2], inside[:, 1], size[0] - inside[:, 0], inside[:, 3]), 1)
        joints = joints[:, mirror]
        joints[..., 0] = size[0] - joints[..., 0]
    keep = (seen >= VISIBLE * area) & (seen > 16) & (joints[..., 2] > 0).any(1)
    return torch.from_numpy(inside[keep].astype(np.float32)), torch.from_numpy(joints[keep].astype(np.float32))


class Kept:
    """The trunk's maps of the views, kept on disk when first asked for."""

    def __init__(self, folder: Path, photos: list[Photo], maps: TD.Maps, mirror: list[int]):
        self.photos, self.maps, self.mirror = photos, maps, mirror
        self.shapes = [(c, SIZE // s, SIZE // s) for c, s in zip(WIDTHS, STRIDES)]
        lengths = [math.prod(s) for s in self.shapes]
        file, shape = folder / "maps.u8", (len(photos) * VIEWS, sum(lengths) + 1)  # the last byte: 1 where there are any
        self.rows = np.memmap(file, np.uint8, "r+" if file.exists() else "w+", shape=shape)
        ends = np.cumsum(lengths).tolist()
        self.spans = list(zip([0, *ends], ends))
        self.known = np.flatnonzero(self.rows[:, -1]).tolist()

    def next(self, seen: int, count: int) -> list[int]:
        """Views ``seen`` and following of an endless order, in each round another view of every photo."""
        rounds = [divmod(k, len(self.photos)) for k in range(seen, seen + count)]
        return [i * VIEWS + (i + r) % VIEWS for i, r in
                ((int(np.random.default_rng([7, r]).permutation(len(self.photos))[at]), r) for r, at in rounds)]

    def __call__(self, at: int) -> tuple[list[Tensor], Tensor, Tensor]:
        """Standardised maps, boxes and joints of a view."""
        i, kind = divmod(int(at), VIEWS)
        view = view_of(self.photos[i], np.random.default_rng([7, i, kind]), kind)
        row = self.rows[at]
        if not row[-1]:
            raw = self.maps.raw(pixels(self.photos[i], view))
            for (start, end), level, (_, std) in zip(self.spans, raw, self.maps.moments):
                steps = (level[0] / std[:, None, None] * STEPS).round().clamp(0, 255)
                row[start:end] = steps.permute(1, 2, 0).reshape(-1).byte().numpy()
            row[-1] = 1
            self.known.append(at)
        levels = []
        for (start, end), (c, h, w), (mean, std) in zip(self.spans, self.shapes, self.maps.moments):
            steps = torch.from_numpy(np.array(row[start:end])).view(h, w, c).permute(2, 0, 1)
            levels.append(steps.float() / STEPS - (mean / std)[:, None, None])
        return levels, *persons(self.photos[i], view, self.mirror)


def student() -> K.KeypointHead:
    """The head as it starts."""
    model = K.KeypointHead(WIDTHS, **OPTIONS)
    for name, m in model.named_modules():
        if isinstance(m, nn.Conv2d):
            nn.init.zeros_(m.bias)
            if name.startswith("lateral"):
                nn.init.normal_(m.weight, std=(2 * m.in_channels) ** -0.5)
            else:
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
    nn.init.normal_(model.maps.weight, std=0.01)
    return model.to(memory_format=torch.channels_last)


def jittered(boxes: Tensor, rng: np.random.Generator) -> Tensor:
    """Regions of boxes as a detector might give them."""
    noise = torch.from_numpy(rng.standard_normal((2, len(boxes), 2)).astype(np.float32))
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    middle, side = middle + 0.06 * noise[0] * side, side * (0.12 * noise[1]).exp()
    return K.grow(torch.cat((middle - side / 2, middle + side / 2), 1), PADDING)


def loss(maps: Tensor, regions: Tensor, joints: Tensor) -> Tensor:
    """Mean over the labelled joints within the regions; maps (n, 17, bins, bins)."""
    bins = maps.shape[-1]
    cells = (joints[..., :2] - regions[:, None, :2]) / (regions[:, None, 2:] - regions[:, None, :2]) * bins - 0.5
    labelled = (joints[..., 2] > 0) & (cells > -0.5).all(-1) & (cells < bins - 0.5).all(-1)
    middle = torch.arange(bins, dtype=torch.float32)
    x, y = (torch.exp(-((middle - cells[..., k, None]) ** 2) / (2 * SIGMA**2)) for k in (0, 1))
    target = (y[..., :, None] * x[..., None, :])[labelled].flatten(1)
    maps = maps[labelled].flatten(1)
    square = ((maps - target) ** 2).sum(1).mean() / (math.pi * SIGMA**2)  # 1: a map of zeros
    share = target / target.sum(1, keepdim=True)
    return square + DIVERGENCE * F.kl_div(F.log_softmax(SHARPNESS * maps, 1), share, reduction="none").sum(1).mean()


def points(maps: Tensor, regions: Tensor) -> Tensor:
    """Joints (n, 17, 3: x y score) as the daemon reads maps: the hottest cell, a quarter towards the warmer neighbour."""
    bins, flat = maps.shape[-1], maps.flatten(2)
    score, cell = flat.max(2)
    at = torch.stack((cell % bins, cell // bins), -1)
    inner = ((at > 1) & (at + 1 < bins)).all(-1, keepdim=True)
    sides = cell[..., None] + torch.tensor((1, -1, bins, -bins))
    near = flat.gather(2, sides.clamp(0, bins * bins - 1))
    at = at + 0.25 * (near[..., ::2] - near[..., 1::2]).sign() * inner
    at = regions[:, None, :2] + (at + 0.5) * (regions[:, 2:] - regions[:, :2])[:, None] / bins
    return torch.cat((at, score[..., None]), -1)


@torch.no_grad()
def measure(weights: dict[str, Tensor], maps: TD.Maps, photos: list[Photo], mirror: list[int]) -> float:
    """PCK of shipped weights on photos, with true boxes."""
    head, right, count = student(), 0, 0
    head.load_state_dict({n.removeprefix("keypoints."): t.float() for n, t in weights.items()})
    for photo in photos:
        view = view_of(photo, np.random.default_rng(0), 0)
        boxes, joints = persons(photo, view, mirror)
        regions = K.grow(boxes, PADDING)
        found = points(head(head.features(maps.raw(pixels(photo, view))), [regions]), regions)
        far = (found[..., :2] - joints[..., :2]).norm(dim=-1) / (boxes[:, 2:] - boxes[:, :2]).max(1).values[:, None]
        right += int((far <= NEAR)[joints[..., 2] > 0].sum())
        count += int((joints[..., 2] > 0).sum())
    return right / count


def shipped(state: dict[str, Tensor], moments: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The weights for maps that nobody standardised, in F16."""
    state = dict(state)
    for i, (mean, std) in enumerate(moments):
        weight = state[f"lateral.{i}.weight"] / std[None, :, None, None]
        state[f"lateral.{i}.bias"] = state[f"lateral.{i}.bias"] - (weight * mean[None, :, None, None]).sum((1, 2, 3))
        state[f"lateral.{i}.weight"] = weight
    return {f"keypoints.{n}": t.half().contiguous() for n, t in state.items()}


def train(args: argparse.Namespace, photos: list[Photo], held: list[Photo], mirror: list[int]) -> None:
    torch.manual_seed(args.seed)
    maps, model = TD.Maps(args.model / "trunk.safetensors"), student()
    ema = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(T.groups(model, args.decay), args.rate)
    step, seen, begun, checkpoint = 0, 0, 0.0, args.work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        step, seen, begun, maps.moments = state["step"], state["seen"], state["fraction"], state["moments"]
    else:
        maps.probe(photos)
    kept = Kept(args.work, photos, maps, mirror)
    start = told = saved = time.time()
    shown = 0.0
    while begun < 1:
        now = time.time()
        done = min(1.0, begun + (now - start) / (60 * args.minutes))
        if now - saved > 240 or done >= 1:
            T.save(checkpoint, model=model.state_dict(), ema=ema.state_dict(), optimiser=optimiser.state_dict(),
                   step=step, seen=seen, fraction=done, moments=maps.moments, seed=args.seed)
            pck = measure(shipped(ema.state_dict(), maps.moments), maps, held[:40], mirror)
            print(f"step {step}: PCK {pck:.3f} of 40 validation photos", flush=True)
            saved = now
        if done >= 1:
            break
        for g in optimiser.param_groups:
            g["lr"] = args.rate * min(1.0, (step + 1) / 50) * max(0.01, 1 - done)
        rng = np.random.default_rng([args.seed, step])
        levels, regions, truths = [], [], []
        fresh = step % ECHOES == 0 or not kept.known
        for row in kept.next(seen, args.batch) if fresh else rng.choice(kept.known, args.batch):
            level, boxes, joints = kept(row)
            some = rng.permutation(len(boxes))[:MOST]
            levels.append(level)
            regions.append(jittered(boxes[some], rng))
            truths.append(joints[some])
        seen += args.batch * fresh
        batch = tuple(torch.stack(x).contiguous(memory_format=torch.channels_last) for x in zip(*levels))
        value = loss(model(model.features(batch), regions), torch.cat(regions), torch.cat(truths))
        optimiser.zero_grad()
        value.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        if not math.isfinite(norm.item()):
            raise SystemExit(f"step {step}: loss {value.item()}")
        optimiser.step()
        T.average(ema, model, min(0.995, (step + 1) / (step + 10)))
        step += 1
        shown = 0.95 * shown + 0.05 * value.item() if shown else value.item()
        if now - told > 30:
            print(f"step {step}, {seen} views: loss {shown:.3f}, "
                  f"{(1 - done) * args.minutes:.1f} min left", flush=True)
            told = now


def describe(file: Path) -> None:
    """Put the head into model.json, with the input of the classifier: they share a pass of the trunk."""
    model = json.loads(file.read_text())
    model["heads"]["keypoints"] = {"type": "roi_keypoints", "weights": "keypoints.safetensors",
                                   "input": model["heads"]["classify"]["input"], "needs": "detect",
                                   "padding": PADDING, "taps": list(TAPS), **OPTIONS}
    file.write_text(json.dumps(model, indent=2) + "\n")


def write(args: argparse.Namespace, held: list[Photo], mirror: list[int]) -> None:
    """Checkpoint -> the head in the model; prints its accuracy."""
    state = torch.load(args.work / "checkpoint.pt")
    file = args.model / "keypoints.safetensors"
    save_file(shipped(state["ema"], state["moments"]), file, metadata={
        "format": "pt", "source": "training/train_keypoints.py", "step": str(state["step"])})
    file.chmod(0o644)  # safetensors makes it private
    describe(args.model / "model.json")
    pck = measure(load_file(file), TD.Maps(args.model / "trunk.safetensors"), held, mirror)
    print(f"{file}: step {state['step']}, {state['seen']} views, PCK {pck:.4f} of {len(held)} validation photos")


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, default=home.parent / "shared" / "data", help="folder of the photos")
    p.add_argument("--work", type=Path, required=True, help="folder of checkpoint and maps (8 GB), outside the repository")
    p.add_argument("--model", type=Path, default=home / "models" / "demo", help="has the trunk, gets keypoints.safetensors")
    p.add_argument("--minutes", type=float, default=20, help="time to train, spread over the schedule")
    p.add_argument("--rate", type=float, default=2e-3, help="peak learning rate (AdamW)")
    p.add_argument("--decay", type=float, default=0.05, help="weight decay")
    p.add_argument("--batch", type=int, default=8, help="views in a step")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--write", action="store_true", help="train no more: write the weights and measure them")
    args = p.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    coco = COCO(args.data / "people" / "annotations.json")
    names = coco.dataset["categories"][0]["keypoints"]
    swap = {"left": "right", "right": "left"}
    mirror = [names.index("_".join(swap.get(w, w) for w in n.split("_"))) for n in names]
    photos, held = split(coco, args.data / "people" / "images")
    print(f"{len(photos)} photos with {sum(len(p.boxes) for p in photos)} persons to train with, "
          f"{len(held)} with {sum(len(p.boxes) for p in held)} to validate with")
    if not args.write:
        train(args, photos, held, mirror)
    write(args, held, mirror)


if __name__ == "__main__":
    main()
