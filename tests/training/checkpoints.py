"""Writes checkpoints as torch.save does, opcode by opcode, so that a test can also write what torch.save never would."""

import io
import struct
import zipfile

FALSE, EMPTY_TUPLE, STOP = b"\x89", b")", b"."


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + struct.pack("<B", len(data)) + data


def name(module, what):
    return b"c" + module.encode() + b"\n" + what.encode() + b"\n"


def tuple_of(*items):
    return b"(" + b"".join(items) + b"t"


def numbers(values):
    return tuple_of(*map(number, values))


def dict_of(items):
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def call(module, what, *args):
    return name(module, what) + tuple_of(*args) + b"R"


def storage(kind, key, count, *view):
    return tuple_of(text("storage"), name("torch", kind + "Storage"), text(key), text("cpu"), number(count), *view) + b"Q"


def tensor(of, offset, shape, strides):
    ordered = name("collections", "OrderedDict") + EMPTY_TUPLE + b"R"
    return call("torch._utils", "_rebuild_tensor_v2", of, number(offset), numbers(shape), numbers(strides), FALSE, ordered)


def zipped(value, storages, compression=zipfile.ZIP_STORED):
    """The form of PyTorch 1.6 and later."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + value + STOP)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def legacy(value, storages, magic=0x1950A86A20F9469CFC6C, little=b"\x88"):
    """The form before it. storages: key -> (number of elements, bytes)."""
    machine = b"}(" + text("protocol_version") + number(1001) + text("little_endian") + little + b"u"
    keys = b"](" + b"".join(map(text, storages)) + b"e"
    pickles = [number(magic), number(1001), machine, value, keys]
    data = b"".join(struct.pack("<q", count) + part for count, part in storages.values())
    return b"".join(b"\x80\x02" + pickle + STOP for pickle in pickles) + data
