"""Measure a running daemon: POST /detect and /keypoints on a COCO-format folder (average precision by pycocotools, of boxes
and, where the answers have them, masks), POST /segment (IoU) or /saliency (MAE, F-beta) on a folder of masks.

Of /detect every category of the annotations counts, or those that are lines of the file ``--names``; an answer's label is matched to a category by
name. Of /keypoints the daemon's own persons have an average precision, and true boxes, given in the request, a PCK: the share of
labelled joints that are found within a tenth of the box's longer side.

    python training/evaluate.py --url http://127.0.0.1:8080/detect --annotations FILE.json --images DIR [--limit N]
    python training/evaluate.py --url http://127.0.0.1:8080/keypoints --annotations FILE.json --images DIR
    python training/evaluate.py --self-check --annotations FILE.json --images DIR --limit 50
    python training/evaluate.py --url http://127.0.0.1:8080/segment --folder DIR [--limit N]
    python training/evaluate.py --url http://127.0.0.1:8080/classify --table FILE.tsv --images DIR
    python training/evaluate.py --url http://127.0.0.1:8080/saliency --folder DIR [--limit N]

The self-check starts a server of its own that answers with the annotated boxes and joints: figures must be 1, and with all of a
person moved by the box's width next to nothing.

The folder has ``images/`` and for each of them ``masks/STEM.png`` of the same size, whose pixels are class indices; 255 does not
count. A class that is neither there nor found anywhere is not in the mean. For /saliency masks are grey, salient from 128 on; the
largest F-beta (beta squared 0.3) over 255 thresholds is of the photos' mean precision and recall, as papers have it.
"""
from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from pycocotools import mask as runs
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def encoded(photo: Path) -> bytes:
    """The file; a format that the daemon does not read becomes a PNG of the same pixels."""
    if photo.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
        return photo.read_bytes()
    out = io.BytesIO()
    ImageOps.exif_transpose(Image.open(photo)).convert("RGB").save(out, "PNG", compress_level=1)
    return out.getvalue()


def post(url: str, photo: Path, accept: str = "application/json") -> bytes:
    """The answer to a photo; SystemExit with the daemon's own words where it refuses."""
    request = urllib.request.Request(url, encoded(photo), {"Content-Type": "application/octet-stream", "Accept": accept})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.read()
    except urllib.error.HTTPError as e:
        raise SystemExit(f"{url}: {photo}: {e}: {e.read().decode(errors='replace')}") from None
    except urllib.error.URLError as e:
        raise SystemExit(f"{url}: {e.reason}") from None


def ask(url: str, photo: Path) -> list[dict]:
    return json.loads(post(f"{url}?min_score=0.05&max=100", photo))["detections"]


def evaluate(url: str, coco: COCO, images: Path, names: set[str] | None, limit: int | None) -> float:
    """AP of boxes at IoU 0.50:0.95; prints the whole table, and that of masks."""
    categories = {c["name"]: c["id"] for c in coco.dataset["categories"] if not names or c["name"] in names}
    if not categories:
        raise SystemExit("no category of the annotations is among the names")
    ids = sorted(coco.getImgIds())[:limit]
    found, strangers = [], set()
    for done, image in enumerate(ids, 1):
        for d in ask(url, images / coco.imgs[image]["file_name"]):
            if d["label"] not in categories:
                strangers.add(d["label"])
                continue
            x1, y1, x2, y2 = d["box"]
            found.append({"image_id": image, "category_id": categories[d["label"]], "score": d["score"],
                          "bbox": [x1, y1, x2 - x1, y2 - y1]} | ({"segmentation": d["rle"]} if "rle" in d else {}))
        if sys.stderr.isatty():
            print(f"\r{done} of {len(ids)} photos", end="\n" if done == len(ids) else "", file=sys.stderr)
    if strangers:
        print(f"labels without a category, left out: {', '.join(sorted(strangers))}")
    if not found:
        print("no detections")
        return 0.0
    if all("segmentation" in f for f in found):
        print("masks:")
        masks = [{k: v for k, v in f.items() if k != "bbox"} for f in found]  # so that areas are those of masks
        average_precision(coco, masks, ids, sorted(categories.values()), True, "segm")
        print("boxes:")
    return float(average_precision(coco, found, ids, sorted(categories.values()), True)[0])


