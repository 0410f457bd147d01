"""Check school.py and scenes.py: folded batch norms, objects and crowds, mirrored joints, parts and orientation of
photos, weights as written.

Run it by hand (`python training/test_school.py`); it needs no data. An assertion fails on a miss.
"""
from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image
from safetensors.torch import load_file
from torch import nn

import deeplab
import faster_rcnn as R
import fit_heads
import model_dir
import res2net
import roi_keypoints as K
import scenes as S
import school
import testweights

SMALL = dict(layers=(1, 2, 1, 1), base_width=26, scale=4, groups=1, stem_channels=16, planes=(16, 16, 16, 16))


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """max|a-b| / max|b|."""
    return ((a - b).abs().max() / b.abs().max()).item()


def scene(boxes: list, kinds: list, joints: int = 0, size: int = 40) -> S.Scene:
    """Objects in a picture whose pixels tell where they are: red is x, green is y, the mask is the left half."""
    y, x = np.mgrid[:size, :size].astype(np.uint8)
    return S.Scene(np.stack((x, y, 0 * x), 2), np.array(boxes, np.float32).reshape(-1, 4), np.array(kinds, np.int64),
                   np.zeros((len(boxes), joints, 3), np.float32), (x < size // 2).astype(np.uint8), True, -1, (size, size))


def folded(stem: str, downsample: str) -> None:
    """A folded trunk computes the same, has no batch norm left, and goes back under the names of the file."""
    trunk = R.Trunk(dict(SMALL, stem=stem, downsample=downsample)).eval()
    testweights.fill(trunk)
    names, norms = set(trunk.state_dict()), school.pairs(trunk)
    assert len(norms) == sum(isinstance(m, nn.BatchNorm2d) for m in trunk.modules())
    picture = testweights.picture(64, 96)
    before = trunk(picture)
    school.fold(trunk)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in trunk.modules())
    after = trunk(picture)
    assert max(difference(after[t], before[t]) for t in R.TAPS) < 1e-5
    state = school.unfolded(trunk.state_dict(), norms)
    assert set(state) == {n for n in names if not n.endswith("num_batches_tracked")}
    again = R.Trunk(dict(SMALL, stem=stem, downsample=downsample)).eval()
    again.load_state_dict(state, strict=False)
    assert max(difference(again(picture)[t], before[t]) for t in R.TAPS) < 1e-4  # a variance of 1 has its epsilon


def assigned() -> None:
    """Objects are found, their best boxes rescued; what lies in a crowd is neither object nor background."""
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 20], [20, 20, 30, 30], [35, 0, 40, 5], [0, 0, 10, 18]]).float()
    two = scene([[20, 20, 40, 40], [0, 0, 10, 19]], [S.CROWD, 3])
    kind, mine = school.assign(boxes, two, 0.7, 0.3, False)
    assert kind.tolist() == [-1, 1, -1, 0, 1] and mine[[1, 4]].tolist() == [1, 1]
    kind, _ = school.assign(boxes[:1], two, 0.7, 0.3, True)
    assert kind.tolist() == [1]
    kind, _ = school.assign(boxes, scene([], []), 0.7, 0.3, True)
    assert kind.tolist() == [0] * 5
    truth = torch.tensor([[1.0, 2, 14, 9]])
    assert torch.allclose(R.decode(boxes[:1], school.encode(boxes[:1], truth, R.BOX_STDS[0]), R.BOX_STDS[0]), truth)


def mirrored() -> None:
    """A mirror exchanges left and right joints and moves boxes, mask and pixels alike."""
    joints = S.Joints(["nose", "left_eye", "right_eye", "left_horn"])
    assert joints.flip == [0, 2, 1, 3] and joints.names == ["nose", "left_eye", "right_eye", "left_horn"]
    one = scene([[4, 8, 24, 28]], [0], 4)
    one.joints[0] = [[10, 10, 2], [6, 12, 2], [14, 12, 1], [0, 0, 0]]
    other = S.part(one, 0, 0, 40, 40, (40, 40), joints.flip)
    assert other.boxes.tolist() == [[16, 8, 36, 28]]
    assert other.joints[0, :3].tolist() == [[30, 10, 2], [26, 12, 1], [34, 12, 2]] and other.joints[0, 3, 2] == 0
    assert (other.pixels[..., 0] == one.pixels[:, ::-1, 0]).all() and (other.mask == one.mask[:, ::-1]).all()
    back = S.part(other, 0, 0, 40, 40, (40, 40), joints.flip)
    assert (back.boxes == one.boxes).all() and (back.joints[0, :3] == one.joints[0, :3]).all()


