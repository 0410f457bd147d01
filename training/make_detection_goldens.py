"""Write the goldens of the detector: what PyTorch computes from the test weights, for the C head to agree with.

One safetensors file per network in ``tests/golden/detect``. Its metadata hold what describes the network: ``backbone``
(options of ``model.json``), ``dialect``, ``options`` (of ``faster_rcnn.Options``), ``scales`` (tensor in the file ->
factor, see ``faster_rcnn.fill``), and for each input SIZE (height x width, padding included) in ``pictures`` the name of
its picture, in ``frames`` the four numbers of ``faster_rcnn.Frame``. The tensors:

* ``SIZE/pN/values``, ``/sums``, ``/absmax`` of each pyramid level N, as in ``make_goldens.py``; its shape in ``shapes``;
* ``SIZE/proposals`` (n, 5): x1 y1 x2 y2 score, in order; ``SIZE/proposal_levels`` (n): the RoI level of each;
* ``SIZE/detections`` (n, 6): x1 y1 x2 y2 score label, in order, in pixels of the original;
* with masks ``SIZE/masks`` (n, size, size): the cells of each. ``runs`` in the metadata has under SIZE what these cells and
  boxes, as stored, paste into the original: COCO's run lengths, one text each.

The picture ``NAME`` of h x w pixels (the frame's, zeros beyond): its value at channel c, row y, column x is
``4 * max(1/8, g) * (a + b + d + e)``; g, a, b, d, e are blocks of one ``testweights.uniform`` number each, of 64, 64, 16, 4
and 1 pixels a side. Blocks of B pixels are ``ceil(h/B) x ceil(w/B)`` numbers a channel; a, b, d, e are tensors ``NAME.B``
with three channels, g is ``NAME.gain`` with one. (Plain noise would make all regions of a random network look alike.)
Computed in float64, rounded once.

Computed in float64, stored as f32; the f32 run must take the same decisions. A picture is taken only if no decision is
closer than ``MARGIN``: scores at the cut-offs, at the threshold and of neighbours in the order; IoUs at the NMS thresholds;
sizes where the RoI level or the number of sampling points changes, in each stage of a cascade and for masks; sides that decide
whether a box is empty.
"""
from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pycocotools import mask as coco_mask
from safetensors.torch import save_file
from torch import Tensor
from torchvision.ops import box_iou

import faster_rcnn
import make_goldens
import res2net
import testweights
from faster_rcnn import FasterRCNN, Frame, Options, Proposals

MARGIN = 1e-5
ATTEMPTS = 300
SMALL = dict(layers=(1, 2, 2, 1), base_width=32, scale=4, groups=1, stem="deep", downsample="avg", stem_channels=32,
             planes=(16, 32, 64, 128), dialect="B")
PLAIN = {**SMALL, "stem": "7x7", "dialect": "A"}


class Network(NamedTuple):
    arch: str
    trunk: dict
    options: Options
    cases: tuple[tuple[tuple[int, int], Frame], ...]  # (size of the input, frame)
    scales: dict[str, float]


def scales(rpn_cls: float, fc_cls: float, mask: float = 0, stages: int = 0) -> dict[str, float]:
    """Factors that keep scores between flat and saturated; a negative ``rpn_cls`` makes the coarse levels win. ``mask`` is
    that of the masks, 0 without; ``stages`` is 0 without a cascade."""
    each = {"bbox_head{}.fc_cls": fc_cls, "bbox_head{}.fc_reg": 1.5} | ({"mask_head{}.conv_logits": mask} if mask else {})
    return {"rpn_head.rpn_cls.weight": rpn_cls, "rpn_head.rpn_reg.weight": 0.5} | {
        f"roi_head.{name.format(stage)}.weight": factor
        for stage in ([f".{i}" for i in range(stages)] or [""]) for name, factor in each.items()}


