"""Faster R-CNN on a Res2Net trunk with a feature pyramid, and Mask and Cascade R-CNN as its options; inference only: the
reference of the head ``faster_rcnn``.

Parameters carry mmdetection's names (``backbone.* neck.* rpn_head.* roi_head.bbox_head.* roi_head.mask_head.*``), so a
published checkpoint of ``{faster,mask,cascade,cascade-mask}-rcnn_res2net-101_fpn`` loads with ``strict=True``; semantics are
those of mmdetection 2 and 3. The defaults of ``Options`` are Faster R-CNN; a narrow one is the same code with smaller numbers.

Test weights
------------
``fill`` gives every tensor its value of ``testweights.py``. What is hashed is the name that the graph of the C engine
uses: the official name for the trunk (``conv1.0.weight``, not ``backbone.stem.0.weight``), mmdetection's for the rest.
On top of that ``fill`` multiplies whole tensors by constants (f32 times f32, rounded to f32), because the scores of a random
network would otherwise be nearly equal everywhere; ``make_detection_goldens.scales`` says which.
"""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou, nms, roi_align

import res2net
import testweights

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
LARGEST_DELTA = abs(math.log(16 / 1000))
RPN_STDS = (1.0, 1.0, 1.0, 1.0)
BOX_STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))  # of each stage of a cascade
TAPS = ("c2", "c3", "c4", "c5")


@dataclass(frozen=True)
class Options:
    """What the head can be told. A level of the pyramid per stride: one per tap, the rest by taking every second cell.

    The anchors of a cell are numbered ratio by ratio, within a ratio scale by scale; a ratio is height / width, the base
    size of a level is its stride. ``finest_scale``: a region whose sqrt(area) is below twice this reads the first level.
    """

    classes: int = 80
    fpn_channels: int = 256
    rpn_channels: int = 256
    fc_channels: int = 1024
    taps: tuple[str, ...] = TAPS
    anchor_scales: tuple[float, ...] = (8,)
    anchor_ratios: tuple[float, ...] = (0.5, 1, 2)
    anchor_strides: tuple[int, ...] = (4, 8, 16, 32, 64)
    pre_nms: int = 1000
    proposals: int = 1000
    rpn_nms: float = 0.7
    roi_size: int = 7
    finest_scale: float = 56
    objectness: float = 0.0  # share of a proposal's own score in the scores of what is found there
    score_threshold: float = 0.05
    nms: float = 0.5
    voting: float = 1.0  # overlap from which the boxes around one that is kept are averaged with it; 1: none are
    max: int = 100
    cascade: bool = False  # three box heads (and mask heads), each on the boxes of the one before, which know no classes
    masks: bool = False
    mask_size: int = 14
    mask_convs: int = 4
    mask_channels: int = 256


class Frame(NamedTuple):
    """The picture inside the network's input: its size there, before padding, and its original size, in pixels."""

    height: int
    width: int
    original_height: int
    original_width: int


class Proposals(NamedTuple):
    """``boxes`` (n, 4) as x1 y1 x2 y2 in network pixels, descending ``scores`` (n)."""

    boxes: Tensor
    scores: Tensor


