"""School the demo's person segmenter: a narrow DeepLabv3+ head (deeplab.py) on the frozen demo trunk.

The trunk is that of ``models/demo`` and does not change, so it sees every view once: its taps c3 and c5 are kept in half
precision, and the head learns from those. Of each photo there are VIEWS views: WHOLE of them have the size that the daemon
will see (longer side 320, top left in a square), the others are larger or smaller pictures cut to that square; half are
mirrored, all have random colours.

Photos: the masked ones of COCO val2017 (one person each), Clothing Co-Parsing (passers-by are background there, wrongly, so
these count less), Penn-Fudan, portraits; SHARES says how often each source is drawn. 15 % of each source, chosen by a fixed
seed, only validate. The loss is cross-entropy plus a soft Dice term of the batch, at half the input's resolution, against
the share of a 2 x 2 cell that is person; padding does not count. AdamW with averaged weights, one thread, bf16; learning
rate and end follow the clock.

    python training/train_segmenter.py --work WORK --minutes 18  # goes on from its checkpoint; then as with --write
    python training/train_segmenter.py --work WORK --write       # checkpoint -> models/demo
    python training/evaluate.py --url URL/segment --folder WORK/val  # the photos that it did not learn from
"""
from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

import data as D
import deeplab
import res2net
import train_demo as T
from train_detector import Maps

SIZE = 320  # the square that the trunk sees, as the demo's other heads
CELLS = SIZE // 2  # side of the targets
OPTIONS = deeplab.Options(classes=2, rates=(1, 3, 6, 9), channels=64, fuse_kernel=1, low_tap=3, low_channels=32)
LABELS = ("background", "person")
SHARES = {"coco": 0.5, "ccp": 0.25, "penn": 0.15, "hs": 0.1}
VIEWS = 2  # of each photo
WHOLE = 0.6  # share of the views that are the daemon's
ZOOM = (0.7, 1.8)  # the others' longer side, in that of the daemon's
IGNORED = 255


@dataclass(frozen=True)
class Photo:
    """``mask`` is a file, or the annotation of a COCO photo."""

    path: Path
    mask: Path | dict
    source: str

    def image(self) -> Image.Image:
        return Image.open(self.path).convert("RGB")


def photos(data: Path, val_share: float = 0.15, seed: int = 2023) -> tuple[list[Photo], list[Photo], COCO]:
    """Photos to train with, photos to validate with, and the annotations, which tell the masks of some."""
    folder, people = data / "masks", data / "people"
    coco = COCO(people / "annotations.json")
    found = [Photo(folder / "images" / e["image"], folder / "masks" / e["mask"],
                   next((s for s in ("ccp", "hs") if e["image"].startswith(s)), "penn"))
             for e in json.loads((folder / "index.json").read_text())]
    found += [Photo(people / "images" / i["file_name"], coco.imgToAnns[i["id"]][0], "coco")
              for i in coco.imgs.values() if i.get("has_masks")]
    parts: tuple[list[Photo], list[Photo]] = ([], [])
    for number, source in enumerate(sorted(SHARES)):
        mine = sorted((p for p in found if p.source == source), key=lambda p: p.path.name)
        held = set(np.random.default_rng([seed, number]).permutation(len(mine))[: round(val_share * len(mine))].tolist())
        for i, p in enumerate(mine):
            parts[i in held].append(p)
    return *parts, coco


def mask_of(photo: Photo, coco: COCO) -> np.ndarray:
    """1 where a person is, 0 elsewhere."""
    if isinstance(photo.mask, dict):
        return coco.annToMask(photo.mask)
    return (np.asarray(Image.open(photo.mask)) > 0).astype(np.uint8)


def view(photo: Photo, coco: COCO, rng: np.random.Generator | None) -> tuple[np.ndarray, tuple[int, int], np.ndarray]:
    """(SIZE x SIZE x 3 uint8, valid (height, width), target: how many of a cell's four pixels are person, or IGNORED) of
    a random view, or of what the daemon sees."""
    image, mask = photo.image(), Image.fromarray(mask_of(photo, coco) * 255)
    w, h = image.size
    scale = SIZE / max(w, h) * (math.exp(rng.uniform(*np.log(ZOOM))) if rng and rng.random() > WHOLE else 1)
    cut = np.minimum((w, h), SIZE / scale)
    x, y = (rng.uniform(0, 1, 2) if rng else 0) * ((w, h) - cut)
    vw, vh = (int(np.clip(round(s * scale), 1, SIZE)) for s in cut)
    flip = -1 if rng and rng.random() < 0.5 else 1
    square, truth = np.zeros((SIZE, SIZE, 3), np.uint8), np.full((SIZE, SIZE), IGNORED)
    for out, whole in ((square, image), (truth, mask)):
        out[:vh, :vw] = np.asarray(whole.resize((vw, vh), Image.BILINEAR, box=(x, y, x + cut[0], y + cut[1])))[:, ::flip]
    truth[:vh, :vw] = truth[:vh, :vw] >= 128
    cells = truth.reshape(CELLS, 2, CELLS, 2).sum((1, 3))
    return square, (vh, vw), np.where(cells > 4, IGNORED, cells).astype(np.uint8)