def cut() -> None:
    """A part has its pixels, boxes, joints and mask at one place; what is mostly outside is left out."""
    two = scene([[12, 12, 28, 28], [0, 0, 11, 11]], [0, 1], 1)
    two.joints[:, 0] = [[14, 16, 2], [5, 5, 2]]
    out = S.part(two, 10, 10, 20, 10, (40, 20), None)
    assert out.boxes.tolist() == [[4, 4, 36, 20]] and out.kinds.tolist() == [0] and out.valid == (20, 40)
    assert out.joints[0, 0].tolist() == [8, 12, 2]
    assert abs(int(out.pixels[12, 8, 0]) - 14) <= 1 and abs(int(out.pixels[12, 8, 1]) - 16) <= 1
    assert (out.mask == (np.arange(40) < 20)).all()
    box = S.letterboxed(two, 20)
    assert box.boxes[0].tolist() == [6, 6, 14, 14] and box.pixels.shape == (20, 20, 3)
    padded = S.square(out, 48)
    assert (padded.mask[20:] == S.IGNORED).all() and not padded.pixels[:, 40:].any() and padded.valid == (20, 40)


def rotated() -> None:
    """A rotation moves pixels, joints, mask and boxes alike; a quarter of a turn exactly."""
    one = scene([[10, 14, 30, 26]], [0], 1)
    one.joints[0, 0] = [25, 18, 2]
    quarter, some = S.rotated(one, 90), S.rotated(one, 15)
    assert np.allclose(quarter.boxes, [[14, 10, 26, 30]]) and np.allclose(quarter.joints[0, 0], [22, 25, 2])
    assert (quarter.pixels == np.rot90(one.pixels, -1)).all() and (quarter.mask == np.rot90(one.mask, -1)).all()
    x, y = some.joints[0, 0, :2].astype(int)
    assert np.abs(some.pixels[y, x, :2].astype(int) - (25, 18)).max() <= 1
    assert some.mask[0, 0] == S.IGNORED and (some.boxes[0, :2] > 0).all() and np.ptp(some.boxes[0, 1::2]) > 12


def pasted() -> None:
    """A person who is put into a scene brings pixels, mask and joints."""
    one = scene([[4, 4, 36, 36]], [0], 17)
    one.joints[0, 3] = [24, 12, 2]
    one.mask = ((one.pixels > 3) & (one.pixels < 36))[..., :2].all(2).astype(np.uint8)
    square = S.Scene(np.full((80, 80, 3), 200, np.uint8), np.array([[38, 38, 42, 42]], np.float32), np.zeros(1, np.int64),
                     np.zeros((1, 17, 3), np.float32), np.zeros((80, 80), np.uint8), True, -1, (80, 80))
    rng = np.random.default_rng(1)
    while not len(square.joints[square.joints[..., 2] > 0]):
        S.paste(rng, square, one)
    x, y = square.joints[-1, 3 if square.joints[-1, 3, 2] else 4, :2].astype(int)
    left, top, right, bottom = square.boxes[-1].astype(int)
    assert np.abs(square.pixels[y, x, :2].astype(int) - (24, 12)).max() <= 2 and (square.pixels[..., 2] == 200).any()
    assert (square.mask[top:bottom, left:right] == 1).mean() > 0.9 and square.mask.sum() == (square.mask == 1).sum()


