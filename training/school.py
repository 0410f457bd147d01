"""One trunk with four heads as a network that learns, and what each head's loss is.

Batch norms are folded into their convolutions before anything is learnt: those of the trunk with the moments that it was
schooled with, those of new heads with the moments of a first look at photos. So a step may be small, and what is trained is
what the daemon runs.

Losses:

* detector (``detection``): of anchors and regions as in the Faster R-CNN paper, cross-entropy and L1, but that a region's score
  aims at how well its refined box fits, so that suppression keeps the best (as IoU-aware detectors do: Zhang et al., VarifocalNet, 2021);
* keypoints (``joints``): squared error to a Gaussian with 1 in the joint's cell, which makes values scores, plus the
  divergence of softmax(10 x map) from it, which learns faster where a joint is;
* segmenter (``pixels``): cross-entropy plus a soft Dice term of the classes that are there, at half the input's resolution;
* classifier (``classes``): cross-entropy, smoothed.
"""
from __future__ import annotations

import math
import re

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou, roi_align

import data as D
import deeplab
import faster_rcnn as R
import res2net
import roi_keypoints as K
from scenes import CROWD, IGNORED, Scene

LOOSE, TIGHT = 0.3, 0.7  # overlap of a refined box with its object that makes the score's aim 0 and 1
ANCHORS, REGIONS, EMPTY_REGIONS = 256, 96, 24  # that a picture's losses are taken of; regions of one without objects
MOST = 6  # persons of a picture whose joints are looked at in a step
PADDING = 1.25  # of boxes for keypoints, as the head's default
SMOOTH = 0.08  # longer sides of a box within which heat counts for a joint
NAMED = 5  # tensors of a file that does not fit
SIGMA, SHARPNESS, DIVERGENCE = 1.2, 10.0, 0.3  # cells; of the softmax; its weight in the loss


def pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of the convolutions and of the batch norms that follow them."""
    names, found = dict(module.named_modules()), []
    for name, m in names.items():
        if isinstance(m, nn.Conv2d):
            owner, _, leaf = name.rpartition(".")
            follower = name.replace("convs.", "bns.") if ".convs." in name else (
                f"{owner}.{int(leaf) + 1}" if leaf.isdigit() else
                f"{owner}.{leaf.replace('conv', 'bn')}" if owner else leaf.replace("conv", "bn"))
            if isinstance(names.get(follower), nn.BatchNorm2d):
                found.append((name, follower))
    return found


@torch.no_grad()
def fold(module: nn.Module) -> None:
    """Every batch norm goes into its convolution, which gets a bias; an identity takes its place."""
    modules = dict(module.named_modules())
    for conv_name, norm_name in pairs(module):
        conv, norm = modules[conv_name], modules[norm_name]
        factor = norm.weight / (norm.running_var + norm.eps).sqrt()
        bias = norm.bias - norm.running_mean * factor
        conv.weight.mul_(factor[:, None, None, None])
        conv.bias = nn.Parameter(bias if conv.bias is None else bias + conv.bias * factor)
        owner, _, leaf = norm_name.rpartition(".")
        setattr(modules[owner] if owner else module, leaf, nn.Identity())
    left = [n for n, m in module.named_modules() if isinstance(m, nn.BatchNorm2d)]
    if left:
        raise ValueError(f"no convolution before {', '.join(left)}")


def unfolded(state: dict[str, Tensor], norms: list[tuple[str, str]]) -> dict[str, Tensor]:
    """A folded state under the names that the file has: the biases are batch norms that only add."""
    state = dict(state)
    for conv, norm in norms:
        bias = state.pop(f"{conv}.bias")
        one = torch.ones_like(bias)
        state |= {f"{norm}.weight": one, f"{norm}.bias": bias, f"{norm}.running_mean": 0 * one, f"{norm}.running_var": one}
    return state


def folded(state: dict[str, Tensor], norms: list[tuple[str, str]]) -> dict[str, Tensor]:
    """What ``unfolded`` made of such a state."""
    state = dict(state)
    for conv, norm in norms:
        state[f"{conv}.bias"] = state.pop(f"{norm}.bias")
        for rest in ("weight", "running_mean", "running_var"):
            del state[f"{norm}.{rest}"]
    return state


class Net(nn.Module):
    """``trunk``: options of ``res2net.Res2Net``; ``classes`` 0: no classifier. A head whose options are None is not there."""

    def __init__(self, trunk: dict, classes: int, detect: R.Options | None, segment: deeplab.Options | None,
                 keypoints: dict | None):
        super().__init__()
        self.widths = [p * res2net.EXPANSION for p in trunk["planes"]]
        self.trunk, self.fc = R.Trunk(trunk), nn.Linear(self.widths[-1], max(1, classes))
        self.detector = R.FasterRCNN(trunk, detect) if detect else None
        if detect:
            self.detector.backbone = nn.Identity()
        self.segmenter = deeplab.DecodeHead(trunk["planes"], segment) if segment else None
        self.keypoints = K.KeypointHead(tuple(self.widths), **keypoints) if keypoints else None
        self.trunk_norms, self.segmenter_norms = pairs(self.trunk), pairs(self.segmenter) if segment else []

    def suited(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """A file's tensors (official, timm's, mmdetection's or mmpretrain's names) as trunk and classifier have them; SystemExit
        where they do not fit the trunk."""
        own = {re.sub(r"^(backbone|head)\.", "", n): t.float() for n, t in weights.items() if t.is_floating_point()}
        if hasattr(self.trunk, "stem"):  # mmdetection's names of a deep stem
            own = {re.sub(r"^conv1\.(?=\d)", "stem.", re.sub(r"^bn1\.", "stem.7.", n)): t for n, t in own.items()}
        asked = {n: t for n, t in self.trunk.state_dict().items() if not n.endswith("num_batches_tracked")}
        given = {n: t for n, t in own.items() if not n.startswith("fc.")}
        wrong = [f"{n} is missing" for n in asked if n not in given] + [f"{n} is unexpected" for n in given if n not in asked]
        wrong += [f"{n} is {tuple(t.shape)}, not {tuple(asked[n].shape)}" for n, t in given.items()
                  if n in asked and t.shape != asked[n].shape]
        if wrong:
            more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
            raise SystemExit(f"weights that do not fit the trunk: {'; '.join(wrong[:NAMED])}{more}")
        return own

    @torch.no_grad()
    def begin(self, weights: dict[str, Tensor], pixels: Tensor) -> None:
        """A schooled trunk (as ``suited`` takes it), and heads that suit its maps of these pictures."""
        own = self.suited(weights)
        if "fc.weight" in own and own["fc.weight"].shape == self.fc.weight.shape:
            self.fc.load_state_dict({n: own[f"fc.{n}"] for n in ("weight", "bias")})
        self.trunk.load_state_dict({n: t for n, t in own.items() if not n.startswith("fc.")}, strict=False)
        fold(self.trunk.eval())
        heads = [h for h in (self.detector, self.keypoints) if h is not None]
        for name, m in (named for head in heads for named in head.named_modules()):
            if isinstance(m, nn.Conv2d):
                small = name in ("rpn_head.rpn_cls", "rpn_head.rpn_reg", "maps")
                nn.init.normal_(m.weight, std=0.01) if small else nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                nn.init.zeros_(m.bias)
        if self.detector is not None:
            for m in (self.detector.roi_head.bbox_head.fc_cls, self.detector.roi_head.bbox_head.fc_reg):
                nn.init.normal_(m.weight, std=0.01)
                nn.init.zeros_(m.bias)
        taps = [torch.cat(level) for level in zip(*(self.trunk(p).values() for p in pixels.split(8)))]
        first = [[c.conv for c in self.detector.neck.lateral_convs]] if self.detector is not None else []
        first += [self.keypoints.lateral] if self.keypoints is not None else []
        for convs in first:
            for conv, tap in zip(convs, taps):
                mean, std = tap.mean((0, 2, 3)), tap.std((0, 2, 3)).clamp_min(1e-2)
                nn.init.normal_(conv.weight, std=(2 * conv.in_channels) ** -0.5)
                conv.weight.div_(std[None, :, None, None])
                conv.bias.copy_(-(conv.weight * mean[None, :, None, None]).sum((1, 2, 3)))
        if self.segmenter is not None:
            for m in self.segmenter.modules():
                if isinstance(m, nn.BatchNorm2d):
                    m.momentum = None  # the mean of what it sees
            self.segmenter.train()(dict(zip(R.TAPS, taps)))
            fold(self.segmenter.eval())

    def resume(self, state: dict[str, Tensor]) -> None:
        """What such a network has learnt, instead of a beginning; as half precision keeps it."""
        for part in (self.trunk, self.segmenter):
            if part is not None:
                fold(part.eval())
        self.load_state_dict(state)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(p.half())
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def freeze(self, stages: int) -> None:
        """What does not learn: the stem and the first stages, of which the first costs 30 % of a step, or (of all four) the
        classifier, too."""
        parts = [m for n, m in self.trunk.named_children() if not n.startswith("layer") or int(n[5:]) <= stages]
        for m in parts + [self.fc] * (stages == len(self.widths)):
            m.requires_grad_(False)

    def classify(self, taps: dict[str, Tensor]) -> Tensor:
        return self.fc(taps["c5"].mean((2, 3)))


def encode(boxes: Tensor, truth: Tensor, stds: tuple[float, ...]) -> Tensor:
    """The deltas that ``faster_rcnn.decode`` makes ``truth`` of."""
    size, goal = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    shift = (truth[:, :2] + truth[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / (2 * size)
    return torch.cat((shift, (goal / size).log()), 1) / boxes.new_tensor(stds)


def assign(boxes: Tensor, scene: Scene, high: float, low: float, rescue: bool) -> tuple[Tensor, Tensor]:
    """(1 positive, 0 negative, -1 neither; the object that a box overlaps most). ``rescue``: an object's best boxes are
    positive already from ``low`` on. What is half in a crowd is not negative."""
    kind, object_ = torch.zeros(len(boxes)), torch.zeros(len(boxes), dtype=torch.long)
    single, crowds = (torch.from_numpy(np.flatnonzero(k)) for k in (scene.kinds != CROWD, scene.kinds == CROWD))
    truth = torch.from_numpy(scene.boxes)
    if len(single):
        iou = box_iou(truth[single], boxes)
        best, near = iou.max(0)
        object_ = single[near]
        kind = torch.where(best >= high, 1.0, torch.where(best < low, 0.0, -1.0))
        if rescue:
            top = iou.max(1, keepdim=True).values
            mine, box = ((iou == top) & (iou >= low)).nonzero().T
            kind[box], object_[box] = 1.0, single[mine]
    if len(crowds):
        low_, high_ = (f(boxes[:, None, h], truth[None, crowds][..., h]) for f, h in
                       ((torch.maximum, slice(0, 2)), (torch.minimum, slice(2, 4))))
        share = (high_ - low_).clamp_min(0).prod(2) / (boxes[:, 2:] - boxes[:, :2]).prod(1, keepdim=True)
        kind[(share.max(1).values > 0.5) & (kind == 0)] = -1
    return kind, object_


def sample(kind: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Random indices of positives (at most a ``share``) and of negatives, ``count`` together where there are enough."""
    positive, negative = (kind == 1).nonzero()[:, 0], (kind == 0).nonzero()[:, 0]
    positive = positive[torch.randperm(len(positive))[:int(count * share)]]
    return positive, negative[torch.randperm(len(negative))[:count - len(positive)]]


