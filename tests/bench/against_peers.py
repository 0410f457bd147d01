#!/usr/bin/env python3
"""The daemon over HTTP against ONNX Runtime and OpenVINO running the network alone, in turn, in one run.

Ours: one worker with one thread answers POST /classify with small JPEGs over one kept connection: receive, decode,
resize, crop, normalise, network, softmax, JSON. Theirs: one thread runs the same network with the same weights on one ready
tensor, nothing else. Rounds alternate, so that a noisy machine disturbs all; medians are compared.

Needs the packages of training/requirements.txt (OpenVINO is compared where it is installed), and the daemon built by
deploy/run.sh. Measure while nothing else runs.

    python tests/bench/against_peers.py [--variant res2net50_26w_4s] [--threads 1]
"""
from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def small_jpegs(count: int) -> list[bytes]:
    """Smooth random pictures of the size that thumbnails and camera previews have, 320 x 240."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(1)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((320, 240), Image.Resampling.BICUBIC).save(file, "JPEG", quality=85)
        files.append(file.getvalue())
    return files


def export(variant: str, folder: Path) -> Path:
    """Writes a model directory and VARIANT.onnx of the same weights; returns the ONNX file."""
    subprocess.run([sys.executable, ROOT / "training" / "export_onnx.py", variant, "--out", folder],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (folder / "model.json").write_text(json.dumps({
        "name": "bench", "version": "1",
        "backbone": {"arch": variant, "weights": f"{variant}.safetensors"},
        "heads": {"classify": {"type": "classifier"}}}))
    return folder / f"{variant}.onnx"


class Daemon:
    """The real program on a free port."""

    def __init__(self, program: Path, model: Path, threads: int, environment: dict | None = None, out=None) -> None:
        folder = tempfile.TemporaryDirectory()
        log = Path(folder.name) / "daemon.log"
        self.process = subprocess.Popen(
            [program, "serve", "--model", model, "--listen", "127.0.0.1:0", "--workers", "1", "--threads", str(threads)],
            stdout=out, stderr=log.open("w"), env={**os.environ, "OMP_WAIT_POLICY": "passive", **(environment or {})})
        while "ready" not in (text := log.read_text()):
            if self.process.poll() is not None:
                raise SystemExit(f"the daemon did not become ready: {text}")
            time.sleep(0.05)
        port = re.search(r"127\.0\.0\.1:(\d+)", text).group(1)
        self.connection = http.client.HTTPConnection("127.0.0.1", int(port))

    def ask(self, route: str, picture: bytes) -> dict:
        self.connection.request("POST", route, picture, {"Content-Type": "image/jpeg"})
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"the daemon answered {answer.status}: {body.decode()}")
        return json.loads(body)

    def get(self, route: str) -> str:
        self.connection.request("GET", route)
        return self.connection.getresponse().read().decode()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


class OnnxRuntime:
    """ONNX Runtime on one ready tensor."""

    def __init__(self, file: Path, threads: int, image) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.image = image

    def run(self) -> None:
        self.session.run(None, {"image": self.image})


class OpenVino:
    """OpenVINO in f32 on one ready tensor."""

    def __init__(self, file: Path, threads: int, image) -> None:
        import openvino

        self.name = f"OpenVINO {openvino.__version__.split('-')[0]}"
        compiled = openvino.Core().compile_model(str(file), "CPU", {
            "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1})
        self.request = compiled.create_infer_request()
        self.request.set_input_tensor(openvino.Tensor(image))

    def run(self) -> None:
        self.request.infer()


def make_peers(file: Path, threads: int) -> list:
    """ONNX Runtime, and OpenVINO where it is installed."""
    import numpy as np

    image = np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype("f")
    peers = [OnnxRuntime(file, threads, image)]
    try:
        peers.append(OpenVino(file, threads, image))
    except ImportError:
        print("OpenVINO is not installed")
    return peers


def timed(run) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--variant", default="res2net50_26w_4s")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--each", type=int, default=5, help="runs of each side a round")
    p.add_argument("--program", type=Path, default=ROOT / "build" / "server" / "res2netd")
    args = p.parse_args()
    pictures = small_jpegs(args.each)
    with tempfile.TemporaryDirectory() as folder:
        peers = make_peers(export(args.variant, Path(folder)), args.threads)
        daemon = Daemon(args.program, Path(folder), args.threads)
        times = {name: [] for name in ["res2netd, JPEG over HTTP to JSON", *(p.name + ", network alone" for p in peers)]}
        try:
            for round_ in range(args.rounds + 1):
                runs = [[timed(lambda: daemon.ask("/classify", picture)) for picture in pictures]]
                runs += [[timed(peer.run) for _ in range(args.each)] for peer in peers]
                for all_, these in zip(times.values(), runs):
                    all_ += these if round_ else []  # the first round warms all
        finally:
            daemon.close()
    ours = statistics.median(next(iter(times.values())))
    print(f"{args.variant}, f32, {args.threads} thread(s), {args.rounds * args.each} runs each; ms: median (fastest); "
          "over 1: res2netd is faster")
    for name, each in times.items():
        print(f"{name:36} {statistics.median(each):8.2f} ({min(each):.2f})   {statistics.median(each) / ours:.3f}")


if __name__ == "__main__":
    main()