def written() -> None:
    """What is written, read by the networks that have the published names or back again, computes what the school's network does."""
    trunk = dict(SMALL, stem="7x7", downsample="conv")
    segment = deeplab.Options(classes=3, rates=(1, 2), channels=8, fuse_kernel=1, low_tap=3, low_channels=4)
    net, again = (school.Net(trunk, 5, R.Options(classes=2, fpn_channels=8, rpn_channels=8, fc_channels=8), segment,
                             {"channels": 8, "bins": 8, "convs": 2, "joints": 3}) for _ in range(2))
    whole = res2net.Res2Net(**trunk, num_classes=5).eval()
    testweights.fill(whole)
    picture = testweights.picture(64, 64)
    net.begin(whole.state_dict(), torch.cat((picture, -picture, picture.flip(2), picture.flip(3) * 2)))
    taps = net.eval().trunk(picture)
    with tempfile.TemporaryDirectory() as folder:
        model_dir.trunk(Path(folder), net, {})
        model_dir.segment(Path(folder), net, {}, ["a", "b"], {})
        model_dir.keypoints(Path(folder), net, {}, {"joints": ["x", "y", "z"]}, {})
        model_dir.detect(Path(folder), net, {}, ["a", "b"], {})
        model_dir.read(Path(folder), again)
        files = {n: {k: t.float() for k, t in load_file(Path(folder) / f"{n}.safetensors").items()}
                 for n in ("trunk", "segment", "keypoints")}
    whole.load_state_dict(files["trunk"], strict=False)
    found = whole.taps(picture)
    assert difference(found.c5, taps["c5"]) < 5e-3 and difference(found.logits, net.classify(taps)) < 5e-3  # half precision
    head = deeplab.DecodeHead(trunk["planes"], segment).eval()
    head.load_state_dict({n.removeprefix("decode_head."): t for n, t in files["segment"].items()}, strict=False)
    assert difference(head(taps), net.segmenter(taps)) < 5e-3
    joints = K.KeypointHead(tuple(net.widths), channels=8, bins=8, convs=2, joints=3)
    joints.load_state_dict({n.removeprefix("keypoints."): t for n, t in files["keypoints"].items()})
    maps, region = list(taps.values()), [torch.tensor([[4.0, 4, 60, 50]])]
    assert difference(joints(joints.features(maps), region), net.keypoints(net.keypoints.features(maps), region)) < 5e-3
    rounded = {n: t.half().float() for n, t in net.state_dict().items()}
    assert all(torch.equal(t, rounded[n]) for n, t in again.state_dict().items()) and len(rounded) == len(again.state_dict())


def turned() -> None:
    """A photo with an EXIF orientation has the size and the pixels that the daemon sees."""
    with tempfile.TemporaryDirectory() as folder:
        for orientation, size in ((1, (8, 5)), (3, (8, 5)), (6, (5, 8))):
            file, exif = Path(folder) / f"{orientation}.png", Image.Exif()
            exif[ExifTags.Base.Orientation] = orientation
            image = Image.new("RGB", (8, 5))
            image.putpixel((0, 0), (255, 0, 0))
            image.save(file, exif=exif)
            corner = {1: (0, 0), 3: (7, 4), 6: (4, 0)}[orientation]
            assert fit_heads.size(file) == S.opened(file).size == size and S.opened(file).getpixel(corner) == (255, 0, 0)


def refused() -> None:
    """A trunk that does not fit names its tensors; heads without options are not there."""
    net = school.Net(dict(SMALL, stem="7x7", downsample="conv"), 0, None, None, None)
    assert net.detector is None and net.segmenter is None and net.keypoints is None
    weights = net.trunk.state_dict()
    weights["strange"] = weights.pop("bn1.bias")
    weights["conv1.weight"] = weights["conv1.weight"][:4]
    try:
        net.begin(weights, testweights.picture(64, 64))
    except SystemExit as e:
        assert all(part in str(e) for part in ("bn1.bias is missing", "strange is unexpected", "conv1.weight is (4, ")), e
    else:
        raise AssertionError("weights that do not fit were taken")


def main() -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for stem, downsample in (("7x7", "conv"), ("7x7", "avg"), ("deep", "avg")):
            folded(stem, downsample)
        for check in (assigned, mirrored, cut, rotated, pasted, written, turned, refused):
            check()
            print(f"ok   {check.__name__}: {check.__doc__}", flush=True)


if __name__ == "__main__":
    main()
