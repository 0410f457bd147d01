"""A network of the school as a model directory that the daemon serves: weights in half precision under published names,
labels, ``model.json``."""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

import data as D
import school
from faster_rcnn import TAPS

_DETECT = ("taps", "fpn_channels", "rpn_channels", "fc_channels", "anchor_scales", "anchor_ratios", "pre_nms", "proposals",
           "rpn_nms", "objectness", "score_threshold", "nms", "voting", "max")


def letterbox(size: int) -> dict:
    """The input that all heads share: longer side ``size``, top left in a square."""
    return {"resize": {"mode": "longer", "size": size, "filter": "bilinear", "like": "pil"}, "letterbox": True,
            "color": "rgb", "mean": list(D.MEAN), "std": list(D.STD)}


def _write(file: Path, tensors: dict[str, Tensor], source: dict[str, str]) -> None:
    save_file({n: t.half().contiguous() for n, t in tensors.items()}, file, metadata={"format": "pt", **source})
    file.chmod(0o644)  # safetensors makes it private


def _labels(file: Path, names: list[str]) -> str:
    file.write_text("".join(f"{n}\n" for n in names))
    return file.name


def trunk(folder: Path, net: school.Net, source: dict[str, str]) -> str:
    """Trunk and classifier, under official names."""
    state = school.unfolded(net.trunk.state_dict(), net.trunk_norms)
    _write(folder / "trunk.safetensors", state | {f"fc.{n}": t for n, t in net.fc.state_dict().items()}, source)
    return "trunk.safetensors"


def detect(folder: Path, net: school.Net, source: dict[str, str], names: list[str], picture: dict) -> dict:
    o = net.detector.options
    _write(folder / "detect.safetensors", net.detector.state_dict(), source)
    return {"type": "faster_rcnn", "weights": "detect.safetensors", "labels": _labels(folder / "detect-labels.txt", names),
            "input": picture, **{k: v for k, v in asdict(o).items() if k in _DETECT},
            "extra_levels": len(o.anchor_strides) - len(o.taps)}


def segment(folder: Path, net: school.Net, source: dict[str, str], names: list[str], picture: dict) -> dict:
    state = school.unfolded(net.segmenter.state_dict(), net.segmenter_norms)
    _write(folder / "segment.safetensors", {f"decode_head.{n}": t for n, t in state.items()}, source)
    return {"type": "deeplabv3plus", "weights": "segment.safetensors",
            "labels": _labels(folder / "segment-labels.txt", ["background", *names]), "input": picture,
            **{k: v for k, v in asdict(net.segmenter.options).items() if k != "classes"}}


def keypoints(folder: Path, net: school.Net, source: dict[str, str], options: dict, picture: dict) -> dict:
    """``options``: of the head, in model.json's words; ``joints`` is their names where they are not COCO's."""
    options = dict(options)
    if names := options.pop("joints", None):
        options["labels"] = _labels(folder / "joints.txt", names)
    state = {f"keypoints.{n}": t for n, t in net.keypoints.state_dict().items()}
    _write(folder / "keypoints.safetensors", state, source)
    return {"type": "roi_keypoints", "weights": "keypoints.safetensors", "input": picture, "needs": "detect",
            "padding": school.PADDING, "smooth": school.SMOOTH, "taps": list(TAPS), **options}


def classify(folder: Path, weights: str, names: list[str], picture: dict | None) -> dict:
    """``picture`` None: the daemon's default, which is that of the published classifiers."""
    return {"type": "classifier", "weights": weights, "labels": _labels(folder / "labels.txt", names),
            **({"input": picture} if picture else {}), "top_k": 5}


def read(folder: Path, net: school.Net) -> None:
    """The weights of such a directory into a network of the same options."""
    def tensors(name: str, prefix: str = "", norms: list[tuple[str, str]] = ()) -> dict[str, Tensor]:
        state = {n.removeprefix(prefix): t.float() for n, t in load_file(folder / f"{name}.safetensors").items()}
        return school.folded(state, norms)

    trunk = tensors("trunk", norms=net.trunk_norms)
    net.resume({f"trunk.{n}" if not n.startswith("fc.") else n: t for n, t in trunk.items()}
               | {f"detector.{n}": t for n, t in tensors("detect").items()}
               | {f"segmenter.{n}": t for n, t in tensors("segment", "decode_head.", net.segmenter_norms).items()}
               | {f"keypoints.{n}": t for n, t in tensors("keypoints", "keypoints.").items()})


def describe(folder: Path, name: str, version: str, backbone: dict, heads: dict[str, dict]) -> None:
    (folder / "model.json").write_text(
        json.dumps({"name": name, "version": version, "backbone": backbone, "heads": heads}, indent=2) + "\n")