class Detections(NamedTuple):
    """``boxes`` (n, 4) as x1 y1 x2 y2 in pixels of the original, descending ``scores`` (n), ``labels`` (n); ``masks``
    (n, size, size): how sure each cell of the box is."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None


class Look(NamedTuple):
    """What a box head says of regions: ``boxes`` (n, 4) in network pixels, ``logits`` (n, classes + 1), and the boxes that
    it makes of them, ``refined`` (n, classes or 1, 4), clipped."""

    boxes: Tensor
    logits: Tensor
    refined: Tensor


class Trunk(nn.Module):
    """The stages of ``res2net.Res2Net``; a deep stem is one list ``stem.0 .. stem.8``, as mmdetection has it."""

    def __init__(self, options: dict):
        super().__init__()
        net = res2net.Res2Net(**options)
        if options.get("stem") == "deep":
            self.stem = nn.Sequential(*net.conv1, net.bn1, net.relu)
        else:
            self.conv1, self.bn1, self.relu = net.conv1, net.bn1, net.relu
        self.maxpool = net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stem(x) if hasattr(self, "stem") else self.relu(self.bn1(self.conv1(x)))
        x = self.maxpool(x)
        out = {}
        for tap, layer in zip(TAPS, (self.layer1, self.layer2, self.layer3, self.layer4)):
            out[tap] = x = layer(x)
        return out


class Conv(nn.Module):
    """A convolution that keeps the size, under the extra name ``conv`` that mmcv gives it."""

    def __init__(self, cin: int, cout: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Pyramid(nn.Module):
    """Feature pyramid network: the lateral maps, added from the coarsest down, then a 3x3 each."""

    def __init__(self, channels: list[int], width: int, levels: int):
        super().__init__()
        self.extra = levels - len(channels)
        self.lateral_convs = nn.ModuleList(Conv(c, width, 1) for c in channels)
        self.fpn_convs = nn.ModuleList(Conv(width, width, 3) for _ in channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [lateral(m) for lateral, m in zip(self.lateral_convs, maps)]
        for fine, coarse in zip(range(len(maps) - 2, -1, -1), range(len(maps) - 1, 0, -1)):
            maps[fine] = maps[fine] + F.interpolate(maps[coarse], size=maps[fine].shape[2:], mode="nearest")
        out = [conv(m) for conv, m in zip(self.fpn_convs, maps)]
        for _ in range(self.extra):
            out.append(out[-1][:, :, ::2, ::2])
        return out


class RpnHead(nn.Module):
    def __init__(self, cin: int, width: int, anchors: int):
        super().__init__()
        self.rpn_conv = nn.Conv2d(cin, width, 3, padding=1)
        self.rpn_cls = nn.Conv2d(width, anchors, 1)
        self.rpn_reg = nn.Conv2d(width, 4 * anchors, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, n) and deltas (N, n, 4) of the anchors, cell by cell in rows, of one level of N pictures."""
        x = F.relu(self.rpn_conv(x))
        return (self.rpn_cls(x).permute(0, 2, 3, 1).reshape(len(x), -1),
                self.rpn_reg(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4))


class BoxHead(nn.Module):
    """Scores and deltas (for each class, or once for all) of regions; the background is the last class."""

    def __init__(self, cin: int, size: int, width: int, classes: int, agnostic: bool):
        super().__init__()
        self.shared_fcs = nn.ModuleList((nn.Linear(cin * size * size, width), nn.Linear(width, width)))
        self.fc_cls = nn.Linear(width, classes + 1)
        self.fc_reg = nn.Linear(width, 4 if agnostic else 4 * classes)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        x = regions.flatten(1)
        for fc in self.shared_fcs:
            x = F.relu(fc(x))
        return self.fc_cls(x), self.fc_reg(x)


class MaskHead(nn.Module):
    """Logits of the mask of every class, with twice the cells of the regions."""

    def __init__(self, cin: int, convs: int, width: int, classes: int):
        super().__init__()
        self.convs = nn.ModuleList(Conv(width if i else cin, width, 3) for i in range(convs))
        self.upsample = nn.ConvTranspose2d(width if convs else cin, width, 2, 2)
        self.conv_logits = nn.Conv2d(width, classes, 1)

    def forward(self, regions: Tensor) -> Tensor:
        for conv in self.convs:
            regions = F.relu(conv(regions))
        return self.conv_logits(F.relu(self.upsample(regions)))


