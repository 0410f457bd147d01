"""Hold a running daemon against mmsegmentation itself: DeepLabv3+ on dilated trunks, random weights, real photos.

Needs the environment of ``compare_mmdet.py`` with mmsegmentation 1.2.2, ftfy, regex and prettytable in it. mmsegmentation
has no Res2Net: mmdetection's stands in. Its Res2Layer dilates every block of a stage alike, which is ``first_dilation``
"full"; ``--contract`` gives the first block of a dilated stage half of it, as mmsegmentation's own ResLayer does under
``contract_dilation``. The rest is mmsegmentation's code with the settings of its deeplabv3plus_r50-d8.

    python training/compare_mmseg.py --write DIR [--output-stride 8] [--contract] PHOTO...    # a model directory
    python training/compare_mmseg.py --model DIR --url http://127.0.0.1:8080/segment PHOTO...   # a daemon that serves it

The weights are ``testweights``'; then the last layer is centred and scaled on the photos so that the logits of every class
have mean 0 and variance 1 over all their pixels: no class is rare, and none wins everywhere. Photos go to the daemon as PNG.
Prints the share of pixels with mmsegmentation's label, how many classes those have, the share of the largest of them, and
how many of the unequal pixels have a second class within 1e-3 of the best.
"""
from __future__ import annotations

import argparse
import io
import json
import urllib.request
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import compare_mmdet
import faster_rcnn

CONFIG = "_base_/models/deeplabv3plus_r50-d8.py"
CLASSES = 21
DILATED = {32: ((1, 2, 2, 2), (1, 1, 1, 1)), 16: ((1, 2, 2, 1), (1, 1, 1, 2)), 8: ((1, 2, 1, 1), (1, 1, 2, 4))}
MARGIN = 1e-3


def mmsegmentation(output_stride: int, contract: bool):
    """The segmenter of the published configuration on mmdetection's Res2Net, with test weights."""
    compare_mmdet.stand_in()
    import mmseg
    from mmdet.models.backbones import Res2Net
    from mmengine.config import Config
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules
    register_all_modules()
    MODELS.register_module(module=Res2Net)
    config = Config.fromfile(str(Path(mmseg.__file__).parent / ".mim" / "configs" / CONFIG)).model
    strides, dilations = DILATED[output_stride]
    config.pretrained = None
    config.backbone = dict(type="Res2Net", depth=50, scales=4, base_width=26, deep_stem=True, avg_down=True,
                           strides=strides, dilations=dilations, norm_eval=False)
    for head in (config.decode_head, config.auxiliary_head):
        head.num_classes, head.norm_cfg.type = CLASSES, "BN"
    model = MODELS.build(config).eval()
    if contract:
        for stage, dilation in enumerate(dilations, 1):
            for conv in getattr(model.backbone, f"layer{stage}")[0].convs if dilation > 1 else ():
                conv.dilation = conv.padding = (dilation // 2, dilation // 2)
    faster_rcnn.fill(model, {})
    return model


def prepare(model, photo: Path) -> tuple[np.ndarray, dict]:
    """A photo as OpenCV reads it, and what the published test pipeline makes of it."""
    from mmcv.transforms import LoadImageFromFile, Resize
    from mmseg.datasets.transforms import PackSegInputs
    data = LoadImageFromFile()({"img_path": str(photo)})
    read = data["img"]
    data = PackSegInputs()(Resize(scale=(2048, 512), keep_ratio=True)(data))
    return read, model.data_preprocessor({"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]}, False)


def logits(model, data: dict) -> torch.Tensor:
    """Those of the photo's own pixels (classes, height, width)."""
    return model.predict(data["inputs"], data["data_samples"])[0].seg_logits.data


def even_out(model, photos: list[Path]) -> None:
    """Gives the logits of each class mean 0 and variance 1 over the pixels of the photos."""
    last = model.decode_head.conv_seg
    found = torch.cat([logits(model, prepare(model, photo)[1]).flatten(1) for photo in photos], 1).double()
    mean, deviation = found.mean(1), found.std(1)
    last.bias.copy_((last.bias - mean) / deviation)
    last.weight.copy_(last.weight / deviation[:, None, None, None])


def write(model, folder: Path, output_stride: int, contract: bool) -> None:
    """The model directory: mmsegmentation's names, the auxiliary head among them."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps({
        "name": f"deeplabv3plus_r2_50_os{output_stride}", "version": "1",
        "backbone": {"arch": "res2net50_v1b_26w_4s", "weights": "model.safetensors", "dialect": "mmdet",
                     "output_stride": output_stride, "first_dilation": "half" if contract else "full"},
        "heads": {"segment": {"type": "deeplabv3plus"}}}, indent=2) + "\n")


def written(folder: Path):
    """The segmenter of a model directory."""
    backbone = json.loads((folder / "model.json").read_text())["backbone"]
    model = mmsegmentation(backbone["output_stride"], backbone["first_dilation"] == "half")
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    return model


def asked(url: str, read: np.ndarray) -> torch.Tensor:
    """The daemon's label map of a picture in OpenCV's order."""
    png = io.BytesIO()
    Image.fromarray(read[:, :, ::-1]).save(png, "PNG")
    request = urllib.request.Request(url, png.getvalue(), {"Content-Type": "image/png", "Accept": "image/png"})
    with urllib.request.urlopen(request) as answer:
        return torch.from_numpy(np.array(Image.open(io.BytesIO(answer.read()))))


def compare(model, url: str, photos: list[Path]) -> None:
    total = same = 0
    classes: set[int] = set()
    for photo in photos:
        read, data = prepare(model, photo)
        theirs = logits(model, data)
        best = theirs.topk(2, 0).values
        labels, ours = theirs.argmax(0), asked(url, read)
        if ours.shape != labels.shape:
            raise SystemExit(f"{photo.name}: the daemon's label map is {tuple(ours.shape)}, not {tuple(labels.shape)}")
        unequal = ours != labels
        near = int((unequal & (best[0] - best[1] < MARGIN)).sum())
        counts = labels.flatten().bincount(minlength=CLASSES)
        total, same = total + labels.numel(), same + int((~unequal).sum())
        classes |= set(counts.nonzero().flatten().tolist())
        print(f"{photo.name} {labels.shape[1]}x{labels.shape[0]}: {1 - unequal.double().mean():.6f} equal, "
              f"{int((counts > 0).sum())} classes, the largest {counts.max() / labels.numel():.2f}; "
              f"{int(unequal.sum())} unequal, {near} of them ties", flush=True)
    print(f"agreement {same / total:.6f} of {total} pixels, {len(classes)} of {CLASSES} classes")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = p.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", type=Path, metavar="DIR", help="write a model directory and stop")
    mode.add_argument("--model", type=Path, metavar="DIR", help="the model directory that the daemon serves")
    p.add_argument("--output-stride", type=int, choices=DILATED, default=16, help="with --write (default %(default)s)")
    p.add_argument("--contract", action="store_true", help="with --write: first blocks at half the dilation")
    p.add_argument("--url", default="http://127.0.0.1:8080/segment", help="POST /segment of the daemon")
    p.add_argument("photos", type=Path, nargs="+")
    args = p.parse_args()
    with torch.no_grad():
        if args.write:
            model = mmsegmentation(args.output_stride, args.contract)
            even_out(model, args.photos)
            write(model, args.write, args.output_stride, args.contract)
        else:
            compare(written(args.model), args.url, args.photos)


if __name__ == "__main__":
    main()
