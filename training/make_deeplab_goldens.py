"""Write the goldens of other libraries' DeepLabs: what they compute themselves from the test weights.

Needs segmentation-models-pytorch 0.6.0 (``pip install --no-deps``) beside timm and torchvision. One safetensors file per
network in ``tests/golden/segment``. Its metadata hold ``backbone`` and ``head`` (objects of ``model.json``), ``tensors`` (the
library's names and their shapes; ``testweights.fill`` says what is in them), ``scales`` (tensor -> factor) and ``size`` (of the
input, height and width). The input is ``testweights.picture``. The tensors:

* ``logits/values``, ``/sums``, ``/absmax``, as in ``make_goldens.py``: of the last convolution;
* ``labels`` (height, width) of the input, from the library's own output (of one class: 1 where its sigmoid exceeds 1/2); -1 where
  the best two logits are close.

Computed in float64, stored as f32.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3

import make_goldens
import make_segmentation_goldens
import testweights

CLASSES = 9
TRUNK = dict(layers=(1, 1, 2, 2), base_width=32)
CHANNELS = (24, 32, 48, 64)  # not 16: timm's layer1 would have no shortcut, and then sums its branches


class Network(NamedTuple):
    model: nn.Module
    last: str  # the convolution whose output the C head names "logits"
    backbone: dict
    head: dict
    size: tuple[int, int]
    bias: float = 1  # the factor of the last convolution's


def backbone(deep: bool, output_stride: int) -> dict:
    return {"arch": "custom", **TRUNK, "planes": CHANNELS, "scale": 4, "stem": "deep" if deep else "7x7",
            "downsample": "avg" if deep else "conv", "output_stride": output_stride}


def smp_model(kind: type, name: str, output_stride: int, classes: int = CLASSES, **options) -> nn.Module:
    return kind(f"tu-{name}", encoder_weights=None, encoder_output_stride=output_stride, classes=classes, **TRUNK,
                channels=CHANNELS, **options)


def torchvision_model() -> nn.Module:
    trunk = timm.create_model("res2net50_26w_4s", output_stride=8, channels=CHANNELS, **TRUNK)
    return DeepLabV3(IntermediateLayerGetter(trunk, {"layer4": "out"}), DeepLabHead(CHANNELS[3] * 4, CLASSES))


NETWORKS = {
    # the defaults of the library, narrow
    "smp_plus": lambda: Network(
        smp_model(smp.DeepLabV3Plus, "res2net50d", 16, decoder_channels=19, decoder_atrous_rates=(2, 3, 4)),
        "segmentation_head.0", backbone(True, 16), {"channels": 19, "rates": [1, 2, 3, 4]}, (128, 176)),
    "smp_plain": lambda: Network(
        smp_model(smp.DeepLabV3Plus, "res2net50_26w_4s", 8, decoder_channels=24, decoder_aspp_separable=False),
        "segmentation_head.0", backbone(False, 8), {"channels": 24, "separable": False}, (96, 128)),
    "smp_v3": lambda: Network(
        smp_model(smp.DeepLabV3, "res2net50d", 8, decoder_channels=24, decoder_atrous_rates=(2, 3, 4)),
        "segmentation_head.0", backbone(True, 8), {"channels": 24, "rates": [1, 2, 3, 4]}, (96, 136)),
    "smp_single": lambda: Network(
        smp_model(smp.DeepLabV3Plus, "res2net50_26w_4s", 16, 1, decoder_channels=19, decoder_atrous_rates=(2, 3, 4)),
        "segmentation_head.0", backbone(False, 16), {"channels": 19, "rates": [1, 2, 3, 4]}, (64, 96), -20),
    "torchvision": lambda: Network(torchvision_model(), "classifier.4", backbone(False, 8), {}, (101, 133)),
}


def golden(network: Network, scales: dict[str, float]) -> dict[str, Tensor]:
    model, kept = network.model.eval(), {}
    testweights.fill(model)
    for name, factor in scales.items():
        model.state_dict()[name].mul_(factor)
    model.get_submodule(network.last).register_forward_hook(lambda _, __, out: kept.update(logits=out))
    out = model.double()(testweights.picture(*network.size).double())
    scores = (out["out"] if isinstance(out, dict) else out)[0]
    if len(scores) == 1:
        scores = torch.cat((1 - scores.sigmoid(), scores.sigmoid()))
    logits, found = kept["logits"], make_segmentation_goldens.labels(scores)
    print(f"  logits {tuple(logits.shape)}, labels {(found + 1).flatten().bincount().tolist()}, the first: unclear")
    return {"logits/values": logits.reshape(-1)[make_goldens.positions(logits.numel())].float(),
            "logits/sums": logits.sum((0, 2, 3)).float(), "logits/absmax": logits.abs().max().reshape(1).float(),
            "labels": found.float()}


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", type=Path, default=home / "tests" / "golden" / "segment")
    p.add_argument("names", nargs="*", help="only these networks")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or NETWORKS:
        print(name)
        network = NETWORKS[name]()
        scales = {f"{network.last}.weight": 4, f"{network.last}.bias": network.bias}
        shapes = {k: list(v.shape) for k, v in network.model.state_dict().items() if v.dim()}
        with torch.no_grad():
            tensors = golden(network, scales)
        file = args.out / f"{name}.safetensors"
        save_file(tensors, file, metadata={
            "command": f"python training/make_deeplab_goldens.py {name}", "backbone": json.dumps(network.backbone),
            "head": json.dumps(network.head), "tensors": json.dumps(shapes), "scales": json.dumps(scales),
            "size": json.dumps(network.size), "torch": torch.__version__, "smp": smp.__version__})
        file.chmod(0o644)  # safetensors makes it private


if __name__ == "__main__":
    main()