class _RoiHead(nn.Module):
    """A cascade has lists of heads under the names of the one."""

    def __init__(self, o: Options):
        super().__init__()
        def each(make):
            return nn.ModuleList(make() for _ in BOX_STDS) if o.cascade else make()
        self.bbox_head = each(lambda: BoxHead(o.fpn_channels, o.roi_size, o.fc_channels, o.classes, o.cascade))
        if o.masks:
            self.mask_head = each(lambda: MaskHead(o.fpn_channels, o.mask_convs, o.mask_channels, o.classes))

    def box_heads(self) -> list[BoxHead]:
        return list(self.bbox_head) if isinstance(self.bbox_head, nn.ModuleList) else [self.bbox_head]

    def mask_heads(self) -> list[MaskHead]:
        return list(self.mask_head) if isinstance(self.mask_head, nn.ModuleList) else [self.mask_head]


class FasterRCNN(nn.Module):
    """``trunk``: options of ``res2net.Res2Net``; mmdetection's detectors are of dialect B."""

    def __init__(self, trunk: dict, options: Options = Options()):
        super().__init__()
        o = self.options = options
        self.backbone = Trunk(trunk)
        planes = dict(zip(TAPS, trunk["planes"]))
        self.neck = Pyramid([planes[t] * res2net.EXPANSION for t in o.taps], o.fpn_channels, len(o.anchor_strides))
        self.rpn_head = RpnHead(o.fpn_channels, o.rpn_channels, len(o.anchor_scales) * len(o.anchor_ratios))
        self.roi_head = _RoiHead(o)

    def pyramid(self, picture: Tensor) -> list[Tensor]:
        """The levels of a normalised and padded picture (1, 3, H, W), finest first."""
        taps = self.backbone(picture)
        return self.neck([taps[t] for t in self.options.taps])

    def candidates(self, maps: list[Tensor], frame: Frame) -> list[Proposals]:
        """The best ``pre_nms`` boxes of each level, clipped, before anything is suppressed."""
        found = []
        for level, boxes in zip(maps, self.anchors(maps)):
            logits, deltas = self.rpn_head(level)
            found.append(self.best(boxes, logits[0], deltas[0], frame))
        return found

    def anchors(self, maps: list[Tensor]) -> list[Tensor]:
        """The anchors of each level."""
        return [anchors(*m.shape[2:], stride, self.options, m.dtype) for m, stride in zip(maps, self.options.anchor_strides)]

    def best(self, boxes: Tensor, logits: Tensor, deltas: Tensor, frame: Frame) -> Proposals:
        """Of one level's anchors, with their logits (n) and deltas (n, 4), the candidates."""
        scores, order = logits.sigmoid().sort(descending=True, stable=True)
        scores, order = scores[:self.options.pre_nms], order[:self.options.pre_nms]
        boxes = clip(decode(boxes[order], deltas[order], RPN_STDS), frame.height, frame.width)
        kept = (boxes[:, 2:] > boxes[:, :2]).all(1)
        return Proposals(boxes[kept], scores[kept])

    def proposals(self, maps: list[Tensor], frame: Frame) -> Proposals:
        """The regions to look at."""
        return self.suppressed(self.candidates(maps, frame))

    def suppressed(self, candidates: list[Proposals]) -> Proposals:
        """What suppression leaves of each level, the best of all levels together."""
        kept = []
        for boxes, scores in candidates:
            left = nms(boxes, scores, self.options.rpn_nms)
            kept.append((boxes[left], scores[left]))
        boxes, scores = (torch.cat(parts) for parts in zip(*kept))
        scores, order = scores.sort(descending=True, stable=True)
        return Proposals(boxes[order][:self.options.proposals], scores[:self.options.proposals])

    def regions(self, maps: list[Tensor], boxes: Tensor, size: int) -> Tensor:
        """(n, C, size, size): each box read from the level that suits its size."""
        o = self.options
        out = boxes.new_zeros(len(boxes), o.fpn_channels, size, size)
        levels = roi_levels(boxes, o)
        for i, stride in zip(range(len(o.taps)), o.anchor_strides):
            mine = (levels == i).nonzero()[:, 0]
            if len(mine):
                out[mine] = roi_align(maps[i], [boxes[mine]], size, 1 / stride, sampling_ratio=-1, aligned=True)
        return out

    def looks(self, maps: list[Tensor], boxes: Tensor, frame: Frame) -> list[Look]:
        """What the box heads say, one after the other."""
        out = []
        for head, stds in zip(self.roi_head.box_heads(), BOX_STDS):
            logits, deltas = head(self.regions(maps, boxes, self.options.roi_size))
            deltas = deltas.reshape(len(boxes), -1, 4)
            refined = clip(decode(boxes[:, None].expand_as(deltas), deltas, stds), frame.height, frame.width)
            out.append(Look(boxes, logits, refined))
            boxes = refined[:, 0]
        return out

    def scored(self, looks: list[Look], objectness: Tensor, frame: Frame) -> tuple[Tensor, Tensor]:
        """Scores (n, classes) and boxes (n, classes, 4) in pixels of the original. Scores are the probabilities of the mean
        logits, or weighted geometric means of them and the proposals' scores: Zhou et al., Probabilistic two-stage
        detection, 2021."""
        share = self.options.objectness
        probabilities = (sum(look.logits for look in looks) / len(looks)).softmax(1)[:, :-1]
        out = looks[-1].refined / factor(looks[-1].refined, frame)
        return probabilities ** (1 - share) * objectness[:, None] ** share, out.expand(-1, self.options.classes, -1)

    def masks(self, maps: list[Tensor], found: Detections, frame: Frame) -> Tensor:
        """(n, size, size): how sure the cells of the boxes are to be of their class."""
        regions = self.regions(maps, found.boxes * factor(found.boxes, frame), self.options.mask_size)
        sure = torch.stack([head(regions).sigmoid() for head in self.roi_head.mask_heads()]).mean(0)
        return sure[torch.arange(len(regions)), found.labels]

    def detect(self, maps: list[Tensor], proposals: Proposals, frame: Frame) -> Detections:
        """What the proposals' boxes show."""
        o = self.options
        all_scores, refined = self.scored(self.looks(maps, proposals.boxes, frame), proposals.scores, frame)
        parts = []
        for label in range(o.classes):
            chosen = (all_scores[:, label] > o.score_threshold).nonzero()[:, 0]
            mine, scores = refined[chosen, label], all_scores[chosen, label]
            left = nms(mine, scores, o.nms)
            parts.append((voted(mine, scores, left, o.voting), scores[left], torch.full_like(left, label)))
        mine, scores, labels = (torch.cat(p) for p in zip(*parts))
        scores, order = scores.sort(descending=True, stable=True)
        order = order[:o.max]
        found = Detections(mine[order], scores[:o.max], labels[order])
        return found._replace(masks=self.masks(maps, found, frame)) if o.masks else found

    def forward(self, picture: Tensor, frame: Frame) -> Detections:
        maps = self.pyramid(picture)
        return self.detect(maps, self.proposals(maps, frame), frame)