def average_precision(coco: COCO, found: list[dict], images: list[int], categories: list[int], aloud: bool = False,
                      kind: str = "bbox"):
    """pycocotools' figures, AP and AP50 first, of boxes (or keypoints) in COCO's form; ``aloud`` prints them."""
    with contextlib.redirect_stdout(io.StringIO()) as told:
        table = COCOeval(coco, coco.loadRes(found), kind)
        table.params.imgIds, table.params.catIds = images, categories
        if kind == "keypoints" and (joints := len(found[0]["keypoints"]) // 3) != len(table.params.kpt_oks_sigmas):
            table.params.kpt_oks_sigmas = np.full(joints, 0.05)  # as the daemon has it of joints that are not COCO's
        table.evaluate()
        table.accumulate()
        told.truncate(0)
        told.seek(0)
        table.summarize()
    if aloud:
        print(told.getvalue(), end="")
    return table.stats


def evaluate_regions(url: str, folder: Path, limit: int | None) -> float:
    """mIoU over the pixels of all photos together; prints the IoU of every class."""
    both, found, true, names = Counter(), Counter(), Counter(), {}
    for photo in sorted((folder / "images").iterdir())[:limit]:
        mask = np.asarray(Image.open(folder / "masks" / f"{photo.stem}.png"))
        seen = mask != 255
        true.update(mask[seen].tolist())
        for c in json.loads(post(f"{url}?format=rle", photo))["classes"]:
            region = seen & (runs.decode(c["rle"]) > 0)
            names[c["index"]] = c["label"]
            found[c["index"]] += int(region.sum())
            both[c["index"]] += int((region & (mask == c["index"])).sum())
    iou = {i: both[i] / (found[i] + true[i] - both[i]) for i in sorted(found | true)}
    for i, value in iou.items():
        print(f"IoU {value:.4f} {names.get(i, i)}")
    mean = sum(iou.values()) / len(iou)
    print(f"mIoU {mean:.4f}")
    return mean


def evaluate_saliency(url: str, folder: Path, limit: int | None) -> tuple[float, float]:
    """MAE and the largest F-beta; prints both."""
    errors, rates = [], []
    for photo in sorted((folder / "images").iterdir())[:limit]:
        found = np.asarray(Image.open(io.BytesIO(post(url, photo, "image/png"))))
        true = np.asarray(Image.open(folder / "masks" / f"{photo.stem}.png").convert("L")) > 127
        errors.append(np.abs(found / 255 - true).mean())
        right, all_ = (np.bincount(part, minlength=256)[::-1].cumsum()[:255] for part in (found[true], found.ravel()))
        rates.append((right / np.maximum(all_, 1), right / max(true.sum(), 1)))
    precision, recall = np.mean(rates, 0)
    error, best = float(np.mean(errors)), float(np.max(1.3 * precision * recall / np.maximum(0.3 * precision + recall, 1e-12)))
    print(f"MAE {error:.4f}, max F-beta {best:.4f} of {len(errors)} photos")
    return error, best


def posed(coco: COCO, image: int) -> list[dict]:
    """The annotations of an image that have joints."""
    return [a for a in coco.imgToAnns[image] if a.get("num_keypoints")]


def ask_poses(url: str, photo: Path, **params: str) -> list[dict]:
    return json.loads(post(f"{url}?{urllib.parse.urlencode(params)}", photo))["instances"]


def joints_of(instance: dict) -> np.ndarray:
    """(joints, 3): x, y, score."""
    return np.array([[k["x"], k["y"], k["score"]] for k in instance["keypoints"]])


def evaluate_joints(url: str, coco: COCO, images: Path, limit: int | None, near: float = 0.1) -> float:
    """PCK with true boxes; prints it for each joint."""
    names = next(c["keypoints"] for c in coco.dataset["categories"] if "keypoints" in c)
    right, count = np.zeros(len(names)), np.zeros(len(names))
    for image in sorted(coco.getImgIds())[:limit]:
        persons = posed(coco, image)
        if not persons:
            continue
        boxes = [(x, y, x + w, y + h) for x, y, w, h in (a["bbox"] for a in persons)]
        found = ask_poses(url, images / coco.imgs[image]["file_name"],
                          boxes=";".join(",".join(f"{v:.2f}" for v in b) for b in boxes))
        for person, instance in zip(persons, found, strict=True):
            truth = np.array(person["keypoints"], float).reshape(-1, 3)
            labelled = truth[:, 2] > 0
            far = np.linalg.norm(joints_of(instance)[:, :2] - truth[:, :2], axis=1)
            right += labelled & (far <= near * max(person["bbox"][2:]))
            count += labelled
    share = right.sum() / count.sum()
    print(f"PCK {share:.4f} of {int(count.sum())} joints: "
          + ", ".join(f"{n} {r / max(c, 1):.2f}" for n, r, c in zip(names, right, count)))
    return float(share)


def evaluate_poses(url: str, coco: COCO, images: Path, limit: int | None) -> float:
    """AP of keypoints (OKS 0.50:0.95) of the daemon's own persons; prints the whole table."""
    category = next(c["id"] for c in coco.dataset["categories"] if "keypoints" in c)
    ids = sorted(coco.getImgIds())[:limit]
    found = [{"image_id": image, "category_id": category, "score": p["score"], "keypoints": joints_of(p).ravel().tolist()}
             for image in ids
             for p in ask_poses(url, images / coco.imgs[image]["file_name"], min_score="0.05", max="20")]
    if not found:
        print("no persons")
        return 0.0
    return float(average_precision(coco, found, ids, [category], True, "keypoints")[0])


@contextlib.contextmanager
def oracle(coco: COCO, images: Path, shift: float):
    """URL of a server that knows a photo by its bytes and answers with its boxes and poses, moved by `shift` widths."""
    known = {}
    for image in coco.imgs.values():
        boxes = [(a["bbox"], coco.cats[a["category_id"]]["name"]) for a in coco.imgToAnns[image["id"]]]
        poses = [(a["bbox"][2], a["keypoints"]) for a in posed(coco, image["id"])]
        known[hash(encoded(images / image["file_name"]))] = {
            "detections": [{"label": n, "score": 0.9, "box": [x + shift * w, y, x + shift * w + w, y + h]}
                           for (x, y, w, h), n in boxes],
            "instances": [{"score": 0.9, "keypoints": [{"x": x + shift * w, "y": y, "score": 1}
                                                       for x, y in zip(k[::3], k[1::3])]} for w, k in poses]}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.dumps(known[hash(self.rfile.read(int(self.headers["Content-Length"])))]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/detect"
    finally:
        server.shutdown()
        server.server_close()


def evaluate_labels(url: str, table: Path, images: Path, limit: int | None) -> float:
    """Top-1 of /classify; the table's lines are FILE<tab>LABEL."""
    right, count, other = 0, 0, 0
    for line in table.read_text().splitlines()[:limit]:
        file, label = line.split("\t")
        found = json.loads(post(f"{url}?top_k=1", images / file))["classes"][0]["label"]
        right, count, other = right + (found == label), count + 1, other + (found == "other")
    print(f"top-1 {right / count:.4f} of {count} photos, {other / count:.4f} are called other")
    return right / count


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--url", help="POST /detect, /keypoints, /segment or /saliency of the daemon")
    p.add_argument("--self-check", action="store_true", help="ask a server that knows the annotations")
    p.add_argument("--annotations", type=Path)
    p.add_argument("--images", type=Path)
    p.add_argument("--folder", type=Path, help="photos and masks, for /segment and /saliency")
    p.add_argument("--names", type=Path, help="the categories that count for /detect, one a line; default: all")
    p.add_argument("--table", type=Path, help="lines FILE<tab>LABEL of the photos in --images, for /classify")
    p.add_argument("--limit", type=int, help="only the first N photos, by id or name")
    args = p.parse_args()
    if bool(args.url) == args.self_check:
        p.error("give either --url or --self-check")
    if args.folder:
        if not args.url:
            p.error("--folder needs --url")
        salient = urllib.parse.urlsplit(args.url).path.endswith("/saliency")
        (evaluate_saliency if salient else evaluate_regions)(args.url, args.folder, args.limit)
        return 0
    if args.table:
        if not args.url or not args.images:
            p.error("--table needs --url and --images")
        evaluate_labels(args.url, args.table, args.images, args.limit)
        return 0
    if not args.annotations or not args.images:
        p.error("give either --annotations and --images or --folder")
    coco, names = COCO(args.annotations), set(args.names.read_text().splitlines()) if args.names else None
    if args.url:
        if urllib.parse.urlsplit(args.url).path.endswith("/keypoints"):
            evaluate_joints(args.url, coco, args.images, args.limit)
            evaluate_poses(args.url, coco, args.images, args.limit)
        else:
            evaluate(args.url, coco, args.images, names, args.limit)
        return 0
    figures = []
    for shift in (0, 1):
        with oracle(coco, args.images, shift) as url:
            figures.append([evaluate(url, coco, args.images, names, args.limit)])
            if any("keypoints" in c for c in coco.dataset["categories"]):
                figures[-1] += [evaluate_joints(url, coco, args.images, args.limit),
                                evaluate_poses(url, coco, args.images, args.limit)]
    good = min(figures[0]) > 0.9999 and max(figures[1]) < 0.1
    print(f"{'ok' if good else 'FAIL'}: {figures[0]} of perfect answers, {figures[1]} of moved ones")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
