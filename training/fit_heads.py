"""Fit heads to a published trunk: a folder of photos with labels in COCO's form -> a model that ``res2netd serve`` takes.

The trunk does not change; its maps of a batch are used a few times, for they cost most. A data set gets the heads that it has
labels for: boxes make ``detect``, masks ``segment``, joints ``keypoints`` (of the one category that names them). 15 % of the
photos, chosen by a fixed seed, only validate; they are written into the work folder for evaluate.py. With ``--labels`` the
trunk's own classifier is kept.

    python training/fit_heads.py --arch res2net50_26w_4s --trunk FILE.safetensors --annotations FILE.json --images DIR \\
        --work WORK --out MODEL --minutes 60       # goes on from its checkpoint; when that is finished only writes
"""
from __future__ import annotations

import argparse
import contextlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image
from pycocotools.coco import COCO
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

import deeplab
import faster_rcnn as R
import loop
import model_dir
import res2net
import scenes as S
import school

SEED = 2023  # of the split
ECHOES, POOL = 3, 8  # times that the maps of a batch are used, among how many
PICTURES, FIRST = 4, 24  # of a process in a step; that a head's first weights suit
HEADS = {"detect": {"object": 1.0, "anchor": 2.0, "class": 1.0, "box": 2.0}, "keypoints": {"joints": 1.0},
         "segment": {"entropy": 1.0, "dice": 0.5}}  # and the weights of their losses
COCO_JOINTS = ["nose", *(f"{side}_{part}" for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
                         for side in ("left", "right"))]


@dataclass
class Data:
    """What a data set in COCO's form has, checked."""

    coco: COCO
    names: list[str]  # of the classes
    joints: S.Joints
    photos: list[S.Photo]
    held: list[S.Photo]
    heads: list[str]

    @classmethod
    def read(cls, annotations: Path, images: Path, heads: list[str] | None) -> Data:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                coco = COCO(annotations)
        except (OSError, ValueError) as e:
            raise SystemExit(f"{annotations}: {e}") from None
        check(coco, annotations, images)
        own, joints = [coco.cats[c]["name"] for c in sorted(coco.getCatIds())], S.joints_of(coco)
        photos = S.photos_of(coco, images)
        possible = ["detect"]
        if joints.names and any(p.joints[..., 2].any() for p in photos):
            possible.append("keypoints")
        if any(p.mask for p in photos):
            possible.append("segment")
        heads = heads or possible
        for head in heads:
            if head not in possible:
                raise SystemExit(f"{annotations} has labels for {', '.join(possible)}, but none for {head}")
        if "keypoints" in heads and "detect" not in heads:
            raise SystemExit("keypoints need detect, which tells them where to look")
        if heads == ["segment"]:
            photos = [p for p in photos if p.mask is not None]
        return cls(coco, own, joints, *S.held(photos, SEED), heads)


def check(coco: COCO, annotations: Path, images: Path) -> None:
    """SystemExit where boxes, photos or joints are not what the file says."""
    def refuse(what: str, names: list) -> None:
        if names:
            raise SystemExit(f"{annotations}: {what}: {', '.join(map(str, names[:5]))}" +
                             (f" and {len(names) - 5} more" if len(names) > 5 else ""))

    objects = coco.dataset.get("annotations", [])
    refuse("annotations of unknown categories", [a["id"] for a in objects if a["category_id"] not in coco.cats])
    single = {a["category_id"] for a in objects if not a.get("iscrowd")}
    refuse("categories without boxes", [c["name"] for i, c in coco.cats.items() if i not in single])
    if not coco.cats or len(coco.cats) > 254 or len(coco.imgs) < 2:
        raise SystemExit(f"{annotations}: {len(coco.cats)} categories (1 to 254), {len(coco.imgs)} photos (2 at least)")
    own = S.joints_of(coco)
    refuse(f"annotations without a triple for each of {len(own.names)} joints",
           [a["id"] for a in objects if a["category_id"] == own.category and
            len(a.get("keypoints") or own.names * 3) != 3 * len(own.names)])
    refuse(f"photos that {images} lacks",
           [i["file_name"] for i in coco.imgs.values() if not (images / i["file_name"]).is_file()])
    for i in coco.imgs.values():
        width, height = size(images / i["file_name"])
        if (width, height) != (i["width"], i["height"]):
            raise SystemExit(f"{annotations}: {i['file_name']}, turned as its EXIF orientation says, is {width} x {height}, "
                             f"not {i['width']} x {i['height']}")


def size(photo: Path) -> tuple[int, int]:
    """Width and height as the daemon sees it; reads the head of the file only."""
    with Image.open(photo) as image:
        return image.size[::-1] if image.getexif().get(ExifTags.Base.Orientation, 1) > 4 else image.size


