"""Hold the daemon against timm: random weights, real photos, the whole way over HTTP.

For each variant: timm's network (with SE: put together from its pieces) with random weights and spread logits is saved under timm's
names, served by the real program, and asked for all classes of each photo, and for the embedding of the first ones; PyTorch computes
the same from the photo as torchvision prepares it. Prints the worst differences: of a probability relative to the largest of its
photo, and of the embedding relative to its largest element; how many photos have the same best class; and how many classes that
are, since a network that always says the same agrees with anything. Exit code 1 where fewer than 99.5 % agree.

    python training/compare_timm.py --program build/server/res2netd PHOTO.jpg...
"""
from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import transforms

import trunks

VARIANTS = [*trunks.TIMM.values(), *trunks.SE]
CALIBRATED, BATCH, LEAST = 64, 32, 0.995

PREPARE = transforms.Compose([
    transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])


def randomise(model: torch.nn.Module, pictures: torch.Tensor) -> None:
    """Random weights and statistics that keep the signal's size, and logits with a standard deviation of 3."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.6, 1.4)
            module.weight.data *= 0.3 if name.endswith("bn3") else 1
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    model.eval()
    logits = compute(model, pictures)[0]
    model.fc.weight.data *= 3 / (logits - logits.mean(0)).std()
    model.fc.bias.data -= compute(model, pictures)[0].mean(0)  # what all photos share says nothing


def prepare(photos: list[Path]) -> torch.Tensor:
    return torch.stack([PREPARE(Image.open(photo).convert("RGB")) for photo in photos])


def compute(model: torch.nn.Module, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits, embeddings)"""
    features = torch.cat([model.forward_features(part) for part in pictures.split(BATCH)])
    return model.forward_head(features), features.mean((2, 3))


def post(port: int, route: str, body: bytes) -> dict:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{route}", body, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def serve(program: Path, folder: Path) -> tuple[subprocess.Popen, int]:
    log = folder / "log"
    process = subprocess.Popen([program, "serve", "--model", folder, "--listen", "127.0.0.1:0"], stderr=log.open("w"))
    while "ready" not in (text := log.read_text()):
        if process.poll() is not None:
            raise SystemExit(text)
        time.sleep(0.05)
    return process, int(re.search(r"127\.0\.0\.1:(\d+)", text).group(1))


class Tally:
    """What was found over the photos of a variant."""

    def __init__(self) -> None:
        self.worst = self.worst_embedding = 0.0
        self.same = 0
        self.classes: set[int] = set()

    def add(self, port: int, photo: Path, expected: torch.Tensor, embedding: torch.Tensor | None) -> None:
        """Ask for one photo; ``expected`` are its probabilities."""
        body = photo.read_bytes()
        classes = post(port, "/classify?top_k=0", body)["classes"]
        got = torch.zeros_like(expected)
        got[[c["index"] for c in classes]] = torch.tensor([c["score"] for c in classes])
        self.worst = max(self.worst, ((got - expected).abs().max() / expected.max()).item())
        self.same += classes[0]["index"] == expected.argmax().item()
        self.classes.add(expected.argmax().item())
        if embedding is not None:
            got = torch.tensor(post(port, "/embed", body)["embedding"])
            off = ((got - embedding).abs().max() / embedding.abs().max()).item()
            self.worst_embedding = max(self.worst_embedding, off)


def compare(program: Path, variant: str, photos: list[Path]) -> Tally:
    tally = Tally()
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(7)
        model = trunks.timm_network(variant)
        randomise(model, prepare(photos[:CALIBRATED]))
        save_file(model.state_dict(), Path(folder) / "model.safetensors")
        (Path(folder) / "model.json").write_text(json.dumps({
            "name": variant, "version": "1", "backbone": {"arch": variant, "weights": "model.safetensors"},
            "heads": {"classify": {"type": "classifier"}}}))
        process, port = serve(program, Path(folder))
        try:
            for first in range(0, len(photos), BATCH):
                part = photos[first:first + BATCH]
                logits, embeddings = compute(model, prepare(part))
                for photo, expected, embedding in zip(part, logits.softmax(1), embeddings):
                    tally.add(port, photo, expected, embedding if first < CALIBRATED else None)
        finally:
            process.terminate()
            process.wait()
    return tally


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--program", type=Path, required=True)
    p.add_argument("--variants", nargs="*", default=VARIANTS)
    p.add_argument("photos", type=Path, nargs="+", help="JPEG files")
    args = p.parse_args()
    failed = False
    for variant in args.variants:
        tally = compare(args.program, variant, args.photos)
        failed |= tally.same < LEAST * len(args.photos)
        print(f"{variant:20} probabilities {tally.worst:.1e}, embedding {tally.worst_embedding:.1e}, same class "
              f"{tally.same} of {len(args.photos)}, {len(tally.classes)} classes", flush=True)
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