NETWORKS = {
    # odd sides without padding; tall; tiny: a coarsest level of one cell
    "narrow": Network("custom", SMALL, Options(
        classes=7, fpn_channels=64, rpn_channels=64, fc_channels=128, pre_nms=100, proposals=120, max=50), (
            ((449, 515), Frame(449, 515, 300, 344)), ((512, 160), Frame(500, 150, 999, 300)),
            ((64, 64), Frame(40, 33, 40, 33))), scales(-2.5, 1.25)),
    # other anchors, a pyramid without c2, official stage pools
    "taps": Network("custom", PLAIN, Options(
        classes=3, fpn_channels=48, rpn_channels=32, fc_channels=64, taps=("c3", "c4", "c5"), anchor_scales=(4, 6),
        anchor_ratios=(0.6, 1.5), anchor_strides=(8, 16, 32, 64, 128), pre_nms=120, proposals=100, rpn_nms=0.6,
        objectness=0.25, score_threshold=0.1, nms=0.4, voting=0.55, max=30),
        (((224, 288), Frame(210, 287, 420, 574)),), scales(-0.5, 0.75)),
    "mask": Network("custom", SMALL, Options(
        classes=7, fpn_channels=64, rpn_channels=64, fc_channels=128, pre_nms=80, proposals=80, max=12, masks=True,
        mask_convs=2, mask_channels=24), (((320, 352), Frame(310, 330, 155, 165)),), scales(-2.5, 1.25, 25)),
    "cascade": Network("custom", SMALL, Options(
        classes=6, fpn_channels=32, rpn_channels=32, fc_channels=64, pre_nms=100, proposals=80, max=30, cascade=True), (
            ((224, 256), Frame(200, 250, 300, 375)),), scales(-2.5, 2.5, stages=3)),
    "cascade_mask": Network("custom", SMALL, Options(
        classes=7, fpn_channels=64, rpn_channels=64, fc_channels=128, pre_nms=40, proposals=32, max=16, cascade=True,
        masks=True, mask_channels=32), (((320, 288), Frame(320, 270, 160, 135)),), scales(-2.5, 1, 60, 3)),
    # mmdetection's widths
    "full": Network("res2net50_v1b_26w_4s", {**res2net.options("res2net50_v1b_26w_4s"), "dialect": "B"},
                    Options(pre_nms=100, proposals=150), (((256, 320), Frame(250, 313, 500, 626)),), scales(0.75, 3)),
}


