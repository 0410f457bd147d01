"""Write the goldens of the trunk: what PyTorch computes from the test weights, for the C engine to agree with.

One safetensors file per network in ``tests/golden/trunk``. timm computes where it has the network or its pieces and the
network is none of the older ones; else ``res2net.py``, which ``test_res2net.py`` holds against timm. For two SIZEs
(``224x224`` and ``225x331``, height x width; DLA takes multiples of 32 only, CIFAR's networks small ones) and TAP in
``stem c2 c3 c4 c5``:

* ``SIZE/TAP/values``: the elements at the flat NCHW positions ``(k * 2654435761) mod numel``, k = 0..4095, of the newer
  networks k = 0..511 (all elements in order where there are at most so many);
* ``SIZE/TAP/sums``: the sum of each channel; ``SIZE/TAP/absmax``: the largest absolute value (1 element);
* ``SIZE/TAP/shape`` is in the metadata; ``SIZE/pooled`` and ``SIZE/logits`` are whole.

Computed in float64 from the f32 test weights and stored as f32, so that the golden has no summation error of its own; the
metadata say how far PyTorch's own f32 run is off (``f32_error``: max|a-b| / max|b|, the worst of all tensors).

The classifier weight is multiplied by ``classifier_scale`` (an f32 number; the product is rounded to f32) so that the
logits of the 224x224 picture have a standard deviation of 2; its bias is not scaled.
"""
from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import res2net
import testweights
import trunks

SIZES = ((224, 224), (225, 331))
DLA_SIZES = ((224, 224), (96, 160))
SMALL_SIZES = ((32, 32), (33, 47))
TAPS = ("stem", "c2", "c3", "c4", "c5")
POSITIONS, FEW_POSITIONS = 4096, 512
DIALECTS = {"A": "official", "B": "mmdet", "C": "dla", "D": "paddle", "E": "maskrcnn", "F": "detectron2"}
GROUPS = dict(layers=(1, 2, 2, 1), base_width=16, scale=3, groups=2, stem="deep", downsample="conv",
              stem_channels=24, planes=(32, 48, 64, 96))


def networks() -> dict[str, dict]:
    """File name -> constructor options."""
    found = {name: res2net.options(name) for name in res2net.names()}
    found |= {name: {"dialect": "C"} for name in ("res2net_dla60", "res2next_dla60")}
    found["custom-demo"] = {**res2net.options("demo"), "num_classes": 101}
    found["custom-groups"] = {**GROUPS, "num_classes": 10}
    found["custom-stride8"] = {**GROUPS, "num_classes": 10, "downsample": "avg", "dialect": "B", "output_stride": 8}
    found["custom-stride16"] = {**GROUPS, "num_classes": 10, "output_stride": 16, "first_dilation": "full"}
    found["custom-stride16-avg"] = {**GROUPS, "num_classes": 10, "downsample": "avg", "output_stride": 16}
    for dialect, downsample in (("D", "conv"), ("E", "conv"), ("F", "avg")):
        found[f"custom-dialect{dialect}"] = {**GROUPS, "num_classes": 10, "downsample": downsample, "dialect": dialect}
    found["res2net50_26w_4s-dialectB"] = {**res2net.options("res2net50_26w_4s"), "dialect": "B"}
    return found


def is_newer(name: str) -> bool:
    return name.endswith("_se") or "29" in name or "dla" in name or name[-1] in "DEF"


def sizes(name: str) -> tuple[tuple[int, int], ...]:
    """The picture sizes of a network's golden."""
    return SMALL_SIZES if "29" in name else DLA_SIZES if "dla" in name else SIZES


def positions(numel: int, count: int = POSITIONS) -> np.ndarray:
    """The flat positions that a golden keeps of a tensor."""
    if numel <= count:
        return np.arange(numel)
    return (np.arange(count, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(numel)).astype(np.int64)


def classifier_scale(model: torch.nn.Module, picture: torch.Tensor) -> float:
    """The f32 factor of ``fc.weight`` that gives the picture's logits a standard deviation of 2."""
    taps = trunks.taps(model, picture)
    bias = model.fc.bias.double()
    free = (taps.logits[0].double() - bias)
    free, bias = free - free.mean(), bias - bias.mean()
    a, b, c = (free @ free).item(), 2 * (free @ bias).item(), (bias @ bias).item() - 4 * (len(free) - 1)
    return float(np.float32((-b + math.sqrt(b * b - 4 * a * c)) / (2 * a)))


def build(name: str, options: dict) -> tuple[torch.nn.Module, float]:
    """The f32 network with its test weights, the classifier scaled; and the scale."""
    by_timm = is_newer(name) and trunks.has_timm(name)
    model = (trunks.timm_network(name) if by_timm else res2net.Res2Net(**options)).eval()
    testweights.fill(model)
    scale = classifier_scale(model.double(), testweights.picture(*sizes(name)[0]).double())
    model = model.float()
    model.fc.weight.data *= scale
    return model, scale


def golden(name: str, model: torch.nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, list[int]], float]:
    """(tensors, tap shapes, error of the f32 run)."""
    tensors, shapes, error = {}, {}, 0.0
    count = FEW_POSITIONS if is_newer(name) else POSITIONS
    for h, w in sizes(name):
        picture = testweights.picture(h, w)
        single = trunks.taps(model, picture)
        exact = trunks.taps(model.double(), picture.double())
        model.float()
        for name, value, rough in zip(exact._fields, exact, single):
            if value is None:
                continue
            error = max(error, ((rough - value).abs().max() / value.abs().max()).item())
            key = f"{h}x{w}/{name}"
            shapes[key] = list(value.shape)
            if name not in TAPS:
                tensors[key] = value[0].float().contiguous()
                continue
            tensors[f"{key}/values"] = value.reshape(-1)[torch.from_numpy(positions(value.numel(), count))].float()
            tensors[f"{key}/sums"] = value.sum((0, 2, 3)).float()
            tensors[f"{key}/absmax"] = value.abs().max().reshape(1).float()
    return tensors, shapes, error


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--out", type=Path, default=home / "tests" / "golden" / "trunk")
    p.add_argument("names", nargs="*", help="only these networks")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found = networks()
    for name in args.names or found:
        options = found[name]
        with torch.no_grad():
            model, scale = build(name, options)
            tensors, shapes, error = golden(name, model)
        dialect = options.get("dialect", "A")
        backbone = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()
                    if k not in ("num_classes", "dialect")}
        arch = name.split("-")[0]
        if arch != "custom":
            backbone = {}
        save_file(tensors, args.out / f"{name}.safetensors", metadata={
            "command": f"python training/make_goldens.py {name}", "arch": arch, "backbone": json.dumps(backbone),
            "dialect": DIALECTS[dialect], "num_classes": str(options.get("num_classes", 1000)),
            "classifier_scale": repr(scale), "shapes": json.dumps(shapes), "f32_error": f"{error:.2e}",
            "torch": torch.__version__})
        (args.out / f"{name}.safetensors").chmod(0o644)  # safetensors makes it private
        print(f"{name}: scale {scale:.6f}, f32 error {error:.1e}, logits std "
              f"{tensors['{}x{}/logits'.format(*sizes(name)[0])].std():.3f}", flush=True)


if __name__ == "__main__":
    main()