def regions(maps: list[Tensor], boxes: list[Tensor], options: R.Options) -> Tensor:
    """``FasterRCNN.regions`` of several pictures at once."""
    every = torch.cat(boxes)
    picture = torch.cat([b.new_full((len(b), 1), i) for i, b in enumerate(boxes)])
    level = R.roi_levels(every, options)
    order, parts = [], []
    for i, stride in zip(range(len(options.taps)), options.anchor_strides):
        mine = (level == i).nonzero()[:, 0]
        if len(mine):
            order.append(mine)
            parts.append(roi_align(maps[i], torch.cat((picture[mine], every[mine]), 1), options.roi_size, 1 / stride,
                                   sampling_ratio=-1, aligned=True))
    return torch.cat(parts)[torch.cat(order).argsort()]


def detection(model: R.FasterRCNN, maps: list[Tensor], scenes: list[Scene]) -> dict[str, Tensor]:
    """The detector's four losses, each the mean over the pictures."""
    options = model.options
    levels = model.neck(maps)
    outputs = [model.rpn_head(m) for m in levels]
    anchors = model.anchors(levels)
    every = torch.cat(anchors)
    centre = (every[:, :2] + every[:, 2:]) / 2
    sums = dict.fromkeys(("object", "anchor", "class", "box"), 0.0)
    chosen, goals, positive, nearest, kinds = [], [], [], [], []
    for i, scene in enumerate(scenes):
        (h, w), truth, labels = scene.valid, torch.from_numpy(scene.boxes), torch.from_numpy(scene.kinds)
        logits, deltas = (torch.cat([o[k][i] for o in outputs]) for k in (0, 1))
        kind, mine = assign(every, scene, 0.7, 0.3, True)
        kind[(centre[:, 0] >= w) | (centre[:, 1] >= h)] = -1  # padding
        good, bad = sample(kind, ANCHORS, 0.5)
        both = torch.cat((good, bad))
        sums["object"] += F.binary_cross_entropy_with_logits(logits[both], kind[both])
        if len(good):
            goal = encode(every[good], truth[mine[good]], R.RPN_STDS)
            sums["anchor"] += (deltas[good] - goal).abs().sum() / ANCHORS
        with torch.no_grad():
            frame = R.Frame(h, w, h, w)
            found = [model.best(a, o[0][i], o[1][i], frame) for a, o in zip(anchors, outputs)]
            boxes = torch.cat((model.suppressed(found).boxes, truth[labels != CROWD]))
            kind, mine = assign(boxes, scene, 0.5, 0.5, False)
            good, bad = sample(kind, REGIONS if len(truth) else EMPTY_REGIONS, 0.25)
            both = torch.cat((good, bad))
        chosen.append(boxes[both])
        positive.append(kind[both] == 1)
        nearest.append(truth[mine[both]] if len(truth) else boxes.new_zeros(len(both), 4))  # object of each region
        kinds.append(labels[mine[both]] if len(truth) else mine[both])
        goals.append(encode(boxes[good], truth[mine[good]], R.BOX_STDS[0]) if len(good) else boxes.new_zeros(0, 4))
    scores, deltas = model.roi_head.bbox_head(regions(levels, chosen, options))
    kind = torch.cat(kinds).clamp_min(0)  # what is nearest to a crowd is not in it, and shows nothing
    deltas = deltas.view(len(deltas), options.classes, 4)[torch.arange(len(deltas)), kind]
    with torch.no_grad():
        refined = R.decode(torch.cat(chosen), deltas, R.BOX_STDS[0])
        shown = ((box_iou(refined, torch.cat(nearest)).diagonal() - LOOSE) / (TIGHT - LOOSE)).clamp(0, 1)
        shown[torch.cat(kinds) == CROWD] = 0
    weight = torch.cat([torch.full((len(k),), 1 / max(len(k), 1)) for k in kinds])  # a mean of each picture
    shares = scores.log_softmax(1)
    object_, background = shares[torch.arange(len(kind)), kind], shares[:, -1]
    sums["class"] -= ((shown * object_ + (1 - shown) * background) * weight).sum()
    sums["box"] += (deltas[torch.cat(positive)] - torch.cat(goals)).abs().sum() / REGIONS
    return {n: s / len(scenes) for n, s in sums.items()}


