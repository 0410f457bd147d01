"""Makes tests/golden/image/codecs: kinds of JPEG, PNG and WebP beside those of image_goldens.py, and what
Pillow makes of them.

    python training/codec_goldens.py [tests/golden/image/codecs]

Needs Pillow (13 with libwebp 1.6 made the stored files), numpy, and cjpeg of libjpeg-turbo 2.1 for the
kinds of JPEG that Pillow does not write. Everything is drawn here from a fixed seed.

    table.tsv      file  orientation (in the file)  tolerance (grey levels)  expected
"""
import io
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from image_goldens import (chunk, expected_png, gradient, over_white, pillow_over_white, save, scene,
                           write_png)

SIZE = (75, 53)
JPEG_TOLERANCE = 2


# ---------------------------------------------------------------- JPEG

def cjpeg(picture, *options):
    kind = "PPM"  # a grey picture, too, is written as one that cjpeg reads
    return subprocess.run(["cjpeg", "-quality", "85", *options], input=save(picture, kind),
                          stdout=subprocess.PIPE, check=True).stdout


def sampled(picture, *factors):
    return cjpeg(picture, "-sample", ",".join(factors))


def ycck(picture):
    """A file of four components as Adobe writes it: CMYK turned to YCCK, all of it inverted. Pillow
    writes CMYK; the bytes are the same picture in YCCK when the marker says so, once its first three
    planes are Y, Cb and Cr."""
    planes = np.asarray(picture.convert("YCbCr"))
    black = 255 - np.asarray(picture.convert("L")) // 3
    data = save(Image.fromarray(255 - np.dstack([planes, black]), "CMYK"), "JPEG", quality=90)
    return set_transform(data, 2)


def set_transform(data, transform):
    """The byte of Adobe's marker that names the colour transform: 0 none, 1 YCbCr, 2 YCCK."""
    at = data.index(b"Adobe")
    return data[:at + 11] + bytes([transform]) + data[at + 12:]


def without_adobe(data):
    at = data.index(b"\xff\xee")
    size = struct.unpack(">H", data[at + 2:at + 4])[0]
    return data[:at] + data[at + 2 + size:]


