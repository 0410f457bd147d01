#!/usr/bin/env python3
"""convert.py IN.pth OUT.safetensors: a PyTorch checkpoint as safetensors. Nothing in the file is run.

Needs Python alone. Reads the zip form (PyTorch 1.6 on) and the one before it of state dicts, bare or in a wrapper such as
`state_dict`; F64 becomes F32, integers stay. Every tensor is checked against its storage, all together against twice the file.
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
MAX_RANK, MOST_TENSORS, LONGEST_NAME, LARGEST_HEADER, LARGEST_PICKLE = 8, 65536, 512, 16 << 20, 16 << 20
STORAGES = {
    "Float": ("F32", 4), "Double": ("F64", 8), "Half": ("F16", 2), "BFloat16": ("BF16", 2), "Long": ("I64", 8),
    "Int": ("I32", 4), "Short": ("I16", 2), "Char": ("I8", 1), "Byte": ("U8", 1), "Bool": ("BOOL", 1),
}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of the form before the zip
FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}


class ConvertError(ValueError):
    """Says which object, which value, which rule."""


class Storage:
    """`count` elements; `data` are their bytes, once they are known."""

    def __init__(self, kind, count, data=None):
        self.dtype, self.size = kind
        self.count, self.data = count, data


class Tensor:
    def __init__(self, storage, offset, shape, strides, *_):
        whole = lambda values: isinstance(values, tuple) and all(type(v) is int and 0 <= v < 1 << 63 for v in values[: MAX_RANK + 1])
        if not isinstance(storage, Storage) or not whole((offset,)) or not whole(shape) or not whole(strides):
            raise PickleError("a tensor is not of a storage, an offset, a shape and strides")
        if len(shape) != len(strides) or len(shape) > MAX_RANK:
            raise PickleError(f"a tensor of {len(shape)} dimensions and {len(strides)} strides, the limit is {MAX_RANK}")
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides
        self.count = 1
        for size in shape:
            self.count *= size
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides))
        if self.count and last >= storage.count:
            raise PickleError(f"a tensor reaches element {last}, its storage has {storage.count}")

    def bytes(self):
        """The elements in row-major order."""
        size, dims, step = self.storage.size, [], 1
        for n, stride in zip(reversed(self.shape), reversed(self.strides)):
            if n != 1:
                dims.append((n, stride, step))
            step *= n
        if all(stride == step for _, stride, step in dims):
            return self.storage.data[self.offset * size : (self.offset + self.count) * size]
        ret = array.array(FORMATS[size], [0]) * self.count
        if self.count:
            self.gather(self.storage.data.cast(FORMATS[size]), memoryview(ret), sorted(dims), self.offset, 0)
        return memoryview(ret).cast("B")

    def gather(self, source, target, dims, start, at):
        """Copies along the last of `dims`, the longest, at once."""
        (n, stride, step), rest = dims[-1], dims[:-1]
        if rest:
            (outer, outer_stride, outer_step), inner = rest[0], dims[1:]
            for i in range(outer):
                self.gather(source, target, inner, start + i * outer_stride, at + i * outer_step)
        elif stride:
            target[at : at + (n - 1) * step + 1 : step] = source[start : start + (n - 1) * stride + 1 : stride]
        else:
            for i in range(n):
                target[at + i * step] = source[start]


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


def storage_id(name):
    """The parts of a persistent id that tell of a storage: dtype and size, key, elements."""
    if not isinstance(name, tuple) or len(name) < 5 or name[0] != "storage" or not isinstance(name[2], str):
        raise PickleError("a persistent id is not a storage's")
    kind, key, count = name[1], name[2], name[4]
    if not any(kind is known for known in STORAGES.values()):
        raise PickleError(f"storage '{key[:64]}' is of {getattr(kind, 'name', 'no type')}, which is not supported")
    if type(count) is not int or not 0 <= count < 1 << 63:
        raise PickleError(f"storage '{key[:64]}' has no number of elements")
    return kind, key, count


class Archive:
    """The zip form; its records are stored, not compressed."""

    def __init__(self, file, view):
        self.view = view
        self.infos = {info.filename.partition("/")[2]: info for info in zipfile.ZipFile(file).infolist()}
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
        kind, key, count = storage_id(name)
        data = self.record("data/" + key)
        if count * kind[1] != len(data):
            raise PickleError(f"storage '{key[:64]}' has {len(data)} bytes, {count} elements are promised")
        return Storage(kind, count, data)

    def load(self):
        pickled = self.record("data.pkl")
        if len(pickled) > LARGEST_PICKLE:
            raise ConvertError(f"data.pkl has {len(pickled)} bytes, the limit is {LARGEST_PICKLE}")
        reader = Unpickler(pickled, resolve, self.storage)
        return reader.load(), reader.inert


class Legacy:
    """The form before PyTorch 1.6: five pickles (magic number, protocol, machine, the value, the storages' keys), then of each
    storage its number of elements and these."""

    def __init__(self, view):
        self.view, self.roots, self.views = view, {}, []

    def storage(self, name):
        if isinstance(name, tuple) and name[:1] == ("module",):  # a whole model's class and source
            return Inert("module")
        kind, key, count = storage_id(name)
        root = self.roots.setdefault(key, Storage(kind, count))
        if (root.dtype, root.count) != (kind[0], count):
            raise PickleError(f"storage '{key[:64]}' is of two kinds")
        part = name[5] if len(name) > 5 else None
        if part is None:
            return root
        if not isinstance(part, tuple) or len(part) != 3 or not all(type(v) is int and v >= 0 for v in part[1:]) or sum(part[1:]) > count:
            raise PickleError(f"a view leaves storage '{key[:64]}' of {count} elements")
        view = Storage(kind, part[2])
        self.views.append((view, root, part[1]))
        return view

    def load(self):
        reader = Unpickler(self.view, resolve, self.storage)
        if reader.load() != MAGIC or reader.load() != PROTOCOL:
            raise ConvertError("is a pickle, but not a checkpoint of PyTorch (no magic number, or another protocol than 1001)")
        machine = reader.load()
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise ConvertError("was written on a machine that is not little-endian")
        value = reader.load()
        keys = reader.load()
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ConvertError("has no list of storages")
        at = reader.position
        for key in keys:
            storage = self.roots.get(key)
            if storage is None or storage.data is not None:
                raise ConvertError(f"storage '{key[:64]}' is of no tensor, or there twice")
            begin, at = at + 8, at + 8 + storage.count * storage.size
            if at > len(self.view):
                raise ConvertError(f"storage '{key[:64]}' of {storage.count} elements ends {at - len(self.view)} bytes beyond the file")
            count = struct.unpack("<q", self.view[begin - 8 : begin])[0]
            if count != storage.count:
                raise ConvertError(f"storage '{key[:64]}' has {count} elements, {storage.count} are promised")
            storage.data = self.view[begin:at]
        for key, storage in self.roots.items():
            if storage.data is None:
                raise ConvertError(f"storage '{key[:64]}' is missing")
        for view, root, offset in self.views:
            view.data = root.data[offset * root.size : (offset + view.count) * root.size]
        return value, reader.inert


def open_checkpoint(path):
    file = open(path, "rb")
    if os.fstat(file.fileno()).st_size == 0:
        raise ConvertError("is empty")
    view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    head = bytes(view[:512])
    if head[:4] == b"PK\3\4":
        return Archive(file, view)
    if head[257:262] == b"ustar":
        raise ConvertError("is the tar form of PyTorch before 0.2; load it with an old PyTorch and save it again")
    if head[8:9] == b"{":
        raise ConvertError("seems to be safetensors already")
    if head.lstrip()[:1] == b"<":
        raise ConvertError("is an HTML or XML page, not a checkpoint: was the download refused?")
    if head.startswith(b"version https://git-lfs"):
        raise ConvertError("is a pointer of Git LFS; fetch the file itself")
    if head[:1] != b"\x80":
        raise ConvertError("is neither form of a checkpoint of PyTorch")
    return Legacy(view)


def state_dict(value, wrapper):
    if wrapper is not None:
        if not isinstance(value, dict) or wrapper not in value:
            keys = ", ".join(map(str, list(value)[:8])) if isinstance(value, dict) else "none"
            raise ConvertError(f"has no key '{wrapper[:64]}'; its keys are {keys[:200]}")
        value = value[wrapper]
    for _ in range(4 if wrapper is None else 0):
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
    if len(tensors) > MOST_TENSORS:
        raise ConvertError(f"has {len(tensors)} tensors, the limit is {MOST_TENSORS}")
    if "__metadata__" in tensors:
        raise ConvertError("a tensor's name is '__metadata__', which safetensors keeps for itself")
    for name, tensor in tensors.items():
        if not 0 < len(name.encode()) <= LONGEST_NAME:
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
    parser.add_argument("--key", help="the wrapper whose tensors are wanted, such as state_dict_ema")
    args = parser.parse_args()
    try:
        checkpoint = open_checkpoint(args.input)
        value, inert = checkpoint.load()
        write(strip(state_dict(value, args.key), args.keep_prefix), args.output, 2 * len(checkpoint.view))
    except (zipfile.BadZipFile, NotImplementedError, struct.error, OSError, ValueError) as error:
        print(f"convert: {args.input}: {error}", file=sys.stderr)
        return 1
    if inert:
        print(f"convert: {args.input}: left out what these made: {', '.join(sorted(inert))[:500]}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