def picture(name: str, height: int, width: int) -> Tensor:
    """The picture (1, 3, height, width) of a name."""
    def blocks(kind: str, side: int, channels: int) -> Tensor:
        h, w = -(-height // side), -(-width // side)
        u = torch.from_numpy(testweights.uniform(f"{name}.{kind}", channels * h * w)).reshape(1, channels, h, w)
        return u.repeat_interleave(side, 2).repeat_interleave(side, 3)[:, :, :height, :width]
    gain = blocks("gain", 64, 1).clamp(min=0.125)
    return (4 * gain * (blocks("64", 64, 3) + blocks("16", 16, 3) + blocks("4", 4, 3) + blocks("1", 1, 3))).float()


def least(values: Tensor) -> float:
    return values.abs().min().item() if values.numel() else float("inf")


def gap(scores: Tensor, cut: int) -> float:
    """How far descending scores are apart at a cut-off."""
    return (scores[cut - 1] - scores[cut]).item() if len(scores) > cut else float("inf")


def suppression(boxes: Tensor, scores: Tensor, threshold: float) -> tuple[float, Tensor]:
    """(margin, indices kept in order): of the comparisons that greedy NMS makes, and of the order that it rests on."""
    order = scores.argsort(descending=True, stable=True)
    boxes, scores = boxes[order], scores[order]
    iou = box_iou(boxes, boxes)
    alive, margin, kept = torch.ones(len(boxes), dtype=torch.bool), float("inf"), []
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        kept.append(i)
        later = alive & (torch.arange(len(boxes)) > i)
        goes = later & (iou[i] > threshold)
        margin = min(margin, least(iou[i][later] - threshold), least(scores[i] - scores[goes]))
        alive &= ~goes
    return margin, order[torch.tensor(kept, dtype=torch.long)]


def proposal_margin(model: FasterRCNN, maps: list[Tensor], frame: Frame) -> float:
    o, margin, scores = model.options, float("inf"), []
    limits = torch.tensor((frame.width, frame.height), dtype=maps[0].dtype)
    for level, stride, found in zip(maps, o.anchor_strides, model.candidates(maps, frame)):
        logits, deltas = (part[0] for part in model.rpn_head(level))
        ranked, order = logits.sigmoid().sort(descending=True, stable=True)
        order = order[:o.pre_nms]
        boxes = faster_rcnn.anchors(level.shape[2], level.shape[3], stride, o, level.dtype)[order]
        boxes = faster_rcnn.decode(boxes, deltas[order], faster_rcnn.RPN_STDS)
        inside = torch.minimum(boxes[:, 2:], limits) - boxes[:, :2].clamp(min=0)
        inside = torch.minimum(inside, torch.minimum(boxes[:, 2:], limits - boxes[:, :2]))
        nearest, kept = suppression(found.boxes, found.scores, o.rpn_nms)
        margin = min(margin, gap(ranked, o.pre_nms), least(inside), nearest)
        scores.append(found.scores[kept])
    ranked = torch.cat(scores).sort(descending=True).values[:o.proposals + 1]
    return min(margin, least(ranked[:-1] - ranked[1:]))


def roi_margin(boxes: Tensor, size: int, o: Options) -> float:
    """Of the decisions of RoIAlign."""
    sides = boxes[:, 2:] - boxes[:, :2]
    strides = torch.tensor(o.anchor_strides)[faster_rcnn.roi_levels(boxes, o)]
    points = sides / strides[:, None] / size
    level = (sides.prod(1).sqrt() / o.finest_scale + 1e-6).log2()
    level = level[(level > 0.5) & (level < len(o.taps) - 0.5)]
    return min(least(points - points.round()), least(level - level.round()))


def detection_margin(model: FasterRCNN, maps: list[Tensor], proposals: Proposals, frame: Frame) -> float:
    o = model.options
    looks = model.looks(maps, proposals.boxes, frame)
    all_scores, refined = model.scored(looks, proposals.scores, frame)
    margin = min([roi_margin(look.boxes, o.roi_size, o) for look in looks] + [least(all_scores - o.score_threshold)])
    scores = []
    for label in range(o.classes):
        chosen = all_scores[:, label] > o.score_threshold
        mine = all_scores[chosen, label]
        nearest, kept = suppression(refined[chosen, label], mine, o.nms)
        votes = box_iou(refined[chosen, label][kept], refined[chosen, label]) - o.voting
        margin = min(margin, nearest, least(votes) if o.voting < 1 else nearest)
        scores.append(mine[kept])
    ranked = torch.cat(scores).sort(descending=True).values[:o.max + 1]
    return min(margin, least(ranked[:-1] - ranked[1:]))


class Run(NamedTuple):
    maps: list[Tensor]
    proposals: Tensor  # (n, 5)
    levels: Tensor
    detections: Tensor  # (n, 6)
    masks: Tensor  # (n, size, size), or of none
    margin: float


def run(model: FasterRCNN, pixels: Tensor, frame: Frame) -> Run:
    maps = model.pyramid(pixels)
    boxes, scores = proposals = model.proposals(maps, frame)
    found = model.detect(maps, proposals, frame)
    margin = min(proposal_margin(model, maps, frame), detection_margin(model, maps, proposals, frame))
    masks = boxes.new_zeros(0)
    if model.options.masks:
        masks = found.masks
        on_maps = found.boxes * faster_rcnn.factor(found.boxes, frame)
        margin = min(margin, roi_margin(on_maps, model.options.mask_size, model.options))
    return Run(maps, torch.cat((boxes, scores[:, None]), 1), faster_rcnn.roi_levels(boxes, model.options),
               torch.cat((found.boxes, found.scores[:, None], found.labels[:, None]), 1), masks, margin)


def telling(found: Run, frame: Frame, options: Options) -> bool:
    """The picture shows something: several RoI levels (if it can), several classes, scores and masks neither flat nor
    saturated."""
    levels = 1 if max(frame.height, frame.width) < 2 * options.finest_scale else 2
    scores, labels = found.detections[:, 4], found.detections[:, 5]
    return (len(found.levels.unique()) >= levels and len(labels) > 5 and len(labels.unique()) > 1
            and scores.max() < 0.98 and scores.max() > 1.2 * scores.min()
            and (not options.masks or bool(((found.masks >= 0.5).double().std((1, 2)) > 0.15).double().mean() > 0.5)))


def choose(model: FasterRCNN, size: tuple[int, int], frame: Frame) -> tuple[str, Run, float]:
    """(name, float64 run, error of the f32 run) of the first picture that will do."""
    for attempt in range(ATTEMPTS):
        name = f"picture.{attempt}"
        pixels = picture(name, frame.height, frame.width)
        pixels = torch.nn.functional.pad(pixels, (0, size[1] - frame.width, 0, size[0] - frame.height))
        rough = run(model.float(), pixels, frame)
        good = telling(rough, frame, model.options)
        print(f"  {size[0]}x{size[1]} {name}: margin {rough.margin:.1e}, {'telling' if good else 'dull'}", flush=True)
        if rough.margin < MARGIN or not good:
            continue
        exact = run(model.double(), pixels.double(), frame)
        if exact.margin < MARGIN:
            continue
        if exact.proposals.shape != rough.proposals.shape or exact.detections.shape != rough.detections.shape:
            raise SystemExit(f"{name}: the f32 run decides otherwise")
        box = max((exact.proposals - rough.proposals)[:, :4].abs().max(),
                  (exact.detections - rough.detections)[:, :4].abs().max()).item()
        score = max((exact.proposals - rough.proposals)[:, 4].abs().max(),
                    (exact.detections - rough.detections)[:, 4:].abs().max()).item()
        mask = (exact.masks - rough.masks).abs().max().item() if model.options.masks else 0
        if box > 2e-3 or score > 2e-5 or mask > 5e-5:
            raise SystemExit(f"{name}: the f32 run is off by {box:.1e} pixels, {score:.1e} in score, {mask:.1e} in masks")
        print(f"  {len(exact.proposals)} proposals (RoI levels {exact.levels.bincount().tolist()}), scores "
              f"{exact.proposals[-1, 4]:.3f} to {exact.proposals[0, 4]:.3f}; {len(exact.detections)} detections (labels "
              f"{exact.detections[:, 5].long().bincount().tolist()}), scores {exact.detections[-1, 4]:.3f} to "
              f"{exact.detections[0, 4]:.3f}; f32 off by {box:.1e} pixels, {score:.1e} in score")
        return name, exact, score
    raise SystemExit(f"no picture of {size} out of {ATTEMPTS} will do")


def runs(found: Run, frame: Frame) -> list[str]:
    """COCO's run lengths of the pasted masks, from what is stored of them."""
    size = frame.original_height, frame.original_width
    masks = [faster_rcnn.pasted(mask, box, *size) for mask, box in
             zip(found.masks.float().double(), found.detections[:, :4].float().double())]
    return [coco_mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))["counts"].decode() for mask in masks]


