"""Hold faster_rcnn.py, or a running daemon, against mmdetection itself: random weights by rule, real photos. ``--net`` says
which detector: ``faster``, ``mask``, ``cascade`` or ``cascade-mask``.

Needs an environment of its own (mmdet 3.3.0, mmengine 0.10.7, mmcv-lite 2.1.0, ran with torch 2.15.0, torchvision 0.29.2,
opencv-python 5.0.0.93; ``pip install --no-build-isolation "setuptools<80"`` first). mmcv-lite has no compiled operations:
torchvision's NMS and RoIAlign stand in for them, everything else is mmdetection's own code and published configuration.

    python training/compare_mmdet.py PHOTO...                                   # faster_rcnn.py on the same input tensor
    python training/compare_mmdet.py --write DIR PHOTO...                       # a model directory for the daemon
    python training/compare_mmdet.py --url http://127.0.0.1:8080/detect PHOTO...   # the daemon that serves it

Prints the share of mmdetection's detections that the other also has: box within 0.1 pixels, score within 2e-3, same label;
and of the masks of these the least and the mean IoU, and how many pixels differ.
"""
from __future__ import annotations

import argparse
import json
import sys
import types
import urllib.request
from pathlib import Path
from typing import NamedTuple

import torch
import torchvision
from pycocotools import mask as coco_mask
from torch import Tensor

import faster_rcnn
import res2net

CONFIG = "res2net/{}-rcnn_res2net-101_fpn_{}_coco.py"
SCHEDULES = {"faster": "2x", "mask": "2x", "cascade": "20e", "cascade-mask": "20e"}


def scales(net: str) -> dict[str, float]:
    """Factors of the test weights, as in ``make_detection_goldens.scales``."""
    stages = [".0", ".1", ".2"] if net.startswith("cascade") else [""]
    each = {"bbox_head{}.fc_cls": 3.0, "bbox_head{}.fc_reg": 1.5}
    if net.endswith("mask"):
        each["mask_head{}.conv_logits"] = 25.0
    return {"rpn_head.rpn_cls.weight": 0.75, "rpn_head.rpn_reg.weight": 0.5} | {
        f"roi_head.{name.format(stage)}.weight": factor for stage in stages for name, factor in each.items()}


class RoIAlign(torch.nn.Module):
    def __init__(self, output_size, spatial_scale=1.0, sampling_ratio=0, aligned=True):
        super().__init__()
        self.output_size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        self.spatial_scale, self.sampling_ratio, self.aligned = spatial_scale, sampling_ratio, aligned

    def forward(self, maps, rois):
        return torchvision.ops.roi_align(maps, rois, self.output_size, self.spatial_scale,
                                         self.sampling_ratio or -1, self.aligned)


def batched_nms(boxes, scores, groups, settings, class_agnostic=False):
    kept = torchvision.ops.batched_nms(boxes, scores, torch.zeros_like(groups) if class_agnostic else groups,
                                       settings["iou_threshold"])
    return torch.cat((boxes[kept], scores[kept, None]), 1), kept


def stand_in() -> None:
    """Give mmcv-lite the operations that this detector calls; of the others it needs the names only."""
    class Operations(types.ModuleType):
        __path__: list[str] = []

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (torch.nn.Module,), {})

    import mmcv
    import mmcv.cnn.bricks.transformer as transformer
    transformer.MultiScaleDeformableAttention = type("Unused", (torch.nn.Module,), {})
    mmcv.ops = sys.modules["mmcv.ops"] = Operations("mmcv.ops")
    for name in ("nms", "roi_align", "merge_cells", "carafe", "modulated_deform_conv", "deform_conv"):
        sys.modules[f"mmcv.ops.{name}"] = Operations(f"mmcv.ops.{name}")
    for module in (mmcv.ops, sys.modules["mmcv.ops.nms"]):  # both ways of importing them are in use
        module.batched_nms, module.nms = batched_nms, torchvision.ops.nms
    mmcv.ops.RoIAlign = RoIAlign


def mmdetection(net: str):
    """The detector of the published configuration with test weights."""
    stand_in()
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    register_all_modules()
    config = Config.fromfile(str(Path(mmdet.__file__).parent / ".mim" / "configs" / CONFIG.format(net, SCHEDULES[net])))
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model).eval()
    faster_rcnn.fill(model, scales(net))
    return model


