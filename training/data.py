"""Photos for the demo trunk: index, split, decoded cache, and random or whole views of a photo.

A *view* is a square of ``size`` pixels with the picture at the top left (``valid`` = its height and width in the
square; beyond it is padding) plus the box of the photo that it shows, in fractions of the photo. The box is what lets
a teacher that saw the whole photo once speak about every crop of it (distil.py).
"""
from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SHORT_SIDE = 256  # of cached photos; smaller ones stay as they are
_SHOWN = {"BACKGROUND_Google": "other", "Faces": "faces", "Faces_easy": "faces"}


@dataclass(frozen=True)
class Photo:
    """One photo: ``label`` is an index into the labels or -1, ``split`` is train or val (unlabelled: always train)."""

    path: Path
    source: str
    label: int
    split: str


def shown_label(folder: str) -> str:
    """The label that users see for a folder of the objects data."""
    return _SHOWN.get(folder, folder)


def labels(data: Path) -> list[str]:
    """The 101 labels, in the order of their indices."""
    folders = (data / "objects" / "classes.txt").read_text().split()
    return sorted({shown_label(f) for f in folders}, key=str.casefold)


def index(data: Path, val_share: float = 0.15, seed: int = 2023) -> list[Photo]:
    """Every photo of the data folder, with the objects split per label.

    ``Faces_easy/N`` is a crop of the photo ``Faces/N``: photos of one label that share a number stay on one side.
    """
    names = labels(data)
    groups: dict[tuple[int, str], list[Path]] = {}
    for line in sorted((data / "objects" / "images.txt").read_text().split()):
        folder, file = line.split("/")
        number = re.sub(r"\D", "", file)
        groups.setdefault((names.index(shown_label(folder)), number), []).append(data / "objects" / "images" / line)
    photos: list[Photo] = []
    for label in range(len(names)):
        keys = sorted(k for k in groups if k[0] == label)
        held = np.random.default_rng([seed, label]).permutation(len(keys))[: round(val_share * len(keys))]
        for i, key in enumerate(keys):
            split = "val" if i in set(held.tolist()) else "train"
            photos += [Photo(p, "objects", label, split) for p in groups[key]]
    for source in ("people", "masks", "imagenet-samples"):
        photos += [Photo(p, source, -1, "train") for p in sorted((data / source / "images").iterdir())]
    return photos


def build_cache(photos: list[Photo], folder: Path) -> None:
    """Decode every photo once into one file of uint8 RGB pixels, ``SHORT_SIDE`` at most on the shorter side."""
    folder.mkdir(parents=True, exist_ok=True)
    table, offset = [], 0
    with open(folder / "pixels.tmp", "wb") as out:
        for p in photos:
            image = Image.open(p.path).convert("RGB")
            short = min(image.size)
            if short > SHORT_SIDE:
                image = image.resize([max(1, round(s * SHORT_SIDE / short)) for s in image.size], Image.BILINEAR)
            pixels = np.asarray(image)
            out.write(pixels.tobytes())
            table.append([offset, *pixels.shape[:2]])
            offset += pixels.size
    (folder / "pixels.tmp").rename(folder / "pixels.u8")
    (folder / "pixels.json").write_text(json.dumps(table))


class Cache:
    """Decoded photos, read from the mapped file."""

    def __init__(self, folder: Path):
        self.table = np.array(json.loads((folder / "pixels.json").read_text()), dtype=np.int64)
        self.pixels = np.memmap(folder / "pixels.u8", np.uint8, "r")

    def __len__(self) -> int:
        return len(self.table)

    def image(self, i: int) -> Image.Image:
        """Photo i as a PIL picture."""
        offset, h, w = self.table[i]
        return Image.fromarray(self.pixels[offset: offset + h * w * 3].reshape(h, w, 3))


