"""Makes tests/golden/image: small pictures and what Pillow and OpenCV make of them.

    python training/image_goldens.py [tests/golden/image]

Needs Pillow (11 made the stored files), opencv-python-headless (5.0; 4.14 gives the same) and numpy.
Everything is drawn here from a fixed seed. Five tables say what belongs together; paths are relative to their folder:

    resize.tsv     source  width  height  filter  expected
    opencv.tsv     the same, of OpenCV
    decode.tsv     file  orientation (in the file)  tolerance (grey levels)  expected
    input.tsv      source  the spec's fields  expected (RGBA: alpha 0 = padding)
    normalise.f32  float32 [256, 3], little-endian: each sample by ImageNet mean and deviation
"""
import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
CV_FILTERS = {"nearest": "INTER_NEAREST", "bilinear": "INTER_LINEAR"}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WHITE = (255, 255, 255, 255)


# ---------------------------------------------------------------- pictures

def noise(width, height, seed):
    samples = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return Image.fromarray(samples.astype(np.uint8))


def gradient(width, height):
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1)
    return Image.fromarray(np.dstack([red, green, 255 - (red + green) // 2]).astype(np.uint8))


def strokes(width, height, seed):
    """Black and coloured strokes on white: edges as of text, where bicubic overshoots."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for i in range(max(4, width * height // 120)):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        dx, dy = (int(rng.integers(2, 12)), 0) if i % 2 else (0, int(rng.integers(2, 12)))
        colour = "black" if i % 3 else tuple(int(c) for c in rng.integers(0, 256, 3))
        draw.line([x, y, x + dx, y + dy], fill=colour, width=1 + i % 2)
    return picture


def scene(width, height, seed):
    """A gradient with strokes and a little noise: what JPEG can encode without going to pieces."""
    base = np.asarray(Image.blend(gradient(width, height), strokes(width, height, seed), 0.4))
    grain = np.random.default_rng(seed).integers(-6, 7, base.shape)
    return Image.fromarray(np.clip(base.astype(int) + grain, 0, 255).astype(np.uint8))


# ---------------------------------------------------------------- PNG of any kind

PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2)]  # Adam7: first x, first y, step x, step y
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data)))


def pack_rows(samples, depth):
    """[h, w, channels] -> filter byte 0 and packed samples for each row."""
    rows = []
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            data = row.astype(">u2").tobytes()
        elif depth == 8:
            data = row.astype(np.uint8).tobytes()
        else:
            bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            data = np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()
        rows.append(b"\0" + data)
    return b"".join(rows)


def write_png(samples, colour_type, depth, interlaced=False, palette=None, transparency=None):
    height, width, channels = samples.shape
    assert channels == CHANNELS[colour_type]
    if interlaced:
        data = b"".join(pack_rows(samples[y::dy, x::dx], depth)
                        for x, y, dx, dy in PASSES if x < width and y < height)
    else:
        data = pack_rows(samples, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparency is not None:
        out += chunk(b"tRNS", transparency)
    return out + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def over_white(rgba):
    """[h, w, 4] of 8 bits, pasted over white by Pillow."""
    picture = Image.fromarray(rgba.astype(np.uint8), "RGBA")
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture.convert("RGB"), mask=picture.getchannel("A"))
    return white


def pillow_over_white(data):
    picture = Image.open(io.BytesIO(data)).convert("RGBA")
    return over_white(np.asarray(picture))


def expected_png(samples, colour_type, depth, palette, key):
    """From the samples alone: high byte of 16 bits, 1..4 bits spread over 0..255, white below."""
    if colour_type == 3:
        colours = palette[samples[:, :, 0]]
        alpha = key[samples[:, :, 0]] if key is not None else np.full(samples.shape[:2], 255)
        return over_white(np.dstack([colours, alpha]))
    bytes_ = samples >> 8 if depth == 16 else samples * 255 // (2 ** depth - 1)
    has_alpha = colour_type in (4, 6)
    colours = bytes_[:, :, :-1] if has_alpha else bytes_
    if colours.shape[2] == 1:
        colours = np.repeat(colours, 3, axis=2)
    if has_alpha:
        alpha = bytes_[:, :, -1]
    elif key is not None:
        alpha = np.where((samples == key).all(axis=2), 0, 255)
    else:
        alpha = np.full(samples.shape[:2], 255)
    return over_white(np.dstack([colours, alpha]))


def png_cases():
    """(name, file, expected): every colour type and depth, plain and interlaced, with tRNS too."""
    rng = np.random.default_rng(31)
    kinds = [(0, d) for d in (1, 2, 4, 8, 16)] + [(2, 8), (2, 16)] + \
            [(3, d) for d in (1, 2, 4, 8)] + [(4, 8), (4, 16), (6, 8), (6, 16)]
    for colour_type, depth in kinds:
        for with_key in ([False, True] if colour_type in (0, 2, 3) else [False]):
            for interlaced in (False, True):
                width, height = (19, 13) if interlaced else (21, 11)
                top = 2 ** depth
                samples = rng.integers(0, top, (height, width, CHANNELS[colour_type]))
                palette = key = transparency = None
                if colour_type == 3:
                    palette = rng.integers(0, 256, (top, 3))
                    if with_key:
                        key = rng.integers(0, 256, top)
                        transparency = key.astype(np.uint8).tobytes()
                elif with_key:
                    key = samples[3, 4]
                    samples[5:7, 2:9] = key
                    transparency = key.astype(">u2").tobytes()
                data = write_png(samples, colour_type, depth, interlaced, palette, transparency)
                expected = expected_png(samples, colour_type, depth, palette, key)
                # Pillow clips 16-bit grey, and takes keys of 2, 4 and 16 bits for 8-bit ones.
                odd = (colour_type == 0 and depth == 16) or (with_key and depth in (2, 4, 16)
                                                             and colour_type != 3)
                if not odd:
                    assert (np.asarray(expected) == np.asarray(pillow_over_white(data))).all()
                name = f"png_{colour_type}_{depth}{'_key' if with_key else ''}" \
                       f"{'_interlaced' if interlaced else ''}"
                yield name, data, expected


# ---------------------------------------------------------------- JPEG and EXIF

def save(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def jpeg_cases():
    picture = scene(75, 53, 7)
    cmyk = Image.fromarray(np.dstack([np.asarray(picture), np.asarray(picture.convert("L"))]),
                           "CMYK")
    kinds = {
        "444": (picture, {"subsampling": 0}),
        "422": (picture, {"subsampling": 1}),
        "420": (picture, {"subsampling": 2}),
        "420_low": (picture, {"subsampling": 2, "quality": 20}),
        "progressive": (picture, {"progressive": True}),
        "progressive_444": (picture, {"progressive": True, "subsampling": 0}),
        "restart": (picture, {"restart_marker_blocks": 3}),
        "restart_progressive": (picture, {"restart_marker_rows": 1, "progressive": True}),
        "optimised": (picture, {"optimize": True, "quality": 95}),
        "rgb": (picture, {"keep_rgb": True}),
        "gray": (picture.convert("L"), {}),
        "gray_progressive": (picture.convert("L"), {"progressive": True}),
        "cmyk": (cmyk, {}),
        "cmyk_progressive": (cmyk, {"progressive": True}),
        "one_pixel": (picture.crop((0, 0, 1, 1)), {}),
        "one_row": (picture.crop((0, 9, 75, 10)), {}),
        "one_column": (picture.crop((9, 0, 10, 53)), {}),
    }
    for name, (source, options) in kinds.items():
        data = save(source, "JPEG", **{"quality": 85, **options})
        yield f"jpeg_{name}", data, Image.open(io.BytesIO(data)).convert("RGB")


def exif_cases():
    picture = scene(37, 23, 9)
    for kind in ("JPEG", "PNG"):
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            exif[0x010F] = "res2netd"
            data = save(picture, kind, exif=exif)
            expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
            yield f"exif_{orientation}", kind.lower(), orientation, data, expected


# ---------------------------------------------------------------- network input

def resize(picture, width, height, name):
    """Horizontal pass, then vertical: Image.resize of every Pillow up to 12. (Pillow 13 turns the
    passes round for pictures that lose much more height than width.)"""
    if name == "nearest":
        return picture.resize((width, height), FILTERS[name])
    across = picture.resize((width, picture.height), FILTERS[name])
    result = across.resize((width, height), FILTERS[name])
    if int(Image.__version__.split(".")[0]) < 13:
        whole = picture.resize((width, height), FILTERS[name])
        assert (np.asarray(whole) == np.asarray(result)).all()
    return result


def resize_like_opencv(picture, width, height, name):
    import cv2  # what codec_goldens.py takes from here does not need it
    return Image.fromarray(cv2.resize(np.asarray(picture), (width, height),
                                      interpolation=getattr(cv2, CV_FILTERS[name])))


def resized_size(width, height, mode, size):
    short, long = min(width, height), max(width, height)
    if mode == "exact":
        return size[1], size[0]
    if mode == "shorter":  # torchvision's _compute_resized_output_size
        short, long = size[0], int(size[0] * long / short)
    elif mode == "longer":
        short, long = max(1, int(size[0] * short / long + 0.5)), size[0]
    elif mode == "fit":  # mmcv's rescale_size
        scale = min(size[1] / long, size[0] / short)
        short, long = int(short * scale + 0.5), int(long * scale + 0.5)
    return (short, long) if width <= height else (long, short)


def centre_crop(rgba, crop_h, crop_w):
    """torchvision's center_crop, padding with alpha 0."""
    height, width = rgba.shape[:2]
    top, left = max(crop_h - height, 0), max(crop_w - width, 0)
    rgba = np.pad(rgba, ((top // 2, (top + 1) // 2), (left // 2, (left + 1) // 2), (0, 0)))
    y = int(round((rgba.shape[0] - crop_h) / 2.0))
    x = int(round((rgba.shape[1] - crop_w) / 2.0))
    return rgba[y:y + crop_h, x:x + crop_w]


def prepare(picture, mode, size, name, like, crop, letterbox, multiple):
    if mode != "none":
        resized = resized_size(*picture.size, mode, size)
        picture = (resize_like_opencv if like == "opencv" else resize)(picture, *resized, name)
    rgba = np.asarray(picture.convert("RGBA"))
    if letterbox:
        side = max(rgba.shape[:2])
        rgba = np.pad(rgba, ((0, side - rgba.shape[0]), (0, side - rgba.shape[1]), (0, 0)))
    if crop != (0, 0):
        rgba = centre_crop(rgba, *crop)
    if multiple > 1:
        rgba = np.pad(rgba, ((0, -rgba.shape[0] % multiple), (0, -rgba.shape[1] % multiple),
                             (0, 0)))
    return Image.fromarray(rgba)


INPUTS = [  # source, mode, size, filter (/like), crop, letterbox, pad_multiple, bgr
    ("wide", "shorter", (256, 0), "bilinear", (224, 224), 0, 0, 0),
    ("tall", "shorter", (256, 0), "bilinear", (224, 224), 0, 0, 0),
    ("tall", "shorter", (73, 0), "bicubic", (64, 50), 0, 0, 1),
    ("wide", "shorter", (69, 0), "nearest", (64, 64), 0, 1, 0),
    ("wide", "longer", (320, 0), "bilinear", (0, 0), 1, 0, 0),
    ("tall", "longer", (127, 0), "bicubic", (0, 0), 1, 32, 0),
    ("thin", "longer", (50, 0), "bilinear", (0, 0), 0, 0, 0),
    ("wide", "none", (0, 0), "bilinear", (0, 0), 0, 0, 0),
    ("wide", "none", (0, 0), "bilinear", (131, 200), 0, 0, 0),
    ("wide", "none", (0, 0), "bilinear", (64, 200), 0, 0, 0),
    ("tall", "none", (0, 0), "bilinear", (200, 33), 0, 32, 0),
    ("tall", "none", (0, 0), "bilinear", (0, 0), 0, 32, 1),
    ("wide", "exact", (48, 80), "bilinear", (0, 0), 0, 0, 0),
    ("tall", "exact", (48, 80), "bicubic", (0, 0), 0, 0, 0),
    ("wide", "fit", (80, 100), "bilinear", (0, 0), 0, 32, 0),
    ("tall", "fit", (60, 133), "bilinear", (0, 0), 0, 0, 0),
    ("thin", "shorter", (40, 0), "bilinear", (40, 60), 0, 0, 0),
    ("wide", "fit", (80, 100), "bilinear/opencv", (0, 0), 0, 32, 0),
    ("tall", "shorter", (93, 0), "bilinear/opencv", (64, 50), 0, 0, 1),
    ("wide", "shorter", (69, 0), "nearest/opencv", (64, 64), 0, 1, 0),
]

# source name, target sizes; 32x24 is half the size, which OpenCV computes in a way of its own
OPENCV_RESIZES = {
    "noise_97x61": [(40, 25), (48, 30), (97, 30), (30, 61), (1, 1), (5, 50)],
    "strokes_64x48": [(32, 24), (64, 24), (32, 25), (16, 12), (128, 96), (65, 49), (200, 2)],
    "noise_1x37": [(20, 9), (1, 50)],
    "noise_37x1": [(9, 20), (50, 1)],
    "noise_1x1": [(7, 5)],
    "noise_200x3": [(100, 5), (3, 40), (17, 3)],
    "noise_3x200": [(40, 3), (1, 100)],
}

# source name, target sizes
RESIZES = [
    ("noise_97x61", [(40, 25), (131, 89), (97, 30), (30, 61), (97, 100), (61, 97), (1, 1), (5, 50),
                     (96, 60)]),
    ("strokes_64x48", [(32, 24), (128, 96), (65, 49), (200, 2)]),
    ("noise_1x37", [(20, 9), (1, 50)]),
    ("noise_37x1", [(9, 20), (50, 1)]),
    ("noise_1x1", [(7, 5)]),
    ("noise_200x3", [(3, 40), (17, 3), (7, 1)]),
    ("noise_3x200", [(40, 3)]),
    ("gradient_150x10", [(149, 11), (15, 33)]),
]


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/image")
    for old in root.glob("*.*"):
        old.unlink()
    root.mkdir(parents=True, exist_ok=True)
    tables = {"resize": [], "opencv": [], "decode": [], "input": []}

    def store(picture, name):
        picture.save(root / name, optimize=True)
        return name

    for number, (source, sizes) in enumerate(RESIZES):
        kind, size = source.split("_")
        width, height = (int(side) for side in size.split("x"))
        picture = gradient(width, height) if kind == "gradient" else \
            (noise if kind == "noise" else strokes)(width, height, 100 + number)
        store(picture, f"{source}.png")
        for width, height in sizes:
            for name in FILTERS:
                expected = store(resize(picture, width, height, name),
                                 f"{source}_{width}x{height}_{name}.png")
                tables["resize"].append((f"{source}.png", width, height, name, expected))
        for width, height in OPENCV_RESIZES.get(source, ()):
            for name in CV_FILTERS:
                expected = store(resize_like_opencv(picture, width, height, name),
                                 f"opencv_{source}_{width}x{height}_{name}.png")
                tables["opencv"].append((f"{source}.png", width, height, name, expected))

    for name, data, expected in jpeg_cases():
        (root / f"{name}.jpg").write_bytes(data)
        tables["decode"].append((f"{name}.jpg", 1, 2, store(expected, f"{name}_expected.png")))
    for name, data, expected in png_cases():
        (root / f"{name}.png").write_bytes(data)
        tables["decode"].append((f"{name}.png", 1, 0, store(expected, f"{name}_expected.png")))
    for name, kind, orientation, data, expected in exif_cases():
        file = f"{name}.{'jpg' if kind == 'jpeg' else kind}"
        (root / file).write_bytes(data)
        tables["decode"].append((file, orientation, 2 if kind == "jpeg" else 0,
                                 store(expected, f"{name}_{kind}_expected.png")))

    sources = {"wide": scene(150, 97, 21), "tall": scene(70, 121, 22), "thin": scene(90, 2, 23)}
    for name, picture in sources.items():
        store(picture, f"input_{name}.png")
    for number, (source, mode, size, name, crop, letterbox, multiple, bgr) in enumerate(INPUTS):
        name, like = name.split("/") if "/" in name else (name, "pil")
        result = prepare(sources[source], mode, size, name, like, crop, letterbox, multiple)
        tables["input"].append((f"input_{source}.png", mode, *size, name, like, *crop,
                                letterbox, multiple, bgr, store(result, f"input_{number}_expected.png")))

    samples = np.arange(256, dtype=np.float32)[:, None] / np.float32(255)
    values = (samples - np.float32(MEAN)) / np.float32(STD)
    (root / "normalise.f32").write_bytes(values.astype("<f4").tobytes())
    for name, rows in tables.items():
        text = "".join("\t".join(str(cell) for cell in row) + "\n" for row in rows)
        (root / f"{name}.tsv").write_text(text)


if __name__ == "__main__":
    main()
