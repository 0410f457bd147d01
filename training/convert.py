#!/usr/bin/env python3
"""convert.py IN.pth OUT.safetensors: a PyTorch checkpoint as safetensors. Nothing in the file is run.

Needs Python alone. Reads the zip form (PyTorch 1.6 on) of state dicts, bare or in a wrapper such as `state_dict`; F64 becomes
F32, integers stay. Every tensor is checked against its storage, all together against twice the file.
"""

import argparse
import array
import json
import mmap
import os
import struct
import sys
import zipfile

from unpickle import Global, Inert, PickleError, Unpickler

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "state_dict_ema", "model_ema", "ema")
PREFIXES = ("module.", "_orig_mod.")
MAX_RANK, LONGEST_NAME, LARGEST_HEADER, LARGEST_PICKLE = 8, 512, 16 << 20, 16 << 20
STORAGES = {
    "Float": ("F32", 4), "Double": ("F64", 8), "Half": ("F16", 2), "BFloat16": ("BF16", 2), "Long": ("I64", 8),
    "Int": ("I32", 4), "Short": ("I16", 2), "Char": ("I8", 1), "Byte": ("U8", 1), "Bool": ("BOOL", 1),
}
FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


class ConvertError(ValueError):
    """Says which object, which value, which rule."""


class Storage:
    def __init__(self, dtype, size, data):
        self.dtype, self.size, self.data = dtype, size, data


class Tensor:
    def __init__(self, storage, offset, shape, strides, *_):
        whole = lambda values: isinstance(values, tuple) and all(type(v) is int and 0 <= v < 1 << 63 for v in values)
        if not isinstance(storage, Storage) or not whole((offset,)) or not whole(shape) or not whole(strides):
            raise PickleError("a tensor is not of a storage, an offset, a shape and strides")
        if len(shape) != len(strides) or len(shape) > MAX_RANK:
            raise PickleError(f"a tensor of {len(shape)} dimensions and {len(strides)} strides, the limit is {MAX_RANK}")
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides
        self.count = 1
        for size in shape:
            self.count *= size
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides))
        have = len(storage.data) // storage.size
        if self.count and last >= have:
            raise PickleError(f"a tensor reaches element {last}, its storage has {have}")

    def bytes(self):
        """The elements in row-major order."""
        size, dims = self.storage.size, [(n, s) for n, s in zip(self.shape, self.strides) if n != 1]
        dense = 1
        for n, s in reversed(dims):
            if s != dense:
                break
            dense *= n
        else:
            return self.storage.data[self.offset * size : (self.offset + self.count) * size]
        source = self.storage.data.cast(FORMATS[size])
        ret = array.array(FORMATS[size], [0]) * self.count
        self.gather(source, memoryview(ret), dims, self.offset, 0)
        return memoryview(ret).cast("B")

    def gather(self, source, target, dims, start, at):
        (n, stride), rest = dims[0], dims[1:]
        step = 1
        for size, _ in rest:
            step *= size
        for i in range(n):
            if rest:
                self.gather(source, target, rest, start + i * stride, at + i * step)
            else:
                target[at + i] = source[start + i * stride]


def resolve(name):
    if name in ("collections.OrderedDict", "collections.defaultdict"):
        return Global(name, lambda *args: {})
    if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        return Global(name, Tensor)
    if name == "torch._utils._rebuild_parameter":
        return Global(name, lambda data, *_: data)
    if name.startswith("torch.") and name.endswith("Storage"):
        return STORAGES.get(name[len("torch.") : -len("Storage")])
    return None


