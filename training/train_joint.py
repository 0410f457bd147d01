"""The joint school: trunk and all four heads of the demo learn together, from the distilled trunk on.

Photos with persons (boxes, joints, some masks), photos with masks and photos of things stand in one batch; each head learns
from those whose labels it has (scenes.py), and what they cost comes together in one trunk (school.py). 15 % of each kind,
chosen by a fixed seed, only validate. Photos of things show nobody and have no person's pixel, but for faces and ``other``;
scenes with persons are ``other`` to the classifier, as are ImageNet's photos of what it does not know. Its animals stand among
the scenes with persons, too: what has a face and limbs and yet is nobody.

AdamW, averaged weights; learning rate and end follow the clock (loop.py). Trunk, forward and back, of six pictures on one core:
EPYC 9004 0.89 s in f32, 0.47 s with --bf16; a Xeon without AMX was 1.3 times slower with it.

    python training/train_joint.py --work WORK --trunk DISTILLED --minutes 90   # goes on from its checkpoint
    python training/export_joint.py --work WORK                                 # checkpoint -> models/demo
    python training/train_joint.py --work WORK2 --trunk models/demo --minutes 120   # more of it
"""
from __future__ import annotations

import argparse
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from safetensors.torch import load_file
from torch import Tensor

import data as D
import deeplab
import faster_rcnn as R
import loop
import model_dir
import res2net
import scenes as S
import school

SIZE, SEED = 320, 2023  # of the square; of the split
DETECT = R.Options(classes=1, fpn_channels=64, rpn_channels=64, fc_channels=192, anchor_scales=(4, 5.66),
                   anchor_ratios=(0.7, 1.4, 2.8), pre_nms=400, proposals=400, objectness=0.5,
                   nms=0.45, voting=0.6)
SEGMENT = deeplab.Options(classes=2, rates=(1, 3, 6, 9), channels=64, fuse_kernel=1, low_tap=3, low_channels=32)
KEYPOINTS = {"channels": 96, "bins": 24, "convs": 4}
PERSONS, MASKS, THINGS = 4, 1, 1  # pictures of a process in a step
MASK_SHARES = {"people": 0.4, "clothing": 0.25, "penn": 0.15, "portrait": 0.2}
TURN = 20  # degrees by which scenes with persons are rotated at most
CUT_SIDE, CUT_JOINTS = 40, 5  # least pixels and labelled joints of a person that is cut out and put into other photos
PEOPLED = {"other", "faces", "saxophone", "accordion", "buddha", "inline_skate", "wheelchair", "umbrella", "chair"}
WEIGHTS = {"object": 1.0, "anchor": 2.0, "class": 3.5, "box": 4.0, "joints": 1.2, "entropy": 1.0, "dice": 0.5, "classes": 0.5}
UNKNOWN = 0.10  # share of them that the classifier does not know
ANIMALS = 398  # first ImageNet classes
# animals whose photo shows a person or a hand, or may do so, looked at one by one
ACCOMPANIED = {2, 4, 13, 31, 54, 61, 94, 106, 125, 147, 156, 158, 160, 163, 171, 176, 181, 183, 191, 199, 203, 204, 211, 217, 220, 229,
               232, 240, 243, 245, 246, 248, 253, 254, 255, 257, 259, 266, 333, 341, 346, 354, 389, 391, 394, 395}
OTHER = 0.2  # weight of a scene with persons, which is ``other``
CALM, CALM_MIXED = 0.7, 0.3  # from this share of the schedule on fewer scenes are made of several photos, by this factor
TRUNK_RATE = 0.4  # the trunk's learning rate, in that of the heads


class Photos:
    """All photos: ``persons``, ``masks`` and ``things`` to learn from, ``held`` to validate with."""

    def __init__(self, data: Path):
        self.coco, self.labels = COCO(data / "people" / "annotations.json"), D.labels(data)
        self.persons, held = S.held(S.photos_of(self.coco, data / "people" / "images"), SEED)
        self.held, self.masks = {"people": held}, {"people": [p for p in self.persons if p.mask]}
        for number, (source, photos) in enumerate(S.masked(data).items()):
            self.masks[source], self.held[source] = S.held(photos, [SEED, number])
        self.cutouts = [*self.masks["clothing"], *self.masks["portrait"], *self.masks["penn"], *singles(self.masks["people"])]
        index = [p for p in D.index(data) if p.label >= 0]
        photo = {p.path: thing(p.path, p.label, self.labels[p.label] not in PEOPLED) for p in index}
        things = [photo[p.path] for p in index if p.split == "train"]
        self.held["things"] = [photo[p.path] for p in index if p.split == "val"]
        others, self.held["unknown"] = S.held(unknown(data, self.labels), SEED)
        counts = np.bincount([p.label for p in things])
        weight = np.array([counts[p.label] ** -0.5 for p in things])
        self.things = things + others
        self.persons = self.persons + self.masks["penn"] + [p for p in others if p.boxes is not None]
        self.weight = np.concatenate(((1 - UNKNOWN) * weight / weight.sum(), np.full(len(others), UNKNOWN / len(others))))