def jittered(boxes: Tensor) -> Tensor:
    """Regions of boxes as a detector might give them."""
    noise = torch.randn(2, len(boxes), 2)
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    middle, side = middle + 0.06 * noise[0] * side, side * (0.12 * noise[1]).exp()
    return K.grow(torch.cat((middle - side / 2, middle + side / 2), 1), PADDING)


def joints(head: K.KeypointHead, taps: list[Tensor], scenes: list[Scene]) -> Tensor:
    """Mean over the labelled joints within the regions."""
    places, truths = [], []
    for scene in scenes:
        some = np.flatnonzero((scene.joints[..., 2] > 0).any(1))
        some = some[torch.randperm(len(some))[:MOST].numpy()]
        places.append(jittered(torch.from_numpy(scene.boxes[some])))
        truths.append(torch.from_numpy(scene.joints[some]))
    maps, place, truth = head(head.features(taps), places), torch.cat(places), torch.cat(truths)
    bins = maps.shape[-1]
    cells = (truth[..., :2] - place[:, None, :2]) / (place[:, None, 2:] - place[:, None, :2]) * bins - 0.5
    labelled = (truth[..., 2] > 0) & (cells > -0.5).all(-1) & (cells < bins - 0.5).all(-1)
    middle = torch.arange(bins, dtype=torch.float32)
    x, y = (torch.exp(-((middle - cells[..., k, None]) ** 2) / (2 * SIGMA**2)) for k in (0, 1))
    target = (y[..., :, None] * x[..., None, :])[labelled].flatten(1)
    maps = maps[labelled].flatten(1)
    if not len(maps):
        return maps.sum()
    square = ((maps - target) ** 2).sum(1).mean() / (math.pi * SIGMA**2)  # 1: a map of zeros
    share = target / target.sum(1, keepdim=True)
    return square + DIVERGENCE * F.kl_div(F.log_softmax(SHARPNESS * maps, 1), share, reduction="none").sum(1).mean()


