#!/usr/bin/env python3
"""deploy/get-model.sh against a server on this machine that has small files, good and bad ones. Python alone."""

import hashlib
import http.server
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, HERE)

from checkpoints import dict_of, storage, tensor, zipped  # noqa: E402

SCRIPT = os.path.join(ROOT, "deploy", "get-model.sh")
TABLE = os.path.join(ROOT, "deploy", "models.tsv")
COLUMNS = "#name\ttask\tarch\turl\tsha256\tlicence\trecipe\n"
CHECKPOINT = zipped(dict_of({"w": tensor(storage("Float", "0", 1), 0, (1,), (1,))}), {"0": bytes(4)})
SAFETENSORS = struct.pack("<Q", 8) + b"{}      "


class Files(http.server.BaseHTTPRequestHandler):
    """server.files: path -> bytes; server.cut: paths that end early; server.stall: set while a path that never ends is sent."""

    def do_GET(self):
        data = self.server.files.get(self.path)
        if data is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) + (1 if self.path in self.server.cut else 0)))
        self.end_headers()
        self.wfile.write(data)
        if self.path == "/stalls.pth":
            self.wfile.flush()
            self.server.stalled.set()
            self.server.released.wait(30)

    def log_message(self, *_):
        pass


class GetModelTest(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
        self.server.files, self.server.cut = {}, set()
        self.server.stalled, self.server.released = threading.Event(), threading.Event()
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.server.released.set)
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.parent = os.path.join(temporary.name, "models")
        self.table = os.path.join(temporary.name, "models.tsv")
        self.target = os.path.join(self.parent, "m")

    def offer(self, file, data, digits=None, recipe="imagenet"):
        """One file, the only one in the table, and there under the name `m`."""
        digits = digits or hashlib.sha256(data).hexdigest()[:8]
        with open(self.table, "w", encoding="utf-8") as out:
            out.write(COLUMNS + f"m\tclassify\tres2net50_26w_4s\thttps://models.invalid/{file}\t{digits}\tfor tests only\t{recipe}\n")
        self.server.files["/" + file] = data

    def start(self, *words, base=None, blocks="unlimited"):
        environment = dict(os.environ, RES2NETD_MODEL_URL=base or f"http://127.0.0.1:{self.server.server_port}/", no_proxy="*")
        command = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh", SCRIPT, "--table", self.table, *(words or ("m", self.target))]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def get(self, *words, **options):
        with self.start(*words, **options) as process:
            out, errors = process.communicate(timeout=60)
        self.assertNotIn("Traceback", errors)
        return process.returncode, out, errors

    def refused(self, *parts, code=1, left=(), **options):
        got, _, errors = self.get(**options)
        self.assertEqual(got, code, errors)
        for part in parts:
            self.assertIn(part, errors)
        there = sorted(os.listdir(self.parent)) if os.path.isdir(self.parent) else []
        self.assertEqual(there, sorted(left), "a failure leaves nothing behind")

    def model(self):
        with open(os.path.join(self.target, "model.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_classifier(self):
        self.offer("net-1.pth", CHECKPOINT)
        code, _, errors = self.get()
        self.assertEqual(code, 0, errors)
        self.assertIn("licence of the weights: for tests only", errors)
        self.assertEqual(sorted(os.listdir(self.target)), ["SOURCE", "labels.txt", "model.json", "model.safetensors"])
        self.assertEqual(stat.S_IMODE(os.stat(self.target).st_mode), 0o755)
        digest = hashlib.sha256(CHECKPOINT).hexdigest()
        model = self.model()
        self.assertEqual((model["name"], model["version"]), ("m", digest[:8]))
        self.assertEqual(model["backbone"], {"arch": "res2net50_26w_4s", "weights": "model.safetensors"})
        head = model["heads"]["classify"]
        self.assertEqual((head["type"], head["input"]["resize"]["size"], head["input"]["crop"]), ("classifier", 256, 224))
        with open(os.path.join(self.target, "model.safetensors"), "rb") as file:
            self.assertIn(b'"w"', file.read())
        with open(os.path.join(self.parent, "SHA256SUMS"), encoding="utf-8") as file:
            self.assertEqual(file.read(), f"{digest}  net-1.pth\n")

    def test_detector(self):
        self.offer("a/net-1.pth", CHECKPOINT, recipe="coco")
        self.assertEqual(self.get()[0], 0)
        model = self.model()
        self.assertEqual(model["backbone"]["dialect"], "mmdet")
        self.assertEqual(model["heads"]["detect"]["input"]["resize"]["size"], [800, 1333])
        with open(os.path.join(self.target, "labels.txt"), encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), 80)

    def test_safetensors_stay_as_they_are(self):
        self.offer("model.safetensors", SAFETENSORS, digits="-")
        self.assertEqual(self.get()[0], 0)
        with open(os.path.join(self.target, "model.safetensors"), "rb") as file:
            self.assertEqual(file.read(), SAFETENSORS)

    def test_whole_hash_is_kept(self):
        """Of a file whose hash nobody publishes a second download must equal the first."""
        self.offer("model.safetensors", SAFETENSORS, digits="-")
        self.assertEqual(self.get()[0], 0)
        os.rename(self.target, self.target + "1")
        self.assertEqual(self.get()[0], 0)
        os.rename(self.target, self.target + "2")
        with open(os.path.join(self.parent, "SHA256SUMS"), encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), 1)
        self.offer("model.safetensors", SAFETENSORS + b"x", digits="-")
        self.refused("an earlier download had", left=["SHA256SUMS", "m1", "m2"])

    def test_wrong_hash(self):
        self.offer("net.pth", CHECKPOINT, digits="01234567")
        self.refused(f"has SHA-256 {hashlib.sha256(CHECKPOINT).hexdigest()}, which should begin with 01234567")

    def test_not_there(self):
        self.offer("net.pth", CHECKPOINT)
        self.server.files.clear()
        self.refused("Not Found (HTTP 404)")

    def test_truncated(self):
        self.offer("net.pth", CHECKPOINT)
        self.server.cut.add("/net.pth")
        self.refused(f"ended after {len(CHECKPOINT)} of {len(CHECKPOINT) + 1} bytes")

    def test_page_instead_of_file(self):
        self.offer("net.pth", b"<!DOCTYPE html><html>Sign in</html>")
        self.refused("is an HTML or XML page")

    def test_not_a_checkpoint(self):
        self.offer("net.pth", b"PK\3\4 but nothing else")
        self.refused("net.pth: convert: File is not a zip file")
        self.offer("net.safetensors", b"nothing of that kind")
        self.refused("is not safetensors")

    def test_no_server(self):
        self.offer("net.pth", CHECKPOINT)
        self.refused("Connection refused", base="http://127.0.0.1:1")
        self.refused("neither HTTPS nor HTTP", base="file:///etc")

    def test_directory_is_there(self):
        self.offer("net.pth", CHECKPOINT)
        os.makedirs(self.target)
        self.refused("m is there already", left=["m"])

    def test_disk_cannot_be_written(self):
        self.offer("net.pth", CHECKPOINT)
        self.assertEqual(self.get("m", "/proc/nothing/m")[0], 1)
        with open(self.parent, "w", encoding="utf-8"):
            pass
        code, _, errors = self.get()
        self.assertEqual(code, 1)
        self.assertIn("models", errors)
        self.assertEqual(os.path.getsize(self.parent), 0)

    def test_disk_is_full(self):
        self.offer("model.safetensors", SAFETENSORS + bytes(100_000))
        self.refused("File too large", blocks=8)

    def test_stopped_halfway(self):
        self.offer("stalls.pth", CHECKPOINT)
        self.server.cut.add("/stalls.pth")
        with self.start() as process:
            self.assertTrue(self.server.stalled.wait(30))
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
        self.assertEqual((process.returncode, os.listdir(self.parent)), (143, []), errors)

    def test_names(self):
        self.offer("net.pth", CHECKPOINT)
        self.assertEqual(self.get("--list")[1].split()[:2], ["m", "classify"])
        self.assertEqual(self.get("n")[::2], (2, "get-model: model 'n' is not known; --list has the names\n"))

    def test_table(self):
        """Of the table that ships: every row whole, digits those of the file's name, recipes and labels there."""
        sys.path.insert(0, os.path.join(ROOT, "deploy"))
        import get_model

        rows = get_model.read_table(TABLE)
        self.assertGreater(len(rows), 20)
        for name, row in rows.items():
            self.assertTrue(all(row.values()), name)
            self.assertTrue(row["url"].startswith("https://"), name)
            if row["sha256"] != "-":
                self.assertRegex(row["sha256"], "^[0-9a-f]{8}$")
                self.assertTrue(row["url"].endswith(f"-{row['sha256']}.pth"), name)
            labels = get_model.RECIPES[row["recipe"]]["labels"]
            with open(os.path.join(ROOT, "deploy", "labels", labels), encoding="utf-8") as file:
                self.assertEqual(len(file.readlines()), {"imagenet": 1000, "coco": 80}[row["recipe"]])


if __name__ == "__main__":
    unittest.main()
