#!/usr/bin/env python3
"""What a request to the published detector costs: multiply-adds and milliseconds a part, beside ONNX Runtime.

Res2Net-101 with feature pyramid, proposal network and 1000 regions, test weights, a JPEG of 1333 x 800. Ours: one worker
with one thread answers POST /detect, decoding and suppression included. Theirs: one thread runs trunk and pyramid on a
ready tensor; by themselves, the convolutions of the proposal network, and the box head over 1000 ready regions. Rounds
alternate; medians. Then the share of a request that no convolution and no matrix product takes, by oneDNN's own clock in a
second daemon.

Needs the packages of training/requirements.txt, and the daemon built by deploy/run.sh. Measure while nothing else runs.

    python tests/bench/detector_cost.py [--rounds 7]
"""
from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file

from against_peers import ROOT, Daemon, timed

sys.path.insert(0, str(ROOT / "training"))
import faster_rcnn  # noqa: E402
import make_detection_goldens  # noqa: E402
import res2net  # noqa: E402

ARCH, SIZE, PADDED = "res2net101_v1b_26w_4s", (800, 1333), (800, 1344)
PROPOSALS = 1000


class Rpn(torch.nn.Module):
    """The proposal network's convolutions on all levels."""

    def __init__(self, head: torch.nn.Module):
        super().__init__()
        self.head = head

    def forward(self, *maps):
        return [out for level in maps for out in self.head(level)]


def count(module: torch.nn.Module, *inputs) -> int:
    """Multiply-adds of convolutions and linear layers."""
    total = 0

    def add(layer, _, out):
        nonlocal total
        total += out.numel() * layer.weight[0].numel()

    hooks = [m.register_forward_hook(add) for m in module.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    module(*inputs)
    for hook in hooks:
        hook.remove()
    return total


class Part:
    """A part of the network in ONNX Runtime, on ready tensors."""

    def __init__(self, name: str, module: torch.nn.Module, inputs: tuple, folder: Path, threads: int):
        self.name, self.macs = name, count(module, *inputs)
        names = [f"in{i}" for i in range(len(inputs))]
        file = folder / f"{name}.onnx"
        torch.onnx.export(module, inputs, str(file), input_names=names, opset_version=17, dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.feed = {n: x.numpy() for n, x in zip(names, inputs)}

    def run(self) -> None:
        self.session.run(None, self.feed)


class Pyramid(torch.nn.Module):
    def __init__(self, model: faster_rcnn.FasterRCNN):
        super().__init__()
        self.model = model

    def forward(self, picture):
        return self.model.pyramid(picture)


def make(folder: Path, threads: int) -> list[Part]:
    """Writes a model directory; returns the parts in ONNX Runtime."""
    model = faster_rcnn.FasterRCNN({**res2net.options(ARCH), "dialect": "B"}).eval()
    faster_rcnn.fill(model, make_detection_goldens.scales(0.75, 3))
    kept = {k: v.contiguous() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(kept, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps({
        "name": "bench", "version": "1",
        "backbone": {"arch": ARCH, "weights": "model.safetensors", "dialect": "mmdet"},
        "heads": {"detect": {"type": "faster_rcnn"}}}))
    with torch.no_grad():
        picture = torch.rand(1, 3, *PADDED, generator=torch.Generator().manual_seed(1)) * 4 - 2
        maps = model.pyramid(picture)
        regions = torch.rand(PROPOSALS, maps[0].shape[1], 7, 7, generator=torch.Generator().manual_seed(2))
        return [Part("trunk and pyramid", Pyramid(model), (picture,), folder, threads),
                Part("proposal network", Rpn(model.rpn_head), tuple(maps), folder, threads),
                Part("box head", model.roi_head.bbox_head, (regions,), folder, threads)]


def photo() -> bytes:
    """A JPEG with structure at all scales, as large as the network sees."""
    import io

    from PIL import Image

    rng = np.random.default_rng(1)
    sizes = [(5, 3), (40, 24), (320, 192), (SIZE[1], SIZE[0])]
    layers = [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)).resize(
        (SIZE[1], SIZE[0]), Image.Resampling.BICUBIC) for w, h in sizes]
    mixed = sum(np.asarray(layer, dtype=np.float32) * part for layer, part in zip(layers, (0.4, 0.3, 0.2, 0.1)))
    file = io.BytesIO()
    Image.fromarray(mixed.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def detect(daemon: Daemon, picture: bytes) -> dict:
    """The stages of one request, in milliseconds."""
    answer = daemon.ask("/detect", picture)
    if not answer["detections"]:
        raise SystemExit("nothing was detected: the regions were not at work")
    return answer["timing_ms"]


def rest_of(folder: Path, program: Path, threads: int, picture: bytes, rounds: int) -> list[float]:
    """The parts of some requests that oneDNN did not spend in convolutions and matrix products."""
    shares = []
    with (folder / "verbose").open("w+") as out:
        daemon = Daemon(program, folder, threads, {"ONEDNN_VERBOSE": "1", "DNNL_VERBOSE": "1"}, out)
        try:
            detect(daemon, picture)
            for _ in range(rounds):
                out.seek(0, 2)
                begin = out.tell()
                total = detect(daemon, picture)["total"]
                time.sleep(0.2)
                out.seek(begin)
                fields = [line.split(",") for line in out if ",exec," in line]
                products = sum(float(f[-1]) for f in fields
                               if any(kind in f for kind in ("convolution", "inner_product", "matmul")))
                shares.append(1 - products / total)
        finally:
            daemon.close()
    return shares


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--program", type=Path, default=ROOT / "build" / "server" / "res2netd")
    args = p.parse_args()
    picture = photo()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = make(folder, args.threads)
        daemon = Daemon(args.program, folder, args.threads)
        ours, theirs = [], {part.name: [] for part in parts}
        try:
            for round_ in range(args.rounds + 1):
                stages = detect(daemon, picture)
                times = {part.name: timed(part.run) for part in parts}
                if round_:  # the first one warms
                    ours.append(stages)
                    for part, ms in times.items():
                        theirs[part].append(ms)
        finally:
            daemon.close()
        shares = rest_of(folder, args.program, args.threads, picture, args.rounds)
    print(f"{ARCH}, {SIZE[0]} x {SIZE[1]}, f32, {args.threads} thread(s), medians of {args.rounds}")
    for part in parts:
        print(f"{part.name:20} {part.macs / 1e9:7.1f} GMAC   ONNX Runtime {statistics.median(theirs[part.name]):8.1f} ms")
    sums = [sum(times) for times in zip(*theirs.values())]
    print(f"{'together':20} {sum(p.macs for p in parts) / 1e9:7.1f} GMAC   ONNX Runtime {statistics.median(sums):8.1f} ms")
    for stage in ours[0]:
        print(f"res2netd, {stage:10} {statistics.median(s[stage] for s in ours):8.1f} ms")
    print(f"neither convolution nor matrix product: {statistics.median(shares):.1%} of a request")


if __name__ == "__main__":
    main()
