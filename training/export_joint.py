"""Checkpoint of the joint school -> ``models/demo``, and what PyTorch makes of the validation photos with those weights.

The classifier's logits are divided by a temperature that is fitted to one half of its validation photos (the others tell how
well calibrated it is), so that its scores are probabilities; the division goes into its weights.

    python training/export_joint.py --work WORK             # writes the model and, in WORK, the lists for evaluate.py
    python training/export_joint.py --work WORK --measure   # and PyTorch's own figures
    python training/export_joint.py --work WORK --average models/demo   # the mean of its weights and of those of other models
"""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from pycocotools.coco import COCO
from torch import Tensor
from torch.nn import functional as F

import evaluate as E
import faster_rcnn as R
import model_dir
import res2net
import roi_keypoints as K
import scenes as S
import school
import train_joint as J

SURE = 0.5  # score of the persons whose joints are looked for unless a request says otherwise


def network(work: Path, photos: J.Photos, others: list[Path]) -> tuple[school.Net, dict]:
    """The averaged weights, as half precision keeps them, or the mean of them and of other models' that share its beginning:
    Wortsman et al., Model soups, 2022."""
    state, net = torch.load(work / "checkpoint.pt"), J.network(photos.labels)
    models = [state["ema"]]
    for folder in others:
        other = J.network(photos.labels)
        model_dir.read(folder, other)
        models.append(other.state_dict())
    net.resume({n: sum(m[n] for m in models) / len(models) for n in models[0]})
    return net, state


def seen(photo: S.Photo, coco: COCO) -> S.Scene:
    return S.letterboxed(S.load(photo, coco), J.SIZE)


def logits(net: school.Net, photos: list[S.Photo], coco: COCO) -> Tensor:
    found = []
    for start in range(0, len(photos), 16):
        found.append(net.classify(net.trunk(school.pictures([seen(p, coco) for p in photos[start:start + 16]]))))
    return torch.cat(found)


def temperature(z: Tensor, truth: Tensor) -> float:
    """What divides logits for the smallest cross-entropy."""
    steps = torch.linspace(-1.5, 1.5, 301).exp()
    return steps[torch.stack([F.cross_entropy(z / t, truth) for t in steps]).argmin()].item()


def calibration(z: Tensor, truth: Tensor) -> float:
    """Expected calibration error, of fifteen bins."""
    score, label = z.softmax(1).max(1)
    right, bins, error = (label == truth).float(), (score * 15).long().clamp(max=14), 0.0
    for b in range(15):
        mine = bins == b
        if mine.any():
            error += mine.float().mean().item() * abs(right[mine].mean() - score[mine].mean()).item()
    return error


def calibrate(net: school.Net, photos: J.Photos) -> dict[str, float]:
    """Fit the temperature, put it into the classifier, tell its figures."""
    held = [*photos.held["things"], *photos.held["unknown"]]
    z, truth = logits(net, held, photos.coco), torch.tensor([p.label for p in held])
    t, other = temperature(z[::2], truth[::2]), photos.labels.index("other")
    net.fc.weight.div_(t)
    net.fc.bias.div_(t)
    things, label = len(photos.held["things"]), z.argmax(1)
    five = (z[:things].topk(5).indices == truth[:things, None]).any(1)
    people = logits(net, photos.held["people"], photos.coco)
    unsure = (z / t).softmax(1).max(1).values
    figures = {"temperature": t, "error before": calibration(z[1::2], truth[1::2]),
               "error after": calibration(z[1::2] / t, truth[1::2]),
               "top-1": (label == truth)[:things].float().mean().item(), "top-5": five.float().mean().item(),
               "by label": np.mean([(label[:things] == c)[truth[:things] == c].float().mean().item()
                                    for c in range(len(photos.labels))]),
               "unknown are other": (label[things:] == other).float().mean().item(),
               "unknown are other or score below 0.5": ((label == other) | (unsure < 0.5))[things:].float().mean().item(),
               "things are other": ((label == other) & (truth != other))[:things].float().mean().item(),
               "people are other": (people.argmax(1) == other).float().mean().item()}
    return figures