def letterbox(image: Image.Image, size: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Scale the longer side to ``size`` (as PIL does it), top left in a square. Returns (HWC uint8, (height, width))."""
    scale = size / max(image.size)
    w, h = (max(1, round(s * scale)) for s in image.size)
    square = np.zeros((size, size, 3), np.uint8)
    square[:h, :w] = np.asarray(image.resize((w, h), Image.BILINEAR))
    return square, (h, w)


def random_box(rng: np.random.Generator, w: int, h: int, scale: tuple[float, float], ratio: float) -> tuple:
    """A random crop (x0, y0, x1, y1) in pixels: area share within ``scale``, aspect within [1/ratio, ratio]."""
    for _ in range(10):
        area = w * h * rng.uniform(*scale)
        r = np.exp(rng.uniform(-np.log(ratio), np.log(ratio)))
        cw, ch = np.sqrt(area * r), np.sqrt(area / r)
        if cw <= w and ch <= h:
            x, y = rng.uniform(0, w - cw), rng.uniform(0, h - ch)
            return x, y, x + cw, y + ch
    side = min(w, h)
    x, y = rng.uniform(0, w - side), rng.uniform(0, h - side)
    return x, y, x + side, y + side


def random_view(rng: np.random.Generator, image: Image.Image, size: int, boxed: float, min_area: float):
    """A training view: with probability ``boxed`` (most of) the photo letterboxed, else a square crop; half are mirrored.

    Returns (size x size x 3 uint8, valid (h, w), box (x0, y0, x1, y1) in fractions, mirrored).
    """
    w, h = image.size
    square = np.zeros((size, size, 3), np.uint8)
    if rng.random() < boxed:
        keep = rng.uniform(0.8, 1.0, 2) if rng.random() < 0.6 else np.ones(2)
        cw, ch = w * keep[0], h * keep[1]
        x, y = rng.uniform(0, w - cw), rng.uniform(0, h - ch)
        box = (x, y, x + cw, y + ch)
        longer = size if rng.random() < 0.7 else rng.uniform(0.7, 1.0) * size
        scale = longer / max(cw, ch)
        vw, vh = (int(np.clip(round(s * scale), 1, size)) for s in (cw, ch))
    else:
        box = random_box(rng, w, h, (min_area, 1.0), 4 / 3)
        vw = vh = size
    small = np.asarray(image.resize((vw, vh), Image.BILINEAR, box=box))
    mirrored = bool(rng.random() < 0.5)
    square[:vh, :vw] = small[:, ::-1] if mirrored else small
    return square, (vh, vw), (box[0] / w, box[1] / h, box[2] / w, box[3] / h), mirrored


def normalise(pixels: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """(N,H,W,3) pixels in 0..255 to normalised NCHW (channels last in memory), zero outside ``valid`` (N,2 = h,w)."""
    x = (pixels.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return mask_padding(x, valid).permute(0, 3, 1, 2)


def mask_padding(x: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Zero NHWC ``x`` outside the valid part."""
    rows = torch.arange(x.shape[1])[None, :, None, None] < valid[:, 0, None, None, None]
    cols = torch.arange(x.shape[2])[None, None, :, None] < valid[:, 1, None, None, None]
    return x * (rows & cols)


def colour(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random brightness, contrast and saturation of each of the (N,H,W,3) pictures; a few become grey. Stays in 0..255."""
    n = pixels.shape[0]

    def factor(low: float, high: float) -> torch.Tensor:
        return torch.empty(n, 1, 1, 1).uniform_(low, high, generator=generator)

    x = pixels.float() * factor(0.7, 1.3)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * factor(0.7, 1.3) + mean
    grey = x.mean(3, keepdim=True)
    saturation = factor(0.6, 1.4) * (factor(0, 1) > 0.05)
    return ((x - grey) * saturation + grey).clamp_(0, 255)


def erase(x: torch.Tensor, rng: np.random.Generator, share: float) -> torch.Tensor:
    """Blank one random rectangle (up to a fifth of the area) in ``share`` of the NCHW pictures, in place."""
    _, _, h, w = x.shape
    for i in np.flatnonzero(rng.random(len(x)) < share):
        x0, y0, x1, y1 = (int(v) for v in random_box(rng, w, h, (0.02, 0.2), 2.0))
        x[i, :, y0:y1, x0:x1] = 0
    return x
