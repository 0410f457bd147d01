"""Hold faster_rcnn.py, or a running daemon, against mmdetection itself: random weights by rule, real photos.

Needs an environment of its own (mmdet 3.3.0, mmengine 0.10.7, mmcv-lite 2.1.0, ran with torch 2.15.0, torchvision 0.29.2,
opencv-python 5.0.0.93; ``pip install --no-build-isolation "setuptools<80"`` first). mmcv-lite has no compiled operations:
torchvision's NMS and RoIAlign stand in for them, everything else is mmdetection's own code and published configuration.

    python training/compare_mmdet.py PHOTO...                                   # faster_rcnn.py on the same input tensor
    python training/compare_mmdet.py --write DIR PHOTO...                       # a model directory for the daemon
    python training/compare_mmdet.py --url http://127.0.0.1:8080/detect PHOTO...   # the daemon that serves it

Prints the share of mmdetection's detections that the other also has: box within 0.1 pixels, score within 2e-3, same label.
"""
from __future__ import annotations

import argparse
import json
import sys
import types
import urllib.request
from pathlib import Path

import torch
import torchvision

import faster_rcnn
import res2net

CONFIG = "res2net/faster-rcnn_res2net-101_fpn_2x_coco.py"
SCALES = {"rpn_head.rpn_cls.weight": 0.75, "rpn_head.rpn_reg.weight": 0.5,
          "roi_head.bbox_head.fc_cls.weight": 3.0, "roi_head.bbox_head.fc_reg.weight": 1.5}


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


def mmdetection():
    """The detector of the published configuration with test weights."""
    stand_in()
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config
    register_all_modules()
    config = Config.fromfile(str(Path(mmdet.__file__).parent / ".mim" / "configs" / CONFIG))
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model).eval()
    faster_rcnn.fill(model, SCALES)
    return model


def prepare(model, photo: Path) -> dict:
    """What the published test pipeline makes of a photo."""
    from mmcv.transforms import LoadImageFromFile
    from mmdet.datasets.transforms import PackDetInputs, Resize
    data = LoadImageFromFile()({"img_path": str(photo), "img_id": 0})
    data = Resize(scale=(1333, 800), keep_ratio=True)(data)
    data = PackDetInputs(meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"))(data)
    return model.data_preprocessor({"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]}, False)


def asked(url: str, photo: Path) -> faster_rcnn.Detections:
    request = urllib.request.Request(url, photo.read_bytes(), {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request) as answer:
        found = json.load(answer)["detections"]
    return faster_rcnn.Detections(torch.tensor([d["box"] for d in found]).reshape(-1, 4),
                                  torch.tensor([d["score"] for d in found]),
                                  torch.tensor([d["index"] for d in found], dtype=torch.long))


def agreeing(ours: faster_rcnn.Detections, theirs) -> int:
    """How many of theirs have one of ours beside them."""
    box = (theirs.bboxes[:, None] - ours.boxes).abs().amax(2) <= 0.1
    score = (theirs.scores[:, None] - ours.scores).abs() <= 2e-3
    return int((box & score & (theirs.labels[:, None] == ours.labels)).any(1).sum()) if len(ours.boxes) else 0


def write(model, folder: Path) -> None:
    """The model directory: mmdetection's names, the published settings."""
    from mmdet.datasets import CocoDataset
    from safetensors.torch import save_file
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "labels.txt").write_text("".join(f"{n}\n" for n in CocoDataset.METAINFO["classes"]))
    (folder / "model.json").write_text(json.dumps({
        "name": "faster_rcnn_r2_101_fpn", "version": "1",
        "backbone": {"arch": "res2net101_v1b_26w_4s", "weights": "model.safetensors", "dialect": "mmdet"},
        "heads": {"detect": {"type": "faster_rcnn", "labels": "labels.txt", "input": {
            "resize": {"mode": "fit", "size": [800, 1333], "filter": "bilinear", "like": "opencv"},
            "pad_multiple": 32}}}}, indent=2) + "\n")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--url", help="POST /detect of a daemon that serves the written model")
    p.add_argument("--write", type=Path, metavar="DIR", help="write the model directory and stop")
    p.add_argument("photos", type=Path, nargs="*")
    args = p.parse_args()
    model = mmdetection()
    if args.write:
        return write(model, args.write)
    ours = None
    if not args.url:
        ours = faster_rcnn.FasterRCNN({**res2net.options("res2net101_v1b_26w_4s"), "dialect": "B"}).eval()
        ours.load_state_dict(model.state_dict(), strict=True)
    total = same = 0
    with torch.no_grad():
        for photo in args.photos:
            data = prepare(model, photo)
            theirs = model.predict(data["inputs"], data["data_samples"])[0]
            if ours is None:
                found = asked(args.url, photo)
            else:
                found = ours(data["inputs"], faster_rcnn.Frame(*theirs.img_shape, *theirs.ori_shape))
            agree, count = agreeing(found, theirs.pred_instances), len(theirs.pred_instances)
            total, same = total + count, same + agree
            scores = theirs.pred_instances.scores
            spread = f"scores {scores.min():.3f} to {scores.max():.3f}" if count else "nothing"
            print(f"{photo.name}: {agree} of {count} agree, ours has {len(found.boxes)}; {spread}, "
                  f"{len(theirs.pred_instances.labels.unique())} classes", flush=True)
    print(f"agreement {same / max(total, 1):.4f} of {total} detections")


if __name__ == "__main__":
    main()