def voted(boxes: Tensor, scores: Tensor, kept: Tensor, least: float) -> Tensor:
    """Means of the boxes that overlap the kept ones, weighted by score: Gidaris and Komodakis, 2015."""
    if least >= 1:
        return boxes[kept]
    weight = torch.where(box_iou(boxes[kept], boxes) >= least, scores, 0.0)
    return weight @ boxes / weight.sum(1, keepdim=True)


def anchors(height: int, width: int, stride: int, options: Options, dtype: torch.dtype) -> Tensor:
    """(height * width * anchors, 4): centred on (x * stride, y * stride), not on the middle of a cell."""
    roots = torch.tensor(options.anchor_ratios, dtype=dtype).sqrt()
    scales = torch.tensor(options.anchor_scales, dtype=dtype) * stride
    w, h = (scales / roots[:, None]).reshape(-1), (scales * roots[:, None]).reshape(-1)
    base = torch.stack((-w, -h, w, h), 1) / 2
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.stack((x, y, x, y), 2).reshape(-1, 1, 4).to(dtype) * stride
    return (centres + base).reshape(-1, 4)


def decode(boxes: Tensor, deltas: Tensor, stds: tuple[float, ...]) -> Tensor:
    """Boxes (..., 4) moved and stretched by deltas (..., 4) of these standard deviations."""
    deltas = deltas * deltas.new_tensor(stds)
    size = boxes[..., 2:] - boxes[..., :2]
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2 + deltas[..., :2] * size
    half = size * deltas[..., 2:].clamp(-LARGEST_DELTA, LARGEST_DELTA).exp() / 2
    return torch.cat((centre - half, centre + half), -1)


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    limits = boxes.new_tensor((width, height, width, height))
    return boxes.clamp(min=0).minimum(limits)