class Archive:
    """The records of the zip form; they are stored, not compressed."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.view = memoryview(mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ))
        if self.view[:4] != b"PK\3\4":
            raise ConvertError("is not the zip form of a checkpoint (PyTorch 1.6 and later write it)")
        self.infos = {info.filename.partition("/")[2]: info for info in zipfile.ZipFile(self.file).infolist()}
        if "constants.pkl" in self.infos:
            raise ConvertError("is a TorchScript archive, not a checkpoint")
        if "byteorder" in self.infos and bytes(self.record("byteorder")) != b"little":
            raise ConvertError("byteorder is not little")

    def record(self, name):
        info = self.infos.get(name)
        if info is None:
            raise ConvertError(f"record '{name[:64]}' is missing")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ConvertError(f"record '{name[:64]}' is compressed; PyTorch stores")
        head = bytes(self.view[info.header_offset : info.header_offset + 30])
        if len(head) != 30 or head[:4] != b"PK\3\4":
            raise ConvertError(f"record '{name[:64]}' has no header")
        begin = info.header_offset + 30 + sum(struct.unpack("<HH", head[26:30]))
        if begin + info.file_size > len(self.view):
            raise ConvertError(f"record '{name[:64]}' has {info.file_size} bytes and leaves the file")
        return self.view[begin : begin + info.file_size]

    def storage(self, name):
        if not isinstance(name, tuple) or len(name) < 5 or name[0] != "storage" or not isinstance(name[2], str):
            raise PickleError("a persistent id is not a storage's")
        if not isinstance(name[1], tuple):
            raise PickleError(f"storage '{name[2][:64]}' is of {getattr(name[1], 'name', 'no type')}, which is not supported")
        data = self.record("data/" + name[2])
        if name[4] * name[1][1] != len(data):
            raise PickleError(f"storage '{name[2][:64]}' has {len(data)} bytes, {name[4]} elements are promised")
        return Storage(*name[1], data)

    def load(self):
        pickled = self.record("data.pkl")
        if len(pickled) > LARGEST_PICKLE:
            raise ConvertError(f"data.pkl has {len(pickled)} bytes, the limit is {LARGEST_PICKLE}")
        reader = Unpickler(pickled, resolve, self.storage)
        return reader.load(), reader.inert


def state_dict(value):
    for _ in range(4):
        if not isinstance(value, dict):
            break
        inner = [value[k] for k in WRAPPERS if isinstance(value.get(k), dict) and any(isinstance(t, Tensor) for t in value[k].values())]
        if not inner:
            break
        value = inner[0]
    if not isinstance(value, dict):
        raise ConvertError(f"holds a {getattr(value, 'name', type(value).__name__)}, not a state dict")
    tensors = {k: v for k, v in value.items() if isinstance(v, Tensor) and isinstance(k, str)}
    for key, v in value.items():
        if isinstance(v, Inert) and v.name.startswith("torch._utils._rebuild"):
            raise ConvertError(f"tensor '{str(key)[:128]}' is made by {v.name} (quantised, sparse or the like), which is not supported")
    if not tensors:
        raise ConvertError(f"no tensors beside the keys {', '.join(map(str, list(value)[:8]))[:200]}")
    return tensors


def strip(tensors, keep):
    for prefix in () if keep else PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name[len(prefix) :]: tensor for name, tensor in tensors.items()}
    return tensors


def write(tensors, path, limit):
    header, position = {}, 0
    for name, tensor in tensors.items():
        if not 0 < len(name.encode("utf-8", "replace")) <= LONGEST_NAME:
            raise ConvertError(f"a tensor's name has {len(name)} letters, the limit is {LONGEST_NAME} bytes")
        double = tensor.storage.dtype == "F64"
        size = tensor.count * (4 if double else tensor.storage.size)
        header[name] = {"dtype": "F32" if double else tensor.storage.dtype, "shape": tensor.shape, "data_offsets": [position, position + size]}
        position += size
        if position > limit:
            raise ConvertError(f"its tensors have over {limit} bytes, twice those of the file")
    text = json.dumps(header).encode()
    if len(text) > LARGEST_HEADER:
        raise ConvertError(f"the header has {len(text)} bytes, the limit is {LARGEST_HEADER}")
    text += b" " * (-len(text) % 8)
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for tensor in tensors.values():
                data = tensor.bytes()
                out.write(array.array("f", array.array("d", bytes(data))) if tensor.storage.dtype == "F64" else data)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--keep-prefix", action="store_true", help="leave 'module.' where all names begin with it")
    args = parser.parse_args()
    try:
        archive = Archive(args.input)
        value, inert = archive.load()
        write(strip(state_dict(value), args.keep_prefix), args.output, 2 * len(archive.view))
    except (ConvertError, PickleError, zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        print(f"convert: {args.input}: {error}", file=sys.stderr)
        return 1
    if inert:
        print(f"convert: {args.input}: left out what these made: {', '.join(sorted(inert))[:500]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