def precision(net: school.Net, photos: J.Photos) -> dict[str, float]:
    """AP and AP50 of persons, PCK with true boxes."""
    found, right, count = [], 0, 0
    for photo in photos.held["people"]:
        scene, whole = seen(photo, photos.coco), S.opened(photo.path)
        taps = list(net.trunk(school.pictures([scene])).values())
        levels, frame = net.detector.neck(taps), R.Frame(*scene.valid, whole.height, whole.width)
        d = net.detector.detect(levels, net.detector.proposals(levels, frame), frame)
        found += [{"image_id": photo.image_id, "category_id": 1, "score": s,
                   "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]]} for s, b in zip(d.scores.tolist(), d.boxes.tolist())]
        posed = photo.joints[..., 2].any(1)
        if posed.any():
            scale = (np.array(scene.valid[::-1]) / whole.size).astype(np.float32)
            boxes, joints = photo.boxes[posed] * np.tile(scale, 2), photo.joints[posed]
            places = K.grow(torch.from_numpy(boxes), school.PADDING)
            maps = net.keypoints(net.keypoints.features(taps), [places])
            near = school.points(maps, places, school.SMOOTH).numpy()[..., :2] / scale
            side = (photo.boxes[posed][:, 2:] - photo.boxes[posed][:, :2]).max(1)
            far = np.linalg.norm(near - joints[..., :2], axis=-1) / side[:, None]
            right, count = right + (far <= 0.1)[joints[..., 2] > 0].sum(), count + (joints[..., 2] > 0).sum()
    table = E.average_precision(photos.coco, found, [p.image_id for p in photos.held["people"]], [1])
    return {"AP": float(table[0]), "AP50": float(table[1]), "PCK": right / count}


def overlap(net: school.Net, photos: J.Photos) -> dict[str, float]:
    """IoU of persons over all pixels of the photos with masks."""
    both = either = 0
    for photo in masked(photos):
        whole = S.load(photo, photos.coco)
        scene = S.letterboxed(whole, J.SIZE)
        two = net.segmenter(net.trunk(school.pictures([scene])))
        two = F.interpolate(two, (J.SIZE, J.SIZE), mode="bilinear")[..., : scene.valid[0], : scene.valid[1]]
        person = F.interpolate(two, whole.mask.shape, mode="bilinear")[0].argmax(0).numpy() == 1
        both, either = both + (person & (whole.mask == 1)).sum(), either + (person | (whole.mask == 1)).sum()
    return {"person IoU": both / either}


def masked(photos: J.Photos) -> list[S.Photo]:
    return [p for source in ("people", "clothing", "penn", "portrait") for p in photos.held[source] if p.mask]


def lists(work: Path, photos: J.Photos, data: Path) -> None:
    """What evaluate.py asks the daemon about."""
    S.write_annotations(work / "val.json", photos.held["people"], photos.coco)
    for name in ("things", "unknown"):
        (work / f"{name}.tsv").write_text("".join(
            f"{p.path.relative_to(data)}\t{photos.labels[p.label]}\n" for p in photos.held[name]))
    S.write_masks(work / "val", {p.path.stem: p for p in masked(photos)}, photos.coco)


def main() -> None:
    home = Path(__file__).resolve().parent.parent
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--data", type=Path, default=home.parent / "shared" / "data", help="folder of the photos")
    p.add_argument("--work", type=Path, required=True, help="folder of the training run")
    p.add_argument("--out", type=Path, default=home / "models" / "demo")
    p.add_argument("--average", type=Path, nargs="+", default=[], metavar="DIR",
                   help="models of other schedules, as this script writes them: the mean of all is written")
    p.add_argument("--measure", action="store_true", help="print PyTorch's figures, too")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    photos = J.Photos(args.data)
    net, state = network(args.work, photos, args.average)
    args.out.mkdir(parents=True, exist_ok=True)
    figures = calibrate(net, photos)
    source, picture = {"source": "training/train_joint.py", "step": str(state["step"])}, model_dir.letterbox(J.SIZE)
    weights = model_dir.trunk(args.out, net, source)
    options = {k: list(v) if isinstance(v, tuple) else v for k, v in res2net.options("demo").items()}
    model_dir.describe(args.out, "demo", "6", {"arch": "custom", **options, "weights": weights, "precision": "f32"}, {
        "classify": model_dir.classify(args.out, weights, photos.labels, picture),
        "detect": model_dir.detect(args.out, net, source, ["person"], picture),
        "segment": model_dir.segment(args.out, net, source, ["person"], picture),
        "keypoints": model_dir.keypoints(args.out, net, source, J.KEYPOINTS | {"score_threshold": SURE}, picture)})
    lists(args.work, photos, args.data)
    if args.measure:
        figures |= precision(net, photos) | overlap(net, photos)
    print(f"{args.out}: step {state['step']}, {sum(f.stat().st_size for f in args.out.iterdir()):,} bytes")
    for name, value in figures.items():
        print(f"{name}: {value:.4f}")


if __name__ == "__main__":
    main()