def pixels(head: nn.Module, taps: dict[str, Tensor], scenes: list[Scene]) -> dict[str, Tensor]:
    """Losses against the shares of the classes in a 2 x 2 cell; cells that are not known do not count."""
    masks = torch.from_numpy(np.stack([s.mask for s in scenes])).long()
    side = masks.shape[1] // 2
    logits = F.interpolate(head(taps), (side, side), mode="bilinear", align_corners=False)
    seen = (masks != IGNORED).view(-1, side, 2, side, 2).all(4).all(2)
    shares = F.one_hot(masks.where(masks != IGNORED, 0), logits.shape[1]).view(-1, side, 2, side, 2, logits.shape[1]).sum((2, 4))
    share, z = shares[seen] / 4, logits.permute(0, 2, 3, 1)[seen]
    p, there = z.softmax(1)[:, 1:], share[:, 1:].sum(0)
    overlap = (2 * (p * share[:, 1:]).sum(0) + 1) / (p.sum(0) + there + 1)
    shown = there > 0
    return {"entropy": F.cross_entropy(z, share), "dice": 1 - (overlap[shown].mean() if shown.any() else 1)}


def classes(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the pictures."""
    return (F.cross_entropy(logits, labels, reduction="none", label_smoothing=0.05) * weight).sum() / len(labels)


def pictures(scenes: list[Scene], dice: torch.Generator | None = None) -> Tensor:
    """The trunk's input, with random colours if there are dice."""
    squares = torch.from_numpy(np.stack([s.pixels for s in scenes]))
    x = D.normalise(D.colour(squares, dice) if dice else squares, torch.tensor([s.valid for s in scenes]))
    return x.contiguous(memory_format=torch.channels_last)


def losses(net: Net, taps: dict[str, Tensor], scenes: list[Scene]) -> dict[str, Tensor]:
    """What the heads of objects have to learn of these scenes."""
    parts = {}

    def some(keep: list[bool]) -> tuple[dict[str, Tensor], list[Scene]]:
        rows = torch.tensor([i for i, k in enumerate(keep) if k], dtype=torch.long)
        return {n: t[rows] for n, t in taps.items()}, [s for s, k in zip(scenes, keep) if k]

    for head, loss, keep in ((net.detector, _detection, [s.known for s in scenes]),
                             (net.keypoints, _joints, [bool((s.joints[..., 2] > 0).any()) for s in scenes]),
                             (net.segmenter, pixels, [bool((s.mask != IGNORED).any()) for s in scenes])):
        if head is not None and any(keep):
            parts |= loss(head, *some(keep))
    return parts


def _detection(head: R.FasterRCNN, taps: dict[str, Tensor], scenes: list[Scene]) -> dict[str, Tensor]:
    return detection(head, list(taps.values()), scenes)


def _joints(head: K.KeypointHead, taps: dict[str, Tensor], scenes: list[Scene]) -> dict[str, Tensor]:
    return {"joints": joints(head, list(taps.values()), scenes)}


def points(maps: Tensor, places: Tensor, smooth: float = 0.0) -> Tensor:
    """Joints (n, J, 3: x y score) as the daemon reads maps: the hottest cell, a quarter towards the warmer neighbour, where
    ``smooth`` is not 0 of the maps that ``roi_keypoints.near`` makes."""
    score = maps.flatten(2).max(2).values
    bins, flat = maps.shape[-1], (K.near(maps, places, smooth / PADDING) if smooth else maps).flatten(2)
    cell = flat.argmax(2)
    at = torch.stack((cell % bins, cell // bins), -1)
    inner = ((at > 1) & (at + 1 < bins)).all(-1, keepdim=True)
    sides = cell[..., None] + torch.tensor((1, -1, bins, -bins))
    beside = flat.gather(2, sides.clamp(0, bins * bins - 1))
    at = at + 0.25 * (beside[..., ::2] - beside[..., 1::2]).sign() * inner
    at = places[:, None, :2] + (at + 0.5) * (places[:, 2:] - places[:, :2])[:, None] / bins
    return torch.cat((at, score[..., None]), -1)
