#!/usr/bin/env python3
"""training/convert.py on small checkpoints, good, damaged and hostile. Python alone, like convert.py itself."""

import array
import contextlib
import io
import json
import os
import random
import struct
import sys
import tempfile
import time
import unittest
import unittest.mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "training"))
sys.path.insert(0, HERE)

import convert  # noqa: E402
import unpickle  # noqa: E402
from checkpoints import call, dict_of, legacy, name, number, storage, tensor, text, tuple_of, zipped  # noqa: E402

VALUES = array.array("f", range(24))
DATA = VALUES.tobytes()
FUZZ_SECONDS = 2


def safetensors(path):
    """name -> (dtype, shape, bytes)"""
    with open(path, "rb") as file:
        data = file.read()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:begin])
    return {k: (v["dtype"], v["shape"], data[begin + v["data_offsets"][0] : begin + v["data_offsets"][1]]) for k, v in header.items()}


def floats(values):
    return array.array("f", values).tobytes()


class ConvertTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.input = os.path.join(self.directory.name, "in.pth")
        self.output = os.path.join(self.directory.name, "out.safetensors")

    def run_on(self, data, *options):
        """The exit code and what was printed."""
        with open(self.input, "wb") as file:
            file.write(data)
        printed, arguments = io.StringIO(), sys.argv
        sys.argv = ["convert.py", self.input, self.output, *options]
        try:
            with contextlib.redirect_stderr(printed):
                return convert.main(), printed.getvalue()
        finally:
            sys.argv = arguments

    def converted(self, data, *options):
        code, printed = self.run_on(data, *options)
        self.assertEqual(code, 0, printed)
        return safetensors(self.output)

    def refused(self, data, message, *options):
        code, printed = self.run_on(data, *options)
        self.assertEqual(code, 1)
        self.assertIn(message, printed)
        self.assertEqual(os.listdir(self.directory.name), ["in.pth"], "nothing is left of a failed conversion")

    # --- what is there comes out, bit by bit ---

    def tensors(self, of):
        return dict_of({
            "dense": tensor(of, 0, (4, 6), (6, 1)),
            "transposed": tensor(of, 0, (6, 4), (1, 6)),
            "part": tensor(of, 8, (2, 3), (6, 1)),
            "channels_last": tensor(of, 0, (2, 3, 2, 2), (12, 1, 6, 3)),
            "expanded": tensor(of, 3, (2, 3), (1, 0)),
            "scalar": tensor(of, 5, (), ()),
            "empty": tensor(of, 0, (0, 3), (3, 1)),
        })

    def check_tensors(self, out):
        cube = [[[[12 * o + c + 6 * y + 3 * x for x in range(2)] for y in range(2)] for c in range(3)] for o in range(2)]
        flat = [v for o in cube for c in o for row in c for v in row]
        self.assertEqual(out, {
            "dense": ("F32", [4, 6], DATA),
            "transposed": ("F32", [6, 4], floats(6 * row + column for column in range(6) for row in range(4))),
            "part": ("F32", [2, 3], floats([8, 9, 10, 14, 15, 16])),
            "channels_last": ("F32", [2, 3, 2, 2], floats(flat)),
            "expanded": ("F32", [2, 3], floats([3, 3, 3, 4, 4, 4])),
            "scalar": ("F32", [], floats([5])),
            "empty": ("F32", [0, 3], b""),
        })

    def test_views_zip(self):
        self.check_tensors(self.converted(zipped(self.tensors(storage("Float", "0", 24)), {"0": DATA})))

    def test_views_legacy(self):
        self.check_tensors(self.converted(legacy(self.tensors(storage("Float", "0", 24, b"N")), {"0": (24, DATA)})))

    def test_legacy_view_of_a_storage(self):
        of = storage("Float", "0", 24, tuple_of(text("1"), number(6), number(4)))
        out = self.converted(legacy(dict_of({"a": tensor(of, 1, (3,), (1,))}), {"0": (24, DATA)}))
        self.assertEqual(out["a"], ("F32", [3], floats([7, 8, 9])))

    def test_types(self):
        kinds = {"Half": "F16", "BFloat16": "BF16", "Long": "I64", "Int": "I32", "Short": "I16", "Char": "I8", "Byte": "U8", "Bool": "BOOL"}
        sizes = {"F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
        data = {kind: bytes(range(2 * sizes[dtype])) for kind, dtype in kinds.items()}
        value = dict_of({kind: tensor(storage(kind, kind, 2), 0, (2,), (1,)) for kind in kinds})
        out = self.converted(zipped(value, data))
        self.assertEqual(out, {kind: (dtype, [2], data[kind]) for kind, dtype in kinds.items()})

    def test_double_becomes_float(self):
        value = dict_of({"d": tensor(storage("Double", "0", 3), 0, (3,), (1,))})
        out = self.converted(zipped(value, {"0": array.array("d", [0.1, -2, 1e300]).tobytes()}))
        self.assertEqual(out["d"], ("F32", [3], floats([0.1, -2, float("inf")])))

    def test_wrappers_and_prefixes(self):
        one = lambda offset: dict_of({"module.w": tensor(storage("Float", "0", 24), offset, (1,), (1,))})
        data = zipped(dict_of({"ema": one(1), "state_dict": one(2), "mine": one(3), "epoch": number(7)}), {"0": DATA})
        self.assertEqual(self.converted(data)["w"][2], floats([2]))
        self.assertEqual(self.converted(data, "--key", "mine")["w"][2], floats([3]))
        self.assertEqual(list(self.converted(data, "--keep-prefix")), ["module.w"])
        os.unlink(self.output)
        self.refused(data, "has no key 'yours'; its keys are ema, state_dict, mine, epoch", "--key", "yours")

    def test_made_by_torch(self):
        """One state dict that torch.save wrote in both forms."""
        for form in "zip", "legacy":
            with open(os.path.join(HERE, f"torch_{form}.pth"), "rb") as file:
                out = self.converted(file.read())
            self.assertEqual(out, {
                "weight": ("F32", [2, 2, 1, 2], floats(range(8))),
                "half": ("F16", [2], struct.pack("<2e", 0.5, -1.5)),
                "steps": ("I64", [], struct.pack("<q", 3)),
            }, form)

    # --- what must not happen ---

    def test_nothing_runs(self):
        flag = os.path.join(self.directory.name, "ran")
        attacks = {
            "system": call("posix", "system", text(f"touch {flag}")),
            "exec": call("builtins", "exec", text(f"open({flag!r}, 'w')")),
            "instance": b"(" + text(f"touch {flag}") + b"ios\nsystem\n",
            "object": b"(" + name("os", "system") + text(f"touch {flag}") + b"o",
            "new": name("subprocess", "Popen") + tuple_of(text(f"touch {flag}")) + b"\x81",
            "build": name("torch.nn", "Module") + b")\x81" + dict_of({"__setstate__": name("os", "system")}) + b"b",
        }
        good = {"w": tensor(storage("Float", "0", 24), 0, (24,), (1,))}
        for form in zipped(dict_of({**attacks, **good}), {"0": DATA}), legacy(dict_of({**attacks, **good}), {"0": (24, DATA)}):
            code, printed = self.run_on(form)
            self.assertEqual((code, list(safetensors(self.output))), (0, ["w"]))
            self.assertIn("left out what these made: builtins.exec, os.system, posix.system, subprocess.Popen", printed)
            self.assertFalse(os.path.exists(flag))

    def test_whole_model(self):
        self.refused(zipped(name("net", "Model") + b")\x81" + b"}b", {}), "holds a net.Model, not a state dict")

    def test_sizes_are_checked(self):
        huge, of = 1 << 62, storage("Float", "0", 24)
        for shape, strides, message in (
            ((25,), (1,), "reaches element 24, its storage has 24"),
            ((huge, huge), (huge, 1), "its storage has 24"),
            ((2,), (huge,), "its storage has 24"),
            ((huge,), (0,), "twice those of the file"),
            ((-1,), (1,), "not of a storage, an offset, a shape and strides"),
            ((1 << 63,), (0,), "not of a storage, an offset, a shape and strides"),
            ((1,) * 9, (1,) * 9, "a tensor of 9 dimensions"),
            ((1, 1), (1,), "2 dimensions and 1 strides"),
        ):
            value = dict_of({"a": tensor(of, 0, shape, strides)})
            self.refused(zipped(value, {"0": DATA}), message)
            self.refused(legacy(value, {"0": (24, DATA)}), message)

    def test_storages_are_checked(self):
        value = lambda of: dict_of({"a": tensor(of, 0, (1,), (1,))})
        good = value(storage("Float", "0", 24))
        self.refused(zipped(good, {}), "record 'data/0' is missing")
        self.refused(zipped(good, {"0": DATA[:-1]}), "storage '0' has 95 bytes, 24 elements are promised")
        self.refused(zipped(value(storage("Quantized", "0", 24)), {"0": DATA}), "which is not supported")
        self.refused(zipped(good, {"0": DATA}, compression=8), "is compressed")
        forged = tuple_of(text("storage"), tuple_of(text("F32"), number(1 << 60)), text("0"), text("cpu"), number(24)) + b"Q"
        self.refused(zipped(value(forged), {"0": DATA}), "which is not supported")
        self.refused(legacy(good, {}), "storage '0' is missing")
        self.refused(legacy(good, {"0": (24, DATA[:-1])}), "ends 1 bytes beyond the file")
        self.refused(legacy(good, {"0": (23, DATA)}), "has 23 elements, 24 are promised")
        self.refused(legacy(good, {"1": (24, DATA)}), "storage '1' is of no tensor")
        self.refused(legacy(value(storage("Float", "0", 1 << 60)), {"0": (1 << 60, DATA)}), "beyond the file")
        self.refused(legacy(value(storage("Float", "0", 24, tuple_of(text("1"), number(20), number(5)))), {"0": (24, DATA)}), "leaves storage")

    def test_names_are_checked(self):
        one = tensor(storage("Float", "0", 24), 0, (1,), (1,))
        for tensors, message in (
            ({"__metadata__": one}, "which safetensors keeps for itself"),
            ({"": one}, "name has 0 letters"),
            ({"n" * 513: one}, "name has 513 letters"),
            ({str(i): b"h\0" for i in range(65537)}, "has 65537 tensors, the limit is 65536"),
        ):
            memo = one + b"q\0" + b"0"  # the tensor under number 0, not on the stack
            self.refused(zipped(memo + dict_of(tensors), {"0": DATA}), message)

    def test_pickles_are_bounded(self):
        self.assertLessEqual(unpickle.MOST_STEPS, 2_000_000)
        steps = unittest.mock.patch.object(unpickle, "MOST_STEPS", 200_000)  # sooner
        steps.start()
        self.addCleanup(steps.stop)
        for value, message in (
            (b"]" * 300_000, "over 200000 opcodes"),
            (b"(" * 300_000, "over 200000 opcodes"),
            (b"]" + b"\x85" * 150_000, "holds a tuple, not a state dict"),
            (b"X\xff\xff\xff\xff", "a string of 4294967295 bytes"),
            (b"\x8b\xff\xff\xff\x7f", "an integer of 2147483647 bytes"),
            (b"h\x07", "memo 7 is empty"),
            (b"0", "byte 2 of the pickle: takes a value from an empty stack"),
            (b"\xff", "opcode 0xff is not known"),
            (b"\x80\x09", "protocol 9"),
            (b"I" + b"9" * 600, "no end of the line"),
            (b"Np4294967296\n", "memo 4294967296 is over the limit"),
            (b"Np-1\n", "memo -1 is over the limit"),
            (name("collections", "OrderedDict") + b"(" + b"N" * 65 + b"tR", "gets 65 arguments, the limit is 64"),
            (text("m" * 512) + text("n") + b"\x93", "a global's name has 513 letters"),
            (b"}" + number(1 << 61) + b"Ns", "no tensors beside the keys "),
        ):
            self.refused(zipped(value, {}), message)

    def test_other_files(self):
        for data, message in (
            (b"", "is empty"),
            (b"PK\3\4" + bytes(40), "not a zip file"),
            (b"<!doctype html><html>403", "an HTML or XML page"),
            (b"\n <?xml version='1.0'?><Error>", "an HTML or XML page"),
            (struct.pack("<Q", 2) + b"{}", "safetensors already"),
            (b"sys_info".ljust(257, b"\0") + b"ustar".ljust(300, b"\0"), "tar form"),
            (b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"),
            (b"hello, world", "neither form"),
            (b"\x80\x02}.", "no magic number"),
            (b"\x80\x02}", "byte 3 of the pickle: ends 1 bytes too early"),
            (legacy(b"}", {}, magic=5), "no magic number"),
            (legacy(b"}", {}, little=b"\x89"), "not little-endian"),
            (legacy(b"}", {}), "no tensors beside the keys"),
        ):
            self.refused(data, message)

    def test_damage_is_an_error_or_harmless(self):
        """Bytes changed at random end in a message or in tensors of the same file, never in another exception."""
        value = self.tensors(storage("Float", "0", 24))
        whole = zipped(value, {"0": DATA}), legacy(value, {"0": (24, DATA)})
        seed = time.time_ns()
        generator, end = random.Random(seed), time.monotonic() + FUZZ_SECONDS
        while time.monotonic() < end:
            data = bytearray(generator.choice(whole))
            for _ in range(generator.randint(1, 6)):
                data[generator.randrange(len(data))] = generator.randrange(256)
            if generator.random() < 0.1:
                del data[generator.randrange(len(data)) :]
            with self.subTest(seed=seed, data=data.hex()):
                code, _ = self.run_on(bytes(data))
                self.assertIn(code, (0, 1))


if __name__ == "__main__":
    unittest.main()