def singles(photos: list[S.Photo]) -> list[S.Photo]:
    """Each person of some size alone, with joints and mask."""
    return [replace(p, boxes=p.boxes[i:i + 1], kinds=p.kinds[i:i + 1], joints=p.joints[i:i + 1], mask=[p.mask[i]])
            for p in photos for i, b in enumerate(p.boxes)
            if p.kinds[i] != S.CROWD and min(b[2:] - b[:2]) >= CUT_SIDE and (p.joints[i, :, 2] > 0).sum() >= CUT_JOINTS]


def thing(path: Path, label: int, alone: bool) -> S.Photo:
    """A photo of a thing; ``alone``: it shows nobody, else nothing is known of persons."""
    return S.Photo(path, *S.nothing(17), [], label) if alone else S.Photo(path, label=label)


def unknown(data: Path, labels: list[str]) -> list[S.Photo]:
    """ImageNet's photos of things that none of the labels shares a word with: ``other``. With animals alone is nobody."""
    words = {w for label in labels for w in label.lower().split("_") if len(w) > 2}
    photos = []
    for line in (data / "imagenet-samples" / "index.tsv").read_text().splitlines():
        number, wordnet, name = line.split("\t")
        if words.isdisjoint(re.split(r"[^a-z]+", name.lower())):
            alone = int(number) < ANIMALS and int(number) not in ACCOMPANIED
            photos.append(thing(data / "imagenet-samples" / "images" / f"{wordnet}.jpg", labels.index("other"), alone))
    return photos


def batch(rng: np.random.Generator, photos: Photos, mixed: float = 1.0) -> tuple[list[S.Scene], Tensor]:
    """Random scenes, and how much each counts for the classifier."""
    other = photos.labels.index("other")
    scenes, weight = [], []
    for _ in range(PERSONS):
        scenes.append(S.scene_of(rng, photos.persons, photos.cutouts, photos.coco, SIZE, mixed=mixed, turn=TURN))
        scenes[-1].label = other
        weight.append(OTHER)
    for source in rng.choice(list(MASK_SHARES), MASKS, p=list(MASK_SHARES.values())):
        whole = S.load(photos.masks[source][rng.integers(len(photos.masks[source]))], photos.coco)
        zoom = 1 if rng.random() < 0.5 else math.exp(rng.uniform(*np.log(S.ZOOM)))
        scenes.append(S.square(S.zoomed(rng, whole, (SIZE, SIZE), zoom * SIZE), SIZE))
        scenes[-1].label = 0
        weight.append(0.0)
    for i in rng.choice(len(photos.things), THINGS, p=photos.weight):
        scene = S.load(photos.things[i], photos.coco)
        picture, (h, w), _, _ = D.random_view(rng, Image.fromarray(scene.pixels), SIZE, 0.85, 0.5)
        mask = np.full((SIZE, SIZE), S.IGNORED, np.uint8)
        mask[:h, :w] = scene.mask[0, 0]  # nobody, or not known
        scenes.append(replace(scene, pixels=picture, mask=mask, valid=(h, w)))
        weight.append(1.0)
    return scenes, torch.tensor(weight)


def network(labels: list[str]) -> school.Net:
    return school.Net(res2net.options("demo"), len(labels), DETECT, SEGMENT, KEYPOINTS)


def learn(rank: int, args: argparse.Namespace) -> None:
    photos = Photos(args.data)
    net = network(photos.labels)
    if args.trunk.is_dir():
        model_dir.read(args.trunk, net)
        net.requires_grad_(True)
    else:
        some = [*photos.persons[:24], *photos.masks["clothing"][:8]]
        first = [S.letterboxed(S.load(p, photos.coco), SIZE) for p in some]
        net.begin(load_file(args.trunk), school.pictures(first))
    net.to(memory_format=torch.channels_last).freeze(args.frozen)

    def step(rng: np.random.Generator, done: float) -> tuple[dict[str, Tensor], Tensor]:
        scenes, weight = batch(rng, photos, 1.0 if done < CALM else CALM_MIXED)
        pixels = school.pictures(scenes, torch.Generator().manual_seed(int(rng.integers(2**62))))
        labels = torch.tensor([s.label for s in scenes])
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            taps = net.trunk(pixels)
            parts = school.losses(net, taps, scenes) | {"classes": school.classes(net.classify(taps), labels, weight)}
        return parts, taps["c4"]

    loop.run(rank, args, net, loop.groups(net, ("trunk.", "fc."), TRUNK_RATE, args.decay), WEIGHTS, step)


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, default=home.parent / "shared" / "data", help="folder of the photos")
    p.add_argument("--trunk", type=Path, required=True,
                   help="the distilled trunk, as train_trunk.py writes it, or a folder that export_joint.py wrote, to go on from its heads, too")
    p.add_argument("--frozen", type=int, choices=range(1, 4), default=1, help="stages of the trunk that do not learn")
    loop.options(p, 90)
    loop.spawn(learn, p.parse_args())


if __name__ == "__main__":
    main()
