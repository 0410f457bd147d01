"""Hold the daemon against timm: random weights, real photos, the whole way over HTTP.

For each variant: timm's network with random weights and spread logits is saved under timm's (the official) names, served by the
real program, and asked for all classes and the embedding of each photo; PyTorch computes the same from the photo as torchvision
prepares it. Prints the worst differences: of a probability relative to the largest of its photo, and of the embedding relative to
its largest element.

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

import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import transforms

VARIANTS = ("res2net50_26w_4s", "res2net50_48w_2s", "res2net50_14w_8s", "res2net50_26w_6s", "res2net50_26w_8s",
            "res2net101_26w_4s", "res2next50", "res2net50d", "res2net101d")

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
    logits = model(pictures)
    model.fc.weight.data *= 3 / (logits - logits.mean(0)).std()
    model.fc.bias.data -= model(pictures).mean(0)  # what all photos share says nothing


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


def compare(program: Path, variant: str, photos: list[Path]) -> tuple[float, float, int]:
    """(worst probability difference, worst embedding difference, photos with the same top class)"""
    pictures = torch.stack([PREPARE(Image.open(photo).convert("RGB")) for photo in photos])
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(7)
        model = timm.create_model(variant, pretrained=False)
        randomise(model, pictures)
        save_file(model.state_dict(), Path(folder) / "model.safetensors")
        (Path(folder) / "model.json").write_text(json.dumps({
            "name": variant, "version": "1", "backbone": {"arch": variant, "weights": "model.safetensors"},
            "heads": {"classify": {"type": "classifier"}}}))
        probabilities = model(pictures).softmax(1)
        embeddings = model.forward_head(model.forward_features(pictures), pre_logits=True)
        process, port = serve(program, Path(folder))
        try:
            worst, worst_embedding, same = 0.0, 0.0, 0
            for photo, expected, embedding in zip(photos, probabilities, embeddings):
                classes = post(port, "/classify?top_k=0", photo.read_bytes())["classes"]
                got = torch.zeros_like(expected)
                got[[c["index"] for c in classes]] = torch.tensor([c["score"] for c in classes])
                worst = max(worst, ((got - expected).abs().max() / expected.max()).item())
                same += classes[0]["index"] == expected.argmax().item()
                got = torch.tensor(post(port, "/embed", photo.read_bytes())["embedding"])
                worst_embedding = max(worst_embedding, ((got - embedding).abs().max() / embedding.abs().max()).item())
        finally:
            process.terminate()
            process.wait()
    return worst, worst_embedding, same


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--program", type=Path, required=True)
    p.add_argument("--variants", nargs="*", default=VARIANTS)
    p.add_argument("photos", type=Path, nargs="+", help="JPEG files")
    args = p.parse_args()
    for variant in args.variants:
        worst, embedding, same = compare(args.program, variant, args.photos)
        print(f"{variant:18} probabilities {worst:.1e}, embedding {embedding:.1e}, same class {same} of {len(args.photos)}",
              flush=True)


if __name__ == "__main__":
    main()
