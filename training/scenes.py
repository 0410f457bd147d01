"""What heads learn from: squares made of labelled photos, and which of their labels are known.

A *photo* knows some of: the boxes of its objects, their joints, their masks, its class. What is not known is said so
(``boxes`` None, joints of visibility 0, mask ``IGNORED``, label -1), and costs nothing: the losses leave it out. A *scene* is
a square of ``size`` pixels as the trunk sees it, with the labels in its pixels: what the daemon would see of a photo (longer
side ``size``, top left, zeros beyond), a larger or smaller part of it, or parts of four photos that meet in a point; persons,
cut out by their masks, may be put into it.
"""
from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from pycocotools.coco import COCO

IGNORED, CROWD = 255, -1  # of masks; of kinds
WHOLE, FOUR = 0.4, 0.3  # share of the scenes that are the daemon's, and that are parts of four photos
ZOOM = (0.6, 2.2)  # longer side of the other scenes' photo, in that of the daemon's
PART_ZOOM = (0.5, 1.3)  # of the parts of four
STRETCH = 0.25  # logarithm of width to height that those get at most
ROTATED = 0.3  # share of the scenes that are rotated
PASTED, PASTED_HEIGHT = 0.25, (0.2, 0.9)  # share of the scenes with cut-out persons; their height in that of the square
VISIBLE = 0.3  # an object of which less is left is background
FLIP = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)  # of COCO's joints


@dataclass(frozen=True)
class Photo:
    """``boxes`` (n, 4) x1 y1 x2 y2 of all objects, or None; ``kinds`` (n): their classes, CROWD where a box has many;
    ``joints`` (n, J, 3) x y visibility; ``mask``: a file whose pixels other than 0 are persons, or COCO annotations with
    masks, or None where nothing is known; ``label``: class of the whole."""

    path: Path
    boxes: np.ndarray | None = None
    kinds: np.ndarray | None = None
    joints: np.ndarray | None = None
    mask: Path | list[dict] | None = None
    label: int = -1
    image_id: int = -1


@dataclass
class Scene:
    """``pixels`` (h, w, 3) uint8, ``mask`` (h, w) uint8: 0, 1 + class or IGNORED; ``valid`` (h, w) is not padding;
    ``known``: whether every object has a box."""

    pixels: np.ndarray
    boxes: np.ndarray
    kinds: np.ndarray
    joints: np.ndarray
    mask: np.ndarray
    known: bool
    label: int
    valid: tuple[int, int]

    def keep(self, which: np.ndarray | list[bool]) -> None:
        """Leave out the other objects."""
        self.boxes, self.kinds, self.joints = self.boxes[which], self.kinds[which], self.joints[which]

    def add(self, boxes: np.ndarray, kinds: np.ndarray, joints: np.ndarray) -> None:
        self.boxes, self.kinds = np.concatenate((self.boxes, boxes)), np.concatenate((self.kinds, kinds))
        self.joints = np.concatenate((self.joints, joints))


