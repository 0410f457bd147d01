"""Write the goldens of the segmenter: what PyTorch computes from the test weights, for the C head to agree with.

One safetensors file per network in ``tests/golden/segment``. Its metadata hold what describes the network: ``backbone``
(options of ``model.json``), ``dialect``, ``options`` (of ``deeplab.Options``), ``scales`` (tensor -> factor, see
``faster_rcnn.fill``), ``size`` (of the input, height and width, padding included) and ``frame`` (the four numbers of
``deeplab.Frame``). The input is ``testweights.picture``. The tensors:

* ``logits/values``, ``/sums``, ``/absmax``, as in ``make_goldens.py``;
* ``labels`` (height, width) of the original picture; -1 where the best two logits are closer than MARGIN of the largest.

Computed in float64, stored as f32.
"""
from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

import faster_rcnn
import make_goldens
import testweights
from deeplab import DeepLab, Frame, Options

MARGIN = 1e-4
SMALL = dict(layers=(1, 1, 1, 1), base_width=32, scale=4, groups=1, stem="deep", downsample="avg", stem_channels=32,
             planes=(16, 32, 48, 64), dialect="B")
PLAIN = {**SMALL, "stem": "7x7", "dialect": "A"}


class Network(NamedTuple):
    trunk: dict
    options: Options
    size: tuple[int, int]
    frame: Frame
    scales: dict[str, float]


NETWORKS = {
    # mmsegmentation's head, narrow; odd sides, the picture larger than the input
    "separable": Network(SMALL, Options(classes=9, rates=(1, 2, 3, 4), channels=19, low_channels=8), (131, 197),
                         Frame(131, 197, 160, 241), {"decode_head.conv_seg.weight": 4}),
    # everything else about it, with padding; the picture smaller than the input
    "plain": Network(PLAIN, Options(classes=9, rates=(2, 1, 5), separable=False, image_pool="last", channels=36,
                                    fuse_kernel=1, low_tap=3, low_channels=9, low_first=True, decoder_convs=1,
                                    align_corners=True), (160, 128), Frame(150, 120, 100, 80),
                     {"decode_head.conv_seg.weight": 4}),
    # DeepLabv3
    "coarse": Network(SMALL, Options(classes=9, rates=(1, 3), separable=False, channels=27, low_channels=0,
                                     decoder_convs=0), (192, 224), Frame(180, 220, 90, 110),
                      {"decode_head.conv_seg.weight": 4}),
}


def labels(scores: Tensor) -> Tensor:
    best, order = scores.topk(2, 0)
    unclear = best[0] - best[1] < MARGIN * scores.abs().max()
    return torch.where(unclear, -1, order[0])


def golden(network: Network) -> dict[str, Tensor]:
    model = DeepLab(network.trunk, network.options).eval()
    faster_rcnn.fill(model, network.scales)
    logits = model.double()(testweights.picture(*network.size).double())
    found = labels(model.scores(logits, network.size, network.frame))
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
        network = NETWORKS[name]
        print(name)
        with torch.no_grad():
            tensors = golden(network)
        file = args.out / f"{name}.safetensors"
        save_file(tensors, file, metadata={
            "command": f"python training/make_segmentation_goldens.py {name}",
            "backbone": json.dumps({"arch": "custom", **{k: v for k, v in network.trunk.items() if k != "dialect"}}),
            "dialect": {"A": "official", "B": "mmdet"}[network.trunk["dialect"]],
            "options": json.dumps(asdict(network.options)), "scales": json.dumps(network.scales),
            "size": json.dumps(network.size), "frame": json.dumps(network.frame), "torch": torch.__version__})
        file.chmod(0o644)  # safetensors makes it private


if __name__ == "__main__":
    main()