class Taps:
    """What the trunk makes of one view of each photo, and the targets: mapped files, filled as photos are asked for."""

    def __init__(self, folder: Path, trunk: nn.Module, part: list[Photo], coco: COCO, number: int | None):
        """``number`` tells the passes over the photos apart; None for what the daemon sees."""
        self.trunk, self.part, self.coco, self.number = trunk, part, coco, number
        folder.mkdir(exist_ok=True)
        planes = res2net.options("demo")["planes"]
        forms = {f"c{s}": (np.float16, (planes[s - 2] * res2net.EXPANSION, SIZE >> s, SIZE >> s)) for s in (3, 5)}
        forms |= {"target": (np.uint8, (CELLS, CELLS)), "there": (np.uint8, ())}
        self.files = {}
        for name, (kind, shape) in forms.items():
            file = folder / f"{name}.npy"
            self.files[name] = np.lib.format.open_memmap(file, "r+" if file.exists() else "w+", kind, (len(part), *shape))
        if len(self.files["there"]) != len(part):
            raise SystemExit(f"{folder} was made from other photos: {len(self.files['there'])} there, {len(part)} wanted")

    @torch.no_grad()
    def fill(self, rows: np.ndarray) -> None:
        rng = np.random.default_rng([self.number or 0, *rows.tolist()])
        squares, valid, targets = map(np.stack, zip(*(
            view(self.part[i], self.coco, None if self.number is None else rng) for i in rows)))
        pixels = torch.from_numpy(squares)
        if self.number is not None:
            pixels = D.colour(pixels, torch.Generator().manual_seed(int(rng.integers(2**62))))
        with torch.autocast("cpu", torch.bfloat16):
            taps = self.trunk(D.normalise(pixels, torch.from_numpy(valid)).contiguous(memory_format=torch.channels_last))
        for name in ("c3", "c5"):
            self.files[name][rows] = taps[name].half().numpy()
        self.files["target"][rows] = targets
        self.files["there"][rows] = 1

    def batch(self, rows: np.ndarray) -> tuple[dict[str, Tensor], Tensor]:
        missing = rows[self.files["there"][rows] == 0]
        if len(missing):
            self.fill(missing)
        taps = {n: torch.from_numpy(self.files[n][rows]).float().contiguous(memory_format=torch.channels_last)
                for n in ("c3", "c5")}
        return taps, torch.from_numpy(self.files["target"][rows])


def logit(head: nn.Module, taps: dict[str, Tensor]) -> Tensor:
    """Person against background, at the targets' resolution."""
    with torch.autocast("cpu", torch.bfloat16):
        two = head(taps).float()
    return F.interpolate(two[:, 1:] - two[:, :1], (CELLS, CELLS), mode="bilinear", align_corners=False)[:, 0]


def losses(z: Tensor, target: Tensor) -> dict[str, Tensor]:
    seen = target != IGNORED
    z, share = z[seen], target[seen].float() / 4
    p = z.sigmoid()
    return {"entropy": F.binary_cross_entropy_with_logits(z, share),
            "dice": 1 - (2 * (p * share).sum() + 1) / (p.sum() + share.sum() + 1)}


@torch.no_grad()
def measure(head: nn.Module, taps: Taps) -> float:
    """IoU of the person over all validation pixels of the cache, about what the daemon will have."""
    head.eval()
    both = either = 0
    for i in range(0, len(taps.part), 16):
        x, target = taps.batch(np.arange(i, min(i + 16, len(taps.part))))
        found, truth, seen = logit(head, x) > 0, target >= 2, target != IGNORED
        both += (found & truth & seen).sum().item()
        either += ((found | truth) & seen).sum().item()
    return both / either


def student() -> nn.Module:
    return deeplab.DecodeHead(res2net.options("demo")["planes"], OPTIONS).to(memory_format=torch.channels_last)