def nothing(joints: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, kinds and joints of nothing."""
    return np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros((0, joints, 3), np.float32)


class Joints:
    """Names of a category's joints, and which change places in a mirror: ``left_NAME`` and ``right_NAME``."""

    def __init__(self, names: list[str], category: int | None = None):
        self.names, self.category = names, category
        other = {f"{a}_{n[len(a) + 1:]}": f"{b}_{n[len(a) + 1:]}" for a, b in (("left", "right"), ("right", "left")) for n in names}
        self.flip = [names.index(other[n]) if other.get(n) in names else i for i, n in enumerate(names)]


def joints_of(coco: COCO) -> Joints:
    """Those of the first category that names some; none: an empty list."""
    first = next((c for c in coco.dataset["categories"] if c.get("keypoints")), {})
    return Joints(first.get("keypoints", []), first.get("id"))


def photos_of(coco: COCO, folder: Path) -> list[Photo]:
    """The photos of a data set in COCO's form; classes are its categories by ascending id. Those whose objects all have a
    mask have one."""
    classes, own, photos = {c: i for i, c in enumerate(sorted(coco.getCatIds()))}, joints_of(coco), []
    none = [0] * (3 * len(own.names))
    for i in sorted(coco.getImgIds()):
        objects = [a for a in coco.imgToAnns[i] if a["bbox"][2] > 0 and a["bbox"][3] > 0]
        objects.sort(key=lambda a: -a["bbox"][2] * a["bbox"][3])  # a small one lies on a large one
        boxes = np.array([a["bbox"] for a in objects], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        kinds = np.array([CROWD if a.get("iscrowd") else classes[a["category_id"]] for a in objects], np.int64)
        joints = [a.get("keypoints") or none if a["category_id"] == own.category else none for a in objects]
        joints = np.array(joints, np.float32).reshape(len(objects), len(own.names), 3)
        photos.append(Photo(folder / coco.imgs[i]["file_name"], boxes, kinds, joints,
                            objects if all(a.get("segmentation") for a in objects) else None, -1, i))
    return photos


def masked(data: Path) -> dict[str, list[Photo]]:
    """Photos with a mask of all persons, by source: penn, portrait, clothing. Only the street scenes have all boxes."""
    folder, photos = data / "masks", {"penn": [], "portrait": [], "clothing": []}
    for e in json.loads((folder / "index.json").read_text()):
        boxes = np.array(e["boxes"], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        source = {"penn-fudan": "penn", "human-seg": "portrait"}.get(e["source"], "clothing")
        objects = boxes, np.zeros(len(boxes), np.int64), np.zeros((len(boxes), 17, 3), np.float32)
        photos[source].append(Photo(folder / "images" / e["image"], *(objects if source == "penn" else (None,) * 3),
                                    folder / "masks" / e["mask"]))
    return {s: sorted(p, key=lambda photo: photo.path.name) for s, p in photos.items()}


def held(photos: list[Photo], seed: list[int] | int, share: float = 0.15) -> tuple[list[Photo], list[Photo]]:
    """Photos to train with and photos to validate with."""
    out = set(np.random.default_rng(seed).permutation(len(photos))[: round(share * len(photos))].tolist())
    return [p for i, p in enumerate(photos) if i not in out], [p for i, p in enumerate(photos) if i in out]


def opened(path: Path) -> Image.Image:
    """A picture as the daemon sees it: turned as its EXIF orientation says."""
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def load(photo: Photo, coco: COCO, joints: int = 17) -> Scene:
    """The whole photo with its labels."""
    pixels = np.asarray(opened(photo.path))
    if isinstance(photo.mask, Path):
        mask = (np.asarray(Image.open(photo.mask)) > 0).astype(np.uint8)
    elif photo.mask is not None:
        mask = np.zeros(pixels.shape[:2], np.uint8)
        for annotation, kind in zip(photo.mask, photo.kinds):
            mask[coco.annToMask(annotation) > 0] = IGNORED if kind == CROWD else kind + 1
    else:
        mask = np.full(pixels.shape[:2], IGNORED, np.uint8)
    known = photo.boxes is not None
    objects = (photo.boxes, photo.kinds, photo.joints) if known else nothing(joints)
    return Scene(pixels, *objects, mask, known, photo.label, pixels.shape[:2])


def write_annotations(file: Path, photos: list[Photo], coco: COCO) -> None:
    """What ``coco`` says of these photos, in its own form."""
    ids, whole = {p.image_id for p in photos}, coco.dataset
    file.write_text(json.dumps({
        "categories": whole["categories"], "images": [i for i in whole["images"] if i["id"] in ids],
        "annotations": [a for a in whole["annotations"] if a["image_id"] in ids]}))


def write_masks(folder: Path, photos: dict[str, Photo], coco: COCO) -> None:
    """``images/NAME.png`` and ``masks/NAME.png`` of photos with masks, as evaluate.py takes them."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name, photo in photos.items():
        scene = load(photo, coco)
        Image.fromarray(scene.pixels).save(folder / "images" / f"{name}.png", compress_level=1)
        Image.fromarray(scene.mask).save(folder / "masks" / f"{name}.png")


def part(scene: Scene, x: float, y: float, w: float, h: float, size: tuple[int, int], flip: list[int] | None) -> Scene:
    """The rectangle of a scene as one of ``size`` (width, height); with ``flip``, the order of mirrored joints, mirrored."""
    box = (x, y, x + w, y + h)
    pixels = np.asarray(Image.fromarray(scene.pixels).resize(size, Image.BILINEAR, box=box))
    mask = np.asarray(Image.fromarray(scene.mask).resize(size, Image.NEAREST, box=box))
    scale = np.array((size[0] / w, size[1] / h), np.float32)
    boxes = (scene.boxes - np.array((x, y, x, y), np.float32)) * np.tile(scale, 2)
    joints = scene.joints.copy()
    joints[..., :2] = (joints[..., :2] - np.array((x, y), np.float32)) * scale
    if flip is not None:
        pixels, mask = pixels[:, ::-1], mask[:, ::-1]
        boxes = np.stack((size[0] - boxes[:, 2], boxes[:, 1], size[0] - boxes[:, 0], boxes[:, 3]), 1)
        joints = joints[:, flip]
        joints[..., 0] = size[0] - joints[..., 0]
    joints[((joints[..., :2] < 0) | (joints[..., :2] >= size)).any(-1), 2] = 0
    inside = boxes.clip(0, np.tile(size, 2)).astype(np.float32)
    area, seen = (np.prod(b[:, 2:] - b[:, :2], 1) for b in (boxes, inside))
    keep = (seen >= VISIBLE * area) & ((inside[:, 2:] - inside[:, :2]).min(1, initial=1e9) >= 3)
    out = replace(scene, pixels=pixels, boxes=inside, joints=joints, mask=mask, valid=(size[1], size[0]))
    out.keep(keep)
    return out


def zoomed(rng: np.random.Generator, scene: Scene, room: tuple[int, int], longer: float,
           flip: list[int] = FLIP, stretch: float = STRETCH) -> Scene:
    """A random part of a photo, scaled to this longer side (of the whole photo) and stretched, that fits ``room`` (width, height)."""
    h, w = scene.pixels.shape[:2]
    scale = longer / max(w, h) * np.exp(rng.uniform(0, stretch) * np.array((1, -1) if rng.random() < 0.5 else (-1, 1)) / 2)
    cut = np.minimum((w, h), np.array(room) / scale)
    x, y = rng.uniform(0, 1, 2) * ((w, h) - cut)
    size = tuple(int(np.clip(round(s), 1, r)) for s, r in zip(cut * scale, room))
    return part(scene, x, y, *cut, size, flip if rng.random() < 0.5 else None)


def square(scene: Scene, size: int) -> Scene:
    """A scene in the upper left of a square; what is beyond is padding."""
    h, w = scene.pixels.shape[:2]
    pixels, mask = np.zeros((size, size, 3), np.uint8), np.full((size, size), IGNORED, np.uint8)
    pixels[:h, :w], mask[:h, :w] = scene.pixels, scene.mask
    return replace(scene, pixels=pixels, mask=mask)


def letterboxed(scene: Scene, size: int) -> Scene:
    """What the daemon sees."""
    h, w = scene.pixels.shape[:2]
    small = tuple(max(1, round(s * size / max(w, h))) for s in (w, h))
    return square(part(scene, 0, 0, w, h, small, None), size)


def four(rng: np.random.Generator, scenes: list[Scene], size: int, flip: list[int]) -> Scene:
    """Parts of four photos that meet in a point."""
    x, y = rng.uniform(0.3, 0.7, 2) * size
    x, y = int(x), int(y)
    corners = ((0, 0, x, y), (x, 0, size - x, y), (0, y, x, size - y), (x, y, size - x, size - y))
    out = Scene(np.zeros((size, size, 3), np.uint8), *nothing(len(flip)), np.full((size, size), IGNORED, np.uint8), True, -1,
                (size, size))
    for scene, (left, top, w, h) in zip(scenes, corners):
        fill = max(w / scene.pixels.shape[1], h / scene.pixels.shape[0]) * max(scene.pixels.shape[:2])  # no gaps
        fill *= math.exp(STRETCH / 2)
        piece = zoomed(rng, scene, (w, h), max(fill, size * math.exp(rng.uniform(*np.log(PART_ZOOM)))), flip)
        at = (slice(top, top + piece.valid[0]), slice(left, left + piece.valid[1]))
        out.pixels[at], out.mask[at] = piece.pixels, piece.mask
        shift = np.array((left, top), np.float32)
        piece.joints[..., :2] += shift
        out.add(piece.boxes + np.tile(shift, 2), piece.kinds, piece.joints)
        out.known &= piece.known
    return out


def paste(rng: np.random.Generator, scene: Scene, person: Scene) -> None:
    """Put the persons of a photo, cut out by their mask, somewhere into a square; whom they hide is gone."""
    ys, xs = np.nonzero(person.mask == 1)
    if not len(xs):
        return
    x, y, w, h = xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1
    side = scene.pixels.shape[0]
    scale = side * math.exp(rng.uniform(*np.log(PASTED_HEIGHT))) / h
    size = tuple(max(3, int(s * scale)) for s in (w, h))
    if size[0] >= side or size[1] >= side:
        return
    cut = part(person, x, y, w, h, size, FLIP if rng.random() < 0.5 else None)
    left, top = (int(rng.integers(0, max(1, v - s))) for v, s in zip(scene.valid[::-1], size))
    at = (slice(top, min(top + size[1], scene.valid[0])), slice(left, min(left + size[0], scene.valid[1])))
    shape = scene.mask[at].shape
    there = cut.mask[: shape[0], : shape[1]] == 1
    scene.pixels[at][there] = cut.pixels[: shape[0], : shape[1]][there]
    scene.mask[at][there] = 1
    ink = np.zeros(scene.mask.shape, bool)
    ink[at] = there
    keep = []
    for box in scene.boxes.round().astype(int):
        hidden = ink[box[1]:box[3], box[0]:box[2]]
        keep.append(hidden.size > 0 and hidden.mean() < 0.6)
    scene.keep(keep)
    where = scene.joints[..., :2].astype(int).clip(0, side - 1)
    scene.joints[ink[where[..., 1], where[..., 0]], 2] = 0
    box = np.array([[left, top, left + shape[1], top + shape[0]]], np.float32)
    joints = cut.joints.copy() if len(cut.joints) == 1 else np.zeros((1, 17, 3), np.float32)
    joints[..., :2] += (left, top)
    joints[(joints[..., :2] >= box[0, 2:]).any(-1), 2] = 0
    scene.add(box, np.zeros(1, np.int64), joints)


def rotated(scene: Scene, degrees: float) -> Scene:
    """A scene rotated clockwise about its middle; what comes from beyond is black. Boxes are those of ellipses: persons do not
    fill the corners of theirs."""
    side, angle = scene.pixels.shape[0], math.radians(degrees)
    pixels = np.asarray(Image.fromarray(scene.pixels).rotate(-degrees, Image.BILINEAR))
    mask = np.asarray(Image.fromarray(scene.mask).rotate(-degrees, Image.NEAREST, fillcolor=IGNORED))
    turn = np.array(((math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))), np.float32)  # of rows x y
    joints = scene.joints.copy()
    joints[..., :2] = (joints[..., :2] - side / 2) @ turn + side / 2
    middle = ((scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2 - side / 2) @ turn + side / 2
    half = np.sqrt(((scene.boxes[:, 2:] - scene.boxes[:, :2]) / 2) ** 2 @ turn**2)
    whole = replace(scene, pixels=pixels, mask=mask, joints=joints, boxes=np.concatenate((middle - half, middle + half), 1))
    return replace(part(whole, 0, 0, side, side, (side, side), None), valid=(side, side))


def scene_of(rng: np.random.Generator, photos: list[Photo], cutouts: list[Photo], coco: COCO, size: int,
             flip: list[int] = FLIP, mixed: float = 1.0, turn: float = 0.0) -> Scene:
    """A random scene of photos with objects; ``cutouts`` are put into some, some are rotated by up to ``turn`` degrees.
    ``mixed``: how many of the usual share of scenes are made of several photos or rotated."""
    kind = rng.random()
    many = kind < FOUR * mixed
    chosen = [load(photos[i], coco, len(flip)) for i in rng.choice(len(photos), 4 if many else 1)]
    if many:
        scene = four(rng, chosen, size, flip)
    else:
        whole = kind < FOUR + WHOLE
        zoom = 1 if whole else math.exp(rng.uniform(*np.log(ZOOM)))
        scene = square(zoomed(rng, chosen[0], (size, size), zoom * size, flip, 0 if whole else STRETCH), size)
    if cutouts and scene.known and rng.random() < PASTED * mixed:
        for _ in range(rng.integers(1, 3)):
            paste(rng, scene, load(cutouts[rng.integers(len(cutouts))], coco))
    return rotated(scene, rng.uniform(-turn, turn)) if turn and rng.random() < ROTATED * mixed else scene