def prepare(model, photo: Path) -> dict:
    """What the published test pipeline makes of a photo."""
    from mmcv.transforms import LoadImageFromFile
    from mmdet.datasets.transforms import PackDetInputs, Resize
    data = LoadImageFromFile()({"img_path": str(photo), "img_id": 0})
    data = Resize(scale=(1333, 800), keep_ratio=True)(data)
    data = PackDetInputs(meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"))(data)
    return model.data_preprocessor({"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]}, False)


class Found(NamedTuple):
    """What we find: detections, and their masks (n, height, width), or none."""

    detections: faster_rcnn.Detections
    masks: Tensor | None


def asked(url: str, photo: Path) -> Found:
    request = urllib.request.Request(url, photo.read_bytes(), {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request) as answer:
        found = json.load(answer)["detections"]
    masks = [torch.from_numpy(coco_mask.decode(d["rle"])).bool() for d in found if "rle" in d]
    return Found(faster_rcnn.Detections(torch.tensor([d["box"] for d in found]).reshape(-1, 4),
                                        torch.tensor([d["score"] for d in found]),
                                        torch.tensor([d["index"] for d in found], dtype=torch.long)),
                 torch.stack(masks) if masks else None)


def computed(model: faster_rcnn.FasterRCNN, pixels: Tensor, frame: faster_rcnn.Frame) -> Found:
    found = model(pixels, frame)
    size = frame.original_height, frame.original_width
    masks = [] if found.masks is None else [faster_rcnn.pasted(m, b, *size) for m, b in zip(found.masks, found.boxes)]
    return Found(found, torch.stack(masks) if masks else None)


def partners(ours: faster_rcnn.Detections, theirs) -> list[tuple[int, int]]:
    """(ours, theirs): which of theirs has one of ours beside it, and which."""
    if not len(ours.boxes):
        return []
    box = (theirs.bboxes[:, None] - ours.boxes).abs().amax(2)
    near = (box <= 0.1) & ((theirs.scores[:, None] - ours.scores).abs() <= 2e-3) & (theirs.labels[:, None] == ours.labels)
    box[~near] = float("inf")
    return [(int(box[i].argmin()), i) for i in range(len(box)) if near[i].any()]


class Masks:
    """How masks agree, over all photos."""

    def __init__(self):
        self.ious, self.different, self.pixels = [], 0, 0

    def add(self, ours: Tensor, theirs: Tensor) -> None:
        both, either = int((ours & theirs).sum()), int((ours | theirs).sum())
        self.ious.append(both / either if either else 1.0)
        self.different += either - both
        self.pixels += either

    def __str__(self):
        return (f"masks: IoU {min(self.ious):.5f} at least, {sum(self.ious) / len(self.ious):.6f} in the mean of "
                f"{len(self.ious)}; {self.different} of {self.pixels} pixels differ")


def write(model, net: str, folder: Path) -> None:
    """The model directory: mmdetection's names, the published settings."""
    from mmdet.datasets import CocoDataset
    from safetensors.torch import save_file
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "labels.txt").write_text("".join(f"{n}\n" for n in CocoDataset.METAINFO["classes"]))
    (folder / "model.json").write_text(json.dumps({
        "name": f"{net}_rcnn_r2_101_fpn", "version": "1",
        "backbone": {"arch": "res2net101_v1b_26w_4s", "weights": "model.safetensors", "dialect": "mmdet"},
        "heads": {"detect": {"type": "faster_rcnn", "labels": "labels.txt", "input": {
            "resize": {"mode": "fit", "size": [800, 1333], "filter": "bilinear", "like": "opencv"},
            "pad_multiple": 32}}}}, indent=2) + "\n")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--url", help="POST /detect of a daemon that serves the written model")
    p.add_argument("--write", type=Path, metavar="DIR", help="write the model directory and stop")
    p.add_argument("--net", choices=SCHEDULES, default="faster")
    p.add_argument("photos", type=Path, nargs="*")
    args = p.parse_args()
    model = mmdetection(args.net)
    if args.write:
        return write(model, args.net, args.write)
    ours = None
    if not args.url:
        options = faster_rcnn.Options(cascade=args.net.startswith("cascade"), masks=args.net.endswith("mask"))
        ours = faster_rcnn.FasterRCNN({**res2net.options("res2net101_v1b_26w_4s"), "dialect": "B"}, options).eval()
        ours.load_state_dict(model.state_dict(), strict=True)
    total, same, masks = 0, 0, Masks()
    with torch.no_grad():
        for photo in args.photos:
            data = prepare(model, photo)
            sample = model.predict(data["inputs"], data["data_samples"])[0]
            theirs = sample.pred_instances
            frame = faster_rcnn.Frame(*sample.img_shape, *sample.ori_shape)
            found = asked(args.url, photo) if ours is None else computed(ours, data["inputs"], frame)
            pairs, count = partners(found.detections, theirs), len(theirs)
            total, same = total + count, same + len(pairs)
            for mine, other in pairs if found.masks is not None else ():
                masks.add(found.masks[mine], theirs.masks[other])
            spread = f"scores {theirs.scores.min():.3f} to {theirs.scores.max():.3f}" if count else "nothing"
            print(f"{photo.name}: {len(pairs)} of {count} agree, ours has {len(found.detections.boxes)}; {spread}, "
                  f"{len(theirs.labels.unique())} classes", flush=True)
    print(f"agreement {same / max(total, 1):.4f} of {total} detections")
    if masks.ious:
        print(masks)


if __name__ == "__main__":
    main()