def train(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    part, held, coco = photos(args.data)
    trunk = Maps(args.model / "trunk.safetensors").trunk
    check = Taps(args.work / "val-taps", trunk, held, coco, None)
    views = [Taps(args.work / f"train-{k}", trunk, part, coco, k) for k in range(VIEWS)]
    counts = {s: sum(p.source == s for p in part) for s in SHARES}
    weight = np.array([SHARES[p.source] / counts[p.source] for p in part])
    head = student()
    ema = copy.deepcopy(head)
    optimiser = torch.optim.AdamW(T.groups(head, args.decay), args.rate, fused=True)
    step, begun, checkpoint = 0, 0.0, args.work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        head.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        step, begun = state["step"], state["fraction"]
    start = told = saved = time.time()
    shown: dict[str, float] = {}
    while begun < 1:
        now = time.time()
        done = min(1.0, begun + (now - start) / (60 * args.minutes))
        if now - saved > 240 or done >= 1:
            T.save(checkpoint, model=head.state_dict(), ema=ema.state_dict(), optimiser=optimiser.state_dict(),
                   step=step, fraction=done, seed=args.seed)
            print(f"step {step}: person IoU {measure(ema, check):.3f} of {len(held)} validation photos", flush=True)
            saved = now
        if done >= 1:
            break
        for g in optimiser.param_groups:
            g["lr"] = args.rate * min(1.0, (step + 1) / 50) * max(0.01, 1 - done)
        rng = np.random.default_rng([args.seed, step])
        rows = rng.choice(len(part), args.batch, replace=False, p=weight)
        taps, target = views[rng.integers(VIEWS)].batch(np.sort(rows))
        head.train()
        parts = losses(logit(head, taps), target)
        optimiser.zero_grad()
        sum(parts.values()).backward()
        norm = nn.utils.clip_grad_norm_(head.parameters(), 5.0).item()
        if not math.isfinite(norm):
            raise SystemExit(f"step {step}: losses {parts}")
        optimiser.step()
        T.average(ema, head, min(0.99, (step + 1) / (step + 10)))
        step += 1
        for name, value in {**{n: v.item() for n, v in parts.items()}, "norm": norm}.items():
            shown[name] = 0.95 * shown.get(name, value) + 0.05 * value
        if now - told > 30:
            print(f"step {step} " + " ".join(f"{n} {v:.3f}" for n, v in shown.items()) +
                  f", {(1 - done) * args.minutes:.1f} min left", flush=True)
            told = now


def describe(file: Path) -> None:
    """Put the head into model.json, with the input of the classifier: they share a pass of the trunk."""
    model, o = json.loads(file.read_text()), asdict(OPTIONS)
    model["heads"]["segment"] = {
        "type": "deeplabv3plus", "weights": "segment.safetensors", "labels": "segment-labels.txt",
        "input": model["heads"]["classify"]["input"], **{k: v for k, v in o.items() if k != "classes"}}
    file.write_text(json.dumps(model, indent=2) + "\n")


def write(args: argparse.Namespace) -> None:
    """Checkpoint -> the head in the model, and the validation photos as PNG in the work folder."""
    state = torch.load(args.work / "checkpoint.pt")
    tensors = {f"decode_head.{n}": t for n, t in state["ema"].items() if not n.endswith("num_batches_tracked")}
    # the variances of norms may lie below F16's normal range, and vectors weigh little
    tensors = {n: (t.half() if t.ndim > 1 else t).contiguous() for n, t in tensors.items()}
    file = args.model / "segment.safetensors"
    save_file(tensors, file, metadata={"format": "pt", "source": "training/train_segmenter.py", "step": str(state["step"])})
    file.chmod(0o644)  # safetensors makes it private
    (args.model / "segment-labels.txt").write_text("".join(f"{n}\n" for n in LABELS))
    describe(args.model / "model.json")
    _, held, coco = photos(args.data)
    for kind in ("images", "masks"):
        (args.work / "val" / kind).mkdir(parents=True, exist_ok=True)
    for p in held:
        p.image().save(args.work / "val" / "images" / f"{p.path.stem}.png", compress_level=1)
        Image.fromarray(mask_of(p, coco)).save(args.work / "val" / "masks" / f"{p.path.stem}.png")
    print(f"{file}: step {state['step']}, {file.stat().st_size} bytes, {len(held)} validation photos in {args.work / 'val'}")


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, default=home.parent / "shared" / "data", help="folder of the photos")
    p.add_argument("--work", type=Path, required=True, help="folder of caches (4 GB) and checkpoint, outside the repository")
    p.add_argument("--model", type=Path, default=home / "models" / "demo", help="has the trunk, gets segment.safetensors")
    p.add_argument("--minutes", type=float, default=18, help="time to train, spread over the schedule")
    p.add_argument("--rate", type=float, default=2e-3, help="peak learning rate (AdamW)")
    p.add_argument("--decay", type=float, default=0.05, help="weight decay")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--write", action="store_true", help="train no more: write the weights")
    args = p.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if not args.write:
        train(args)
    write(args)


if __name__ == "__main__":
    main()
