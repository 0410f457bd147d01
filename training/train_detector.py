"""School the demo's person detector: a narrow Faster R-CNN (faster_rcnn.py) on the frozen demo trunk.

The trunk is that of ``models/demo`` and does not change: its maps are standardised by fixed means and deviations of each
channel, and only pyramid, proposal network and box head learn. The moments go into the first convolutions when the weights
are written, so what is shipped is a plain mmdetection head.

Photos are COCO val2017 with persons; 15 % of them, chosen by a fixed seed, only validate. Half of the views are what the
daemon will see (longer side 320, top left in a square), the others larger or smaller pictures cut to that square; half are
mirrored, all have random colours, and each serves about three steps. Losses are those of the paper: 256 anchors of a
picture (positive from IoU 0.7 or as the best of a person, negative below 0.3) and 128 regions (positive from 0.5),
cross-entropy and L1. AdamW; averaged weights. As in train_demo.py learning rate and end follow the clock, and
one-threaded processes average their gradients.

    python training/train_detector.py --work WORK --minutes 40  # goes on from its checkpoint; then as with --write
    python training/train_detector.py --work WORK --write       # checkpoint -> models/demo, with its precision
"""
from __future__ import annotations

import argparse
import copy
import json
import math
import signal
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from pycocotools.coco import COCO
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou

import data as D
import evaluate as E
import faster_rcnn as R
import res2net
import train_demo as T

SIZE = 320  # the square that the trunk sees, as the demo's other heads
OPTIONS = R.Options(classes=1, fpn_channels=64, rpn_channels=64, fc_channels=192, anchor_scales=(4, 5.66),
                    anchor_ratios=(0.7, 1.4, 2.8), pre_nms=200, proposals=200)
SCHOOL = replace(OPTIONS, pre_nms=400, proposals=256)  # more regions while learning
WHOLE = 0.5  # share of the views that are the daemon's
ZOOM = (0.7, 1.8)  # the others' longer side, in that of the daemon's
VISIBLE = 0.3  # a person of whom a crop shows less is background
ANCHORS, REGIONS = 256, 128  # that a picture's losses are taken of
ECHOES, POOL = 3, 8  # times that a batch is used, among how many: the trunk would be two fifths of the work
PROBE = 64  # photos that tell the means and deviations of the maps


@dataclass(frozen=True)
class Photo:
    """``boxes`` (n, 4) are the persons, x1 y1 x2 y2 in pixels of the photo."""

    path: Path
    image_id: int
    boxes: np.ndarray