def network(args: argparse.Namespace, data: Data) -> school.Net:
    w, n = args.width, len(data.names)
    detect = R.Options(classes=n, fpn_channels=w, rpn_channels=w, fc_channels=4 * w, anchor_scales=(4, 5.66),
                       pre_nms=200, proposals=200)
    segment = deeplab.Options(classes=n + 1, rates=(1, 3, 6, 9), channels=w, fuse_kernel=1, low_tap=3, low_channels=w // 2)
    keypoints = {"channels": w, "bins": 24, "convs": 4, "joints": len(data.joints.names)}
    return school.Net(res2net.options(args.arch), 0, *(options if head in data.heads else None for head, options in
                                                       (("detect", detect), ("segment", segment), ("keypoints", keypoints))))


def learn(rank: int, args: argparse.Namespace) -> None:
    data = Data.read(args.annotations, args.images, args.heads)
    net = network(args, data)
    joints = len(data.joints.names)
    some = np.random.default_rng(SEED).permutation(len(data.photos))[:FIRST]
    first = [S.letterboxed(S.load(data.photos[i], data.coco, joints), args.size) for i in some]
    net.begin(load_file(args.trunk), school.pictures(first))
    net.to(memory_format=torch.channels_last).freeze(4)
    pool: list[tuple[dict[str, Tensor], list[S.Scene]]] = []
    calls, bf16 = 0, torch.autocast("cpu", torch.bfloat16, enabled=args.bf16)

    def step(rng: np.random.Generator, done: float) -> tuple[dict[str, Tensor], Tensor]:
        nonlocal calls
        fresh = calls % ECHOES == 0
        calls += 1
        if fresh:
            scenes = [S.scene_of(rng, data.photos, [], data.coco, args.size, data.joints.flip) for _ in range(PICTURES)]
            with torch.no_grad(), bf16:
                taps = net.trunk(school.pictures(scenes, torch.Generator().manual_seed(int(rng.integers(2**62)))))
            pool[:] = [*pool[1 - POOL:], (taps, scenes)]
        taps, scenes = pool[-1 if fresh else rng.integers(len(pool))]
        with bf16:
            return school.losses(net, taps, scenes), taps["c4"]

    weights = {name: w for head in data.heads for name, w in HEADS[head].items()}
    loop.run(rank, args, net, loop.groups(net, ("trunk.",), 1.0, args.decay), weights, step)


def joints_options(data: Data) -> dict:
    """model.json's words for the joints, where they are not COCO's of a person."""
    category = data.coco.cats[data.joints.category]
    options = {"label": category["name"]}
    if data.joints.names != COCO_JOINTS:
        flip = data.joints.flip
        options |= {"joints": data.joints.names,
                    "skeleton": [j - 1 for limb in category.get("skeleton", []) for j in limb],  # COCO counts from 1
                    "flip_pairs": [j for i, other in enumerate(flip) if i < other for j in (i, other)]}
        if category.get("sigmas"):
            options["sigmas"] = category["sigmas"]
    return {n: v for n, v in options.items() if v}


def write(args: argparse.Namespace, data: Data) -> None:
    """Checkpoint -> model."""
    state, net, out = torch.load(args.work / "checkpoint.pt"), network(args, data), args.out
    net.resume(state["ema"])
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(args.trunk, out / "trunk.safetensors")
    source, picture = {"source": "training/fit_heads.py", "step": str(state["step"])}, model_dir.letterbox(args.size)
    heads = {}
    if args.labels:
        heads["classify"] = model_dir.classify(out, "trunk.safetensors", args.labels.read_text().splitlines(), None)
    if "detect" in data.heads:
        heads["detect"] = model_dir.detect(out, net, source, data.names, picture)
    if "segment" in data.heads:
        heads["segment"] = model_dir.segment(out, net, source, data.names, picture)
    if "keypoints" in data.heads:
        options = {"channels": args.width, "bins": net.keypoints.bins, "convs": len(net.keypoints.convs)}
        heads["keypoints"] = model_dir.keypoints(out, net, source, options | joints_options(data), picture)
    arch = {"arch": "custom", **res2net.options("demo")} if args.arch == "demo" else {"arch": args.arch}
    model_dir.describe(out, out.resolve().name, "1", arch | {"weights": "trunk.safetensors"}, heads)
    print(f"{out}: step {state['step']}, heads {', '.join(heads)}")


def examine(work: Path, data: Data) -> None:
    """The photos that only validate, for evaluate.py: ``val.json``, and those with masks under ``val``."""
    S.write_annotations(work / "val.json", data.held, data.coco)
    if "segment" in data.heads:
        S.write_masks(work / "val", {str(p.image_id): p for p in data.held if p.mask is not None}, data.coco)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--arch", required=True, help=f"the trunk: {', '.join(res2net.names())} or demo")
    p.add_argument("--trunk", type=Path, required=True, help="its weights, safetensors")
    p.add_argument("--annotations", type=Path, required=True, help="COCO's JSON")
    p.add_argument("--images", type=Path, required=True, help="folder of the photos")
    p.add_argument("--out", type=Path, required=True, help="folder of the model")
    p.add_argument("--heads", type=lambda text: text.split(","), help=f"of {','.join(HEADS)}; default: all that have labels")
    p.add_argument("--size", type=int, default=320, help="longer side of the pictures that the heads see")
    p.add_argument("--width", type=int, default=128, help="channels of the heads")
    p.add_argument("--labels", type=Path, help="names of the trunk's own classes, one a line: keeps its classifier")
    loop.options(p, 60)
    args = p.parse_args()
    if args.size % 32 or args.size < 64 or args.width < 2:
        raise SystemExit("--size is a multiple of 32, 64 at least; --width is 2 at least")
    try:
        res2net.options(args.arch)
    except ValueError as e:
        raise SystemExit(str(e)) from None
    data = Data.read(args.annotations, args.images, args.heads)
    try:
        weights = load_file(args.trunk)
    except (OSError, SafetensorError) as e:
        raise SystemExit(f"{args.trunk}: {e}") from None
    weights = network(args, data).suited(weights)
    if args.labels:
        rows = len(weights.get("fc.weight", ()))
        if rows != (lines := len(args.labels.read_text().splitlines())):
            raise SystemExit(f"{args.labels} has {lines} lines, the trunk's classifier {rows} classes")
    args.work.mkdir(parents=True, exist_ok=True)
    examine(args.work, data)
    loop.spawn(learn, args)
    write(args, data)


if __name__ == "__main__":
    main()