def factor(like: Tensor, frame: Frame) -> Tensor:
    """What boxes in pixels of the original are multiplied by to be in network pixels."""
    return like.new_tensor((frame.width / frame.original_width, frame.height / frame.original_height)).repeat(2)


def pasted(mask: Tensor, box: Tensor, height: int, width: int) -> Tensor:
    """(height, width): where the mask (size, size) of a box, resized to it, is sure by half; no pixel of an empty box."""
    x, y = (torch.arange(n, dtype=box.dtype) + 0.5 for n in (width, height))
    x, y = ((p - a) / (b - a) * 2 - 1 for p, a, b in ((x, box[0], box[2]), (y, box[1], box[3])))
    grid = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), 2)
    values = F.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
    return (values >= 0.5) & bool((box[:2] < box[2:]).all())


def roi_levels(boxes: Tensor, options: Options) -> Tensor:
    """Which level (an index of ``taps``) a box is read from."""
    sides = boxes[:, 2:] - boxes[:, :2]
    level = (sides.prod(1).sqrt() / options.finest_scale + 1e-6).log2().floor()
    return level.clamp(0, len(options.taps) - 1).long()


def prepare(picture: Image.Image, fit: tuple[int, int] | None = (800, 1333), multiple: int = 32) -> tuple[Tensor, Frame]:
    """(network input, frame) of a picture: as large as ``fit`` (short, long side) allows, ratio kept, then padded with
    zeros on the right and below to ``multiple``. None takes the picture as it is."""
    picture = picture.convert("RGB")
    w, h = picture.size
    if fit is not None:
        scale = min(fit[1] / max(w, h), fit[0] / min(w, h))
        picture = picture.resize((int(w * scale + 0.5), int(h * scale + 0.5)), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(picture, dtype=np.float32))
    pixels = ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None]
    return pad(pixels, multiple), Frame(picture.height, picture.width, h, w)


def pad(pixels: Tensor, multiple: int) -> Tensor:
    """Zeros on the right and below, until both sides are multiples."""
    h, w = pixels.shape[2:]
    return F.pad(pixels, (0, -w % multiple, 0, -h % multiple))


def hashed_name(name: str) -> str:
    """The name by which ``testweights.py`` makes a tensor of this model: official in the trunk."""
    name = name.removeprefix("backbone.")
    stem, _, rest = name.partition(".")
    if stem != "stem":
        return name
    index, _, leaf = rest.partition(".")
    return f"bn1.{leaf}" if index == "7" else f"conv1.{rest}"


def fill(model: nn.Module, scales: dict[str, float]) -> None:
    """Test weights by name, then whole tensors times constants. Any module with mmdetection's names will do."""
    state = model.state_dict()
    norms = {n.rsplit(".", 1)[0] for n in state if n.endswith(".running_var")}
    unknown = set(scales) - set(state)
    if unknown:
        raise ValueError(f"no such tensors to scale: {', '.join(sorted(unknown))}")
    with torch.no_grad():
        for name, value in state.items():
            if name.endswith("num_batches_tracked"):
                continue
            owner = name.rsplit(".", 1)[0]
            value.copy_(testweights.tensor(hashed_name(name), tuple(value.shape), owner in norms))
            value *= np.float32(scales.get(name, 1)).item()