def golden(network: Network) -> tuple[dict[str, Tensor], dict[str, dict]]:
    """(tensors, metadata that depend on them)"""
    model = FasterRCNN(network.trunk, network.options).eval()
    faster_rcnn.fill(model, network.scales)
    tensors, about = {}, {"pictures": {}, "frames": {}, "shapes": {}, "margins": {}, "f32_errors": {}, "runs": {}}
    for (h, w), frame in network.cases:
        key = f"{h}x{w}"
        about["pictures"][key], found, error = choose(model, (h, w), frame)
        about["frames"][key], about["margins"][key], about["f32_errors"][key] = list(frame), found.margin, error
        for i, level in enumerate(found.maps):
            name = f"{key}/p{i + int(network.options.taps[0][1])}"
            about["shapes"][name] = list(level.shape)
            tensors[f"{name}/values"] = level.reshape(-1)[make_goldens.positions(level.numel())].float()
            tensors[f"{name}/sums"] = level.sum((0, 2, 3)).float()
            tensors[f"{name}/absmax"] = level.abs().max().reshape(1).float()
        tensors[f"{key}/proposals"] = found.proposals.float()
        tensors[f"{key}/proposal_levels"] = found.levels.float()
        tensors[f"{key}/detections"] = found.detections.float()
        if network.options.masks:
            tensors[f"{key}/masks"] = found.masks.float()
            about["runs"][key] = runs(found, frame)
    return tensors, about


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", type=Path, default=home / "tests" / "golden" / "detect")
    p.add_argument("names", nargs="*", help="only these networks")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or NETWORKS:
        network = NETWORKS[name]
        print(name)
        with torch.no_grad():
            tensors, about = golden(network)
        backbone = {k: v for k, v in network.trunk.items() if k != "dialect"} if network.arch == "custom" else {}
        file = args.out / f"{name}.safetensors"
        save_file(tensors, file, metadata={
            "command": f"python training/make_detection_goldens.py {name}", "arch": network.arch,
            "backbone": json.dumps(backbone), "dialect": {"A": "official", "B": "mmdet"}[network.trunk["dialect"]],
            "options": json.dumps(asdict(network.options)), "scales": json.dumps(network.scales),
            "torch": torch.__version__, **{k: json.dumps(v) for k, v in about.items()}})
        file.chmod(0o644)  # safetensors makes it private


if __name__ == "__main__":
    main()