def split(coco: COCO, folder: Path, val_share: float = 0.15, seed: int = 2023) -> tuple[list[Photo], list[Photo]]:
    """Photos to train with, photos to validate with."""
    ids = sorted(coco.getImgIds())
    held = set(np.random.default_rng(seed).permutation(len(ids))[: round(val_share * len(ids))].tolist())
    parts: tuple[list[Photo], list[Photo]] = ([], [])
    for i, image in enumerate(ids):
        boxes = np.array([a["bbox"] for a in coco.imgToAnns[image]], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        parts[i in held].append(Photo(folder / coco.imgs[image]["file_name"], image, boxes))
    return parts


def view(rng: np.random.Generator, photo: Photo) -> tuple[np.ndarray, tuple[int, int], Tensor]:
    """(SIZE x SIZE x 3 uint8, valid (height, width), the persons' boxes) of a random view."""
    image = Image.open(photo.path).convert("RGB")
    w, h = image.size
    zoom = 1 if rng.random() < WHOLE else math.exp(rng.uniform(*np.log(ZOOM)))
    scale = zoom * SIZE / max(w, h)
    cut = np.minimum((w, h), SIZE / scale)
    x, y = rng.uniform(0, 1, 2) * ((w, h) - cut)
    vw, vh = (int(np.clip(round(s * scale), 1, SIZE)) for s in cut)
    small = np.asarray(image.resize((vw, vh), Image.BILINEAR, box=(x, y, x + cut[0], y + cut[1])))
    boxes = (photo.boxes - np.array((x, y, x, y))) * np.tile((vw, vh) / cut, 2)
    inside = boxes.clip(0, (vw, vh, vw, vh))
    area, seen = (np.prod(b[:, 2:] - b[:, :2], 1) for b in (boxes, inside))
    boxes = inside[(seen >= VISIBLE * area) & (seen > 4)]
    square = np.zeros((SIZE, SIZE, 3), np.uint8)
    if rng.random() < 0.5:
        small, boxes = small[:, ::-1], np.stack((vw - boxes[:, 2], boxes[:, 1], vw - boxes[:, 0], boxes[:, 3]), 1)
    square[:vh, :vw] = small
    return square, (vh, vw), torch.from_numpy(boxes.astype(np.float32))


class Maps:
    """The frozen trunk: standardised maps of pictures."""

    def __init__(self, file: Path):
        trunk = R.Trunk(res2net.options("demo"))
        weights = {n: t.float() for n, t in load_file(file).items() if not n.startswith("fc.")}
        keys = trunk.load_state_dict(weights, strict=False)
        lost = [n for n in keys.missing_keys if not n.endswith("num_batches_tracked")] + keys.unexpected_keys
        if lost:
            raise SystemExit(f"{file} is not the demo trunk: {', '.join(lost)}")
        self.trunk = trunk.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.moments: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def raw(self, x: Tensor) -> list[Tensor]:
        return list(self.trunk(x.contiguous(memory_format=torch.channels_last)).values())

    def probe(self, photos: list[Photo]) -> None:
        """Measure the moments on the first photos."""
        views = [view(np.random.default_rng(i), p) for i, p in enumerate(photos[:PROBE])]
        maps = [self.raw(D.normalise(torch.from_numpy(v[0])[None], torch.tensor([v[1]]))) for v in views]
        for level in zip(*maps):
            values = torch.cat(level)
            self.moments.append((values.mean((0, 2, 3)), values.std((0, 2, 3)).clamp_min(1e-3)))

    def __call__(self, x: Tensor) -> list[Tensor]:
        return [(m - mean[:, None, None]) / std[:, None, None] for m, (mean, std) in zip(self.raw(x), self.moments)]


def student(options: R.Options) -> R.FasterRCNN:
    """The detector without its trunk, as it starts."""
    model = R.FasterRCNN(res2net.options("demo"), options)
    model.backbone = nn.Identity()
    for m in model.neck.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.xavier_uniform_(m.weight)
    last = model.roi_head.bbox_head
    for m in (model.rpn_head.rpn_cls, model.rpn_head.rpn_reg, last.fc_cls, last.fc_reg):
        nn.init.normal_(m.weight, std=0.01)
    for n, p in model.named_parameters():
        if n.endswith("bias"):
            nn.init.zeros_(p)
    return model.to(memory_format=torch.channels_last)


def encode(boxes: Tensor, truth: Tensor, stds: tuple[float, ...]) -> Tensor:
    """The deltas that ``faster_rcnn.decode`` makes ``truth`` of."""
    size, goal = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    shift = (truth[:, :2] + truth[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / (2 * size)
    return torch.cat((shift, (goal / size).log()), 1) / boxes.new_tensor(stds)


def assign(boxes: Tensor, truth: Tensor, high: float, low: float, rescue: bool) -> tuple[Tensor, Tensor]:
    """(1 positive, 0 negative, -1 neither; the person that a box overlaps most). ``rescue``: a person's best boxes are
    positive already from ``low`` on."""
    if not len(truth):
        return torch.zeros(len(boxes)), torch.zeros(len(boxes), dtype=torch.long)
    iou = box_iou(truth, boxes)
    best, person = iou.max(0)
    kind = torch.where(best >= high, 1.0, torch.where(best < low, 0.0, -1.0))
    if rescue:
        top = iou.max(1, keepdim=True).values
        mine, box = ((iou == top) & (iou >= low)).nonzero().T
        kind[box], person[box] = 1.0, mine
    return kind, person


def sample(kind: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Random indices of positives (at most a ``share``) and of negatives, ``count`` together where there are enough."""
    positive, negative = (kind == 1).nonzero()[:, 0], (kind == 0).nonzero()[:, 0]
    positive = positive[torch.randperm(len(positive))[:int(count * share)]]
    return positive, negative[torch.randperm(len(negative))[:count - len(positive)]]


def losses(model: R.FasterRCNN, maps: list[Tensor], valid: list[tuple[int, int]],
           truths: list[Tensor]) -> dict[str, Tensor]:
    """The four losses, each the mean over the pictures."""
    levels = model.neck(maps)
    outputs = [model.rpn_head(m) for m in levels]
    anchors = model.anchors(levels)
    every = torch.cat(anchors)
    centre = (every[:, :2] + every[:, 2:]) / 2
    sums = dict.fromkeys(("object", "anchor", "class", "box"), 0.0)
    for i, ((h, w), truth) in enumerate(zip(valid, truths)):
        logits, deltas = (torch.cat([o[k][i] for o in outputs]) for k in (0, 1))
        kind, person = assign(every, truth, 0.7, 0.3, True)
        kind[(centre[:, 0] >= w) | (centre[:, 1] >= h)] = -1  # padding
        good, bad = sample(kind, ANCHORS, 0.5)
        both = torch.cat((good, bad))
        sums["object"] += F.binary_cross_entropy_with_logits(logits[both], kind[both])
        goal = encode(every[good], truth[person[good]], R.RPN_STDS)
        sums["anchor"] += (deltas[good] - goal).abs().sum() / ANCHORS

        frame = R.Frame(h, w, h, w)
        with torch.no_grad():
            found = [model.best(a, o[0][i], o[1][i], frame) for a, o in zip(anchors, outputs)]
            boxes = torch.cat((model.suppressed(found).boxes, truth))
            kind, person = assign(boxes, truth, 0.5, 0.5, False)
            good, bad = sample(kind, REGIONS, 0.25)
            both = torch.cat((good, bad))
        regions = model.regions([m[i:i + 1] for m in levels], boxes[both], model.options.roi_size)
        scores, deltas = model.roi_head.bbox_head(regions)
        sums["class"] += F.cross_entropy(scores, 1 - kind[both].long())  # the background is the last class
        goal = encode(boxes[good], truth[person[good]], R.BOX_STDS[0])
        sums["box"] += (deltas[:len(good)] - goal).abs().sum() / REGIONS
    return {n: s / len(valid) for n, s in sums.items()}


def fresh(rng: np.random.Generator, photos: list[Photo], maps: Maps, count: int) -> tuple:
    """Maps, valid sizes and persons of random views of random photos."""
    chosen = rng.choice(len(photos), count, replace=False)
    squares, valid, truths = zip(*(view(rng, photos[i]) for i in chosen))
    pixels = D.colour(torch.from_numpy(np.stack(squares)), torch.Generator().manual_seed(int(rng.integers(2**62))))
    return maps(D.normalise(pixels, torch.tensor(valid))), valid, truths


def shipped(state: dict[str, Tensor], moments: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The weights for maps that nobody standardised, in F16."""
    state = dict(state)
    for i, (mean, std) in enumerate(moments):
        name = f"neck.lateral_convs.{i}.conv"
        weight = state[f"{name}.weight"] / std[None, :, None, None]
        state[f"{name}.bias"] = state[f"{name}.bias"] - (weight * mean[None, :, None, None]).sum((1, 2, 3))
        state[f"{name}.weight"] = weight
    return {n: t.half().contiguous() for n, t in state.items()}


class Daemon:
    """What the daemon computes, in PyTorch: shipped weights on the demo trunk."""

    def __init__(self, maps: Maps, weights: dict[str, Tensor]):
        self.maps, self.model = maps, student(OPTIONS).eval()
        self.model.load_state_dict({n: t.float() for n, t in weights.items()})

    @torch.no_grad()
    def __call__(self, path: Path) -> R.Detections:
        image = Image.open(path).convert("RGB")
        square, (h, w) = D.letterbox(image, SIZE)
        x = D.normalise(torch.from_numpy(square)[None], torch.tensor([(h, w)]))
        levels, frame = self.model.neck(self.maps.raw(x)), R.Frame(h, w, image.height, image.width)
        return self.model.detect(levels, self.model.proposals(levels, frame).boxes, frame)


def measure(detect: Daemon, coco: COCO, photos: list[Photo]) -> tuple[float, float]:
    """(AP, AP50) on photos."""
    found = []
    for p in photos:
        d = detect(p.path)
        found += [{"image_id": p.image_id, "category_id": 1, "score": s, "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]]}
                  for s, b in zip(d.scores.tolist(), d.boxes.tolist())]
    table = E.average_precision(coco, found, [p.image_id for p in photos], [1])
    return float(table[0]), float(table[1])


def arguments() -> argparse.Namespace:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, default=home.parent / "shared" / "data", help="folder of the photos")
    p.add_argument("--work", type=Path, required=True, help="folder of checkpoint and validation list, outside the repository")
    p.add_argument("--model", type=Path, default=home / "models" / "demo", help="has the trunk, gets detect.safetensors")
    p.add_argument("--minutes", type=float, default=40, help="time to train, spread over the schedule")
    p.add_argument("--rate", type=float, default=1e-3, help="peak learning rate (AdamW)")
    p.add_argument("--decay", type=float, default=0.05, help="weight decay")
    p.add_argument("--batch", type=int, default=4, help="views of a process in a step")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--processes", type=int, default=2, help="one-threaded processes")
    p.add_argument("--write", action="store_true", help="train no more: write the weights and measure them")
    return p.parse_args()


def train(rank: int, args: argparse.Namespace) -> None:
    """One of the processes. Process 0 keeps the clock, the averaged weights and the checkpoint."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{args.work}/rendezvous", rank=rank, world_size=args.processes)
    torch.manual_seed(args.seed)
    coco = COCO(args.data / "people" / "annotations.json")
    photos, held = split(coco, args.data / "people" / "images")
    maps, model = Maps(args.model / "trunk.safetensors"), student(SCHOOL)
    ema, parameters = copy.deepcopy(model), list(model.parameters())
    optimiser = torch.optim.AdamW(T.groups(model, args.decay), args.rate, fused=True)
    step, begun, checkpoint = 0, 0.0, args.work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        step, begun, maps.moments = state["step"], state["fraction"], state["moments"]
    else:
        maps.probe(photos)
    torch.manual_seed(args.seed * 1000 + step * args.processes + rank)
    start = told = saved = time.time()
    shown: dict[str, float] = {}
    pool: list[tuple] = []
    while begun < 1:
        now = time.time()
        done = min(1.0, begun + (now - start) / (60 * args.minutes))
        dist.broadcast(clock := torch.tensor([now, done], dtype=torch.float64), 0)  # one clock for all
        now, done = clock.tolist()
        if now - saved > 420 or done >= 1:
            if rank == 0:
                T.save(checkpoint, model=model.state_dict(), ema=ema.state_dict(), optimiser=optimiser.state_dict(),
                       step=step, fraction=done, moments=maps.moments, seed=args.seed)
                ap, ap50 = measure(Daemon(maps, shipped(ema.state_dict(), maps.moments)), coco, held[:60])
                print(f"step {step}: AP {ap:.3f} AP50 {ap50:.3f} of 60 validation photos", flush=True)
            saved = now
        if done >= 1:
            break
        for g in optimiser.param_groups:
            g["lr"] = args.rate * min(1.0, (step + 1) / 100) * max(0.01, 1 - done)
        rng = np.random.default_rng([args.seed, step, rank])
        if step % ECHOES == 0 or not pool:
            pool = [*pool[1 - POOL:], fresh(rng, photos, maps, args.batch)]
        parts = losses(model, *pool[-1 if step % ECHOES == 0 else rng.integers(len(pool))])
        optimiser.zero_grad()
        sum(parts.values()).backward()
        numbers = T.share_gradients(parameters, torch.stack([v.detach() for v in parts.values()]))
        norm = nn.utils.clip_grad_norm_(parameters, 5.0)
        if not math.isfinite(norm.item()):
            raise SystemExit(f"step {step}: losses {numbers.tolist()}")
        optimiser.step()
        T.average(ema, model, min(0.998, (step + 1) / (step + 10)))
        step += 1
        for name, value in zip((*parts, "norm"), (*numbers.tolist(), norm.item())):
            shown[name] = 0.95 * shown.get(name, value) + 0.05 * value
        if rank == 0 and now - told > 30:
            print(f"step {step} " + " ".join(f"{n} {v:.3f}" for n, v in shown.items()) +
                  f", {(1 - done) * args.minutes:.1f} min left", flush=True)
            told = now
    dist.destroy_process_group()


def describe(file: Path) -> None:
    """Put the head into model.json, with the input of the classifier: they share a pass of the trunk."""
    model, o = json.loads(file.read_text()), asdict(OPTIONS)
    same = ("taps", "fpn_channels", "rpn_channels", "fc_channels", "anchor_scales", "anchor_ratios", "pre_nms",
            "proposals", "rpn_nms", "score_threshold", "nms", "max")
    model["heads"]["detect"] = {
        "type": "faster_rcnn", "weights": "detect.safetensors", "labels": "persons.txt",
        "input": model["heads"]["classify"]["input"], **{k: o[k] for k in same},
        "extra_levels": len(OPTIONS.anchor_strides) - len(OPTIONS.taps)}
    file.write_text(json.dumps(model, indent=2) + "\n")


def write(args: argparse.Namespace) -> None:
    """Checkpoint -> the head in the model, and a list of the validation photos in the work folder; prints the precision."""
    coco = COCO(args.data / "people" / "annotations.json")
    _, held = split(coco, args.data / "people" / "images")
    state = torch.load(args.work / "checkpoint.pt")
    file = args.model / "detect.safetensors"
    save_file(shipped(state["ema"], state["moments"]), file, metadata={
        "format": "pt", "source": "training/train_detector.py", "step": str(state["step"])})
    file.chmod(0o644)  # safetensors makes it private
    (args.model / "persons.txt").write_text("person\n")
    describe(args.model / "model.json")
    ids = {p.image_id for p in held}
    (args.work / "val.json").write_text(json.dumps({
        "categories": coco.dataset["categories"], "images": [i for i in coco.dataset["images"] if i["id"] in ids],
        "annotations": [a for a in coco.dataset["annotations"] if a["image_id"] in ids]}))
    torch.set_num_threads(args.processes)
    ap, ap50 = measure(Daemon(Maps(args.model / "trunk.safetensors"), load_file(file)), coco, held)
    print(f"{file}: step {state['step']}, AP {ap:.4f} AP50 {ap50:.4f} of {len(held)} validation photos")


def main() -> None:
    args = arguments()
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    if not args.write:
        (args.work / "rendezvous").unlink(missing_ok=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and so end the processes, which are daemonic
        torch.multiprocessing.spawn(train, (args,), nprocs=args.processes, daemon=True)
    write(args)


if __name__ == "__main__":
    main()
