"""Hold a running daemon against segmentation_models.pytorch or torchvision: whole networks, random weights, real photos.

Needs segmentation-models-pytorch 0.6.0 (``pip install --no-deps``) beside timm and torchvision.

    python training/compare_deeplab.py --write DIR --kind smp_plus PHOTO...   # a model directory
    python training/compare_deeplab.py --model DIR --url http://127.0.0.1:8080/segment PHOTO...   # a daemon that serves it

The weights are ``testweights``'; then the last layer is centred and scaled on the photos so that the logits of every class
have mean 0 and variance 1 over all their pixels. Photos are resized to SIZE like Pillow; the library's logits come back to the
photo's size bilinearly between pixel centres. Prints the share of pixels with the library's label, and how many of the unequal
ones have a second class within 1e-3 of the best.
"""
from __future__ import annotations

import argparse
import io
import json
import urllib.request
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3

import testweights

CLASSES, SIZE, MARGIN = 21, (384, 512), 1e-3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
KINDS = {"smp_plus": ("res2net50d", 16, "segmentation_head.0"), "smp_v3": ("res2net50_26w_4s", 8, "segmentation_head.0"),
         "torchvision": ("res2net50_26w_4s", 8, "classifier.4")}


def build(kind: str) -> nn.Module:
    """The library's network with its own defaults."""
    name, stride, _ = KINDS[kind]
    if kind == "torchvision":
        trunk = timm.create_model(name, output_stride=stride)
        return DeepLabV3(IntermediateLayerGetter(trunk, {"layer4": "out"}), DeepLabHead(2048, CLASSES)).eval()
    model = smp.DeepLabV3Plus if kind == "smp_plus" else smp.DeepLabV3
    return model(f"tu-{name}", encoder_weights=None, encoder_output_stride=stride, classes=CLASSES).eval()


def logits(model: nn.Module, photo: Path) -> tuple[Image.Image, Tensor]:
    """The photo, and what the library says of it resized (classes, height, width)."""
    picture = Image.open(photo).convert("RGB")
    small = np.asarray(picture.resize(SIZE[::-1], Image.Resampling.BILINEAR), np.float32) / 255
    x = torch.from_numpy(((small - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1)[None])
    out = model(x)
    return picture, (out["out"] if isinstance(out, dict) else out)[0]


def even_out(last: nn.Conv2d, found: Tensor) -> None:
    """Gives the logits of each class (classes, pixels) mean 0 and variance 1."""
    mean, deviation = found.double().mean(1), found.double().std(1)
    last.bias.copy_((last.bias - mean) / deviation)
    last.weight.copy_(last.weight / deviation[:, None, None, None])


def write(kind: str, folder: Path, photos: list[Path]) -> None:
    name, stride, last = KINDS[kind]
    model = build(kind)
    testweights.fill(model)
    even_out(model.get_submodule(last), torch.cat([logits(model, p)[1].flatten(1) for p in photos], 1))
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps({
        "name": kind, "version": "1",
        "backbone": {"arch": name, "weights": "model.safetensors", "output_stride": stride},
        "heads": {"segment": {"type": "deeplabv3plus", "input": {"resize": {"mode": "exact", "size": SIZE}}}}}, indent=2))


def asked(url: str, picture: Image.Image) -> Tensor:
    png = io.BytesIO()
    picture.save(png, "PNG")
    request = urllib.request.Request(url, png.getvalue(), {"Content-Type": "image/png", "Accept": "image/png"})
    with urllib.request.urlopen(request) as answer:
        return torch.from_numpy(np.array(Image.open(io.BytesIO(answer.read()))))


def compare(folder: Path, url: str, photos: list[Path]) -> None:
    model = build(json.loads((folder / "model.json").read_text())["name"])
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    total = same = 0
    for photo in photos:
        picture, small = logits(model, photo)
        theirs = F.interpolate(small[None], picture.size[::-1], mode="bilinear", align_corners=False)[0]
        best, unequal = theirs.topk(2, 0).values, asked(url, picture) != theirs.argmax(0)
        near = int((unequal & (best[0] - best[1] < MARGIN)).sum())
        total, same = total + unequal.numel(), same + int((~unequal).sum())
        print(f"{photo.name} {picture.width}x{picture.height}: {1 - unequal.double().mean():.6f} equal, "
              f"{len(theirs.argmax(0).unique())} classes; {int(unequal.sum())} unequal, {near} of them ties", flush=True)
    print(f"agreement {same / total:.6f} of {total} pixels")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = p.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", type=Path, metavar="DIR", help="write a model directory and stop")
    mode.add_argument("--model", type=Path, metavar="DIR", help="the model directory that the daemon serves")
    p.add_argument("--kind", choices=KINDS, default="smp_plus", help="with --write (default %(default)s)")
    p.add_argument("--url", default="http://127.0.0.1:8080/segment", help="POST /segment of the daemon")
    p.add_argument("photos", type=Path, nargs="+")
    args = p.parse_args()
    with torch.no_grad():
        if args.write:
            write(args.kind, args.write, args.photos)
        else:
            compare(args.model, args.url, args.photos)


if __name__ == "__main__":
    main()