def jpeg_cases():
    picture = scene(*SIZE, 41)
    cmyk = Image.fromarray(np.dstack([np.asarray(picture), 255 - np.asarray(picture.convert("L")) // 2]),
                           "CMYK")
    adobe = save(cmyk, "JPEG", quality=90)
    yield "440", sampled(picture, "1x2", "1x1", "1x1")
    yield "411", sampled(picture, "4x1", "1x1", "1x1")
    yield "410", sampled(picture, "4x2", "1x1", "1x1")
    yield "441", sampled(picture, "1x4", "1x1", "1x1")
    yield "3x1", sampled(picture, "3x1", "1x1", "1x1")
    yield "422_of_420", sampled(picture, "2x2", "2x1", "2x1")
    yield "blue_fine", sampled(picture, "2x2", "2x2", "1x1")
    yield "luma_coarse", sampled(picture, "1x1", "2x2", "2x2")
    yield "440_progressive", cjpeg(picture, "-sample", "1x2", "-progressive")
    yield "411_restart", cjpeg(picture, "-sample", "4x1", "-restart", "2B")
    yield "arithmetic", cjpeg(picture, "-arithmetic")
    yield "arithmetic_progressive", cjpeg(picture, "-arithmetic", "-progressive", "-restart", "1")
    yield "gray_sampled", cjpeg(picture, "-grayscale", "-sample", "2x2")
    yield "cmyk_adobe", adobe
    yield "cmyk_without_marker", without_adobe(adobe)
    yield "ycck", ycck(picture)
    yield "ycck_progressive", set_transform(save(cmyk, "JPEG", quality=90, progressive=True), 2)


# ---------------------------------------------------------------- PNG

def png_cases():
    """Chunks that say how samples would be shown: Pillow and we take the samples as they are."""
    samples = np.asarray(scene(*SIZE, 42)).astype(int)
    data = write_png(samples, 2, 8)
    head, rest = data[:33], data[33:]
    chromaticities = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    expected = expected_png(samples, 2, 8, None, None)
    yield "gamma", head + chunk(b"gAMA", struct.pack(">I", 100000)) + \
        chunk(b"cHRM", struct.pack(">8I", *chromaticities)) + rest, expected
    yield "srgb", head + chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"sRGB", b"\0") + rest, \
        expected
    yield "significant_bits", head + chunk(b"sBIT", b"\5\6\5") + rest, expected
    yield "background", head + chunk(b"bKGD", b"\0\xff\0\0\0\0") + rest, expected


# ---------------------------------------------------------------- WebP

def with_alpha(picture, seed):
    """Soft and hard edges of transparency, and pixels that nobody sees."""
    width, height = picture.size
    alpha = np.asarray(gradient(width, height).convert("L")).copy()
    shapes = Image.fromarray(alpha)
    draw = ImageDraw.Draw(shapes)
    draw.rectangle([5, 5, width // 3, height // 2], fill=0)
    draw.ellipse([width // 2, height // 3, width - 4, height - 4], fill=255)
    result = picture.convert("RGBA")
    result.putalpha(shapes)
    return result


def webp_animation(frames, **options):
    return save(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100, **options)


def moved_frame(data, width, height, x, y):
    """An animation on a larger canvas: the first frame, and every other, lies at x, y."""
    data = bytearray(data)
    at = data.index(b"VP8X") + 12
    data[at:at + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    for frame in re.finditer(b"ANMF", bytes(data)):
        at = frame.start() + 8
        data[at:at + 6] = (x // 2).to_bytes(3, "little") + (y // 2).to_bytes(3, "little")
    return bytes(data)


def webp_cases():
    picture, other = scene(*SIZE, 43), scene(*SIZE, 44)
    clear = with_alpha(picture, 45)
    few = picture.quantize(12).convert("RGB")
    yield "lossy", save(picture, "WEBP", quality=80)
    yield "lossy_low", save(picture, "WEBP", quality=5)
    yield "lossless", save(picture, "WEBP", lossless=True)
    yield "lossless_few_colours", save(few, "WEBP", lossless=True)
    yield "lossless_alpha", save(clear, "WEBP", lossless=True)
    yield "lossy_alpha", save(clear, "WEBP", quality=80)
    yield "lossy_alpha_low", save(clear, "WEBP", quality=60, alpha_quality=20)
    yield "one_pixel", save(picture.crop((9, 9, 10, 10)), "WEBP", quality=80)
    yield "one_pixel_lossless", save(picture.crop((9, 9, 10, 10)), "WEBP", lossless=True)
    yield "one_row", save(picture.crop((0, 9, 75, 10)), "WEBP", quality=80)
    yield "one_column", save(picture.crop((9, 0, 10, 53)), "WEBP", quality=80)
    yield "profile", save(picture, "WEBP", quality=80, icc_profile=b"not a profile")
    yield "animated", webp_animation([picture, other], quality=60)
    yield "animated_lossless", webp_animation([few, ImageOps.mirror(few)], lossless=True)
    yield "animated_alpha", webp_animation([clear, other], quality=60)
    yield "animated_small_frame", moved_frame(webp_animation([clear, other], quality=60), 90, 61, 12, 6)


def exif_cases():
    picture = scene(37, 23, 46)
    clear = with_alpha(picture, 47)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        source = clear if orientation == 5 else picture
        data = save(source, "WEBP", quality=80, lossless=orientation == 7, exif=exif)
        yield orientation, data, ImageOps.exif_transpose(Image.open(io.BytesIO(data)))


# ---------------------------------------------------------------- all

def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/image/codecs")
    root.mkdir(parents=True, exist_ok=True)
    for old in root.glob("*"):
        old.unlink()
    table = []

    def store(name, kind, data, orientation, tolerance, expected):
        expected.save(root / f"{name}_expected.png", optimize=True)
        (root / f"{name}.{kind}").write_bytes(data)
        table.append((f"codecs/{name}.{kind}", orientation, tolerance, f"codecs/{name}_expected.png"))

    for name, data in jpeg_cases():
        store(f"jpeg_{name}", "jpg", data, 1, JPEG_TOLERANCE,
              Image.open(io.BytesIO(data)).convert("RGB"))
    for name, data, expected in png_cases():
        assert (np.asarray(expected) == np.asarray(pillow_over_white(data))).all()
        store(f"png_{name}", "png", data, 1, 0, expected)
    for name, data in webp_cases():
        store(f"webp_{name}", "webp", data, 1, 0, pillow_over_white(data))
    for orientation, data, expected in exif_cases():
        store(f"exif_{orientation}", "webp", data, orientation, 0,
              over_white(np.asarray(expected.convert("RGBA"))))
    (root / "table.tsv").write_text("".join("\t".join(map(str, row)) + "\n" for row in table))


if __name__ == "__main__":
    main()
