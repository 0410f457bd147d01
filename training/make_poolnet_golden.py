"""Write the golden of the finder of salient objects: what PyTorch computes from the test weights.

``tests/golden/saliency/poolnet.safetensors``; its metadata are as those of ``make_deeplab_goldens.py``. The tensors:

* ``logits/values``, ``/sums``, ``/absmax``, as in ``make_goldens.py``: at the stem's size;
* ``map`` (height, width): probabilities of the picture, times 255.

Computed in float64, stored as f32. ``--published DIR`` writes nothing: it holds ``poolnet.py``, at full size, against the published
source, a clone of Res2Net/Res2Net-PoolNet.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

import make_goldens
import poolnet
import testweights

TRUNK = dict(layers=(1, 1, 1, 2), base_width=32, planes=(20, 24, 32, 40))
WIDTHS, GUIDE = (20, 28, 24, 36, 32), 28
SIZE = (131, 197)
SCALES = {"score.score.weight": 2, "score.score.bias": -200}  # neither black nor white


def write(out: Path) -> None:
    model = poolnet.PoolNet(poolnet.trunk(**TRUNK, num_classes=3), WIDTHS, GUIDE).eval()
    testweights.fill(model)
    for name, factor in SCALES.items():
        model.state_dict()[name].mul_(factor)
    picture = testweights.picture(*SIZE).double()
    logits, map_ = model.double().logits(picture), 255 * model(picture).sigmoid()[0, 0]
    print(f"logits {tuple(logits.shape)} {logits.min():.2f} to {logits.max():.2f}, salient {(map_ > 127.5).double().mean():.2f}")
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({"logits/values": logits.reshape(-1)[make_goldens.positions(logits.numel())].float(),
               "logits/sums": logits.sum((0, 2, 3)).float(), "logits/absmax": logits.abs().max().reshape(1).float(),
               "map": map_.float()}, out, metadata={
        "command": "python training/make_poolnet_golden.py", "head": "{}", "size": json.dumps(SIZE),
        "backbone": json.dumps({"arch": "custom", **TRUNK, "scale": 4, "output_stride": 16, "first_dilation": "full",
                                "ceil_pool": True}),
        "tensors": json.dumps({k: list(v.shape) for k, v in model.state_dict().items() if v.dim()}),
        "scales": json.dumps(SCALES), "torch": torch.__version__})
    out.chmod(0o644)  # safetensors makes it private


def compare(published: Path) -> None:
    sys.path.insert(0, str(published))
    from networks.poolnet_res2net import build_model
    theirs = build_model("res2net").eval()
    testweights.fill(theirs)
    ours = poolnet.PoolNet(poolnet.trunk()).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    for size in ((224, 224), (225, 331), (400, 300)):
        picture = testweights.picture(*size)
        a, b = ours(picture), theirs(picture)
        print(f"{size[0]}x{size[1]}: error {((a - b).abs().max() / b.abs().max()).item():.2g} of {b.abs().max():.3g}")


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", type=Path, default=home / "tests" / "golden" / "saliency" / "poolnet.safetensors")
    p.add_argument("--published", type=Path, metavar="DIR", help="compare with the published source instead")
    args = p.parse_args()
    with torch.no_grad():
        if args.published:
            compare(args.published)
        else:
            write(args.out)


if __name__ == "__main__":
    main()
