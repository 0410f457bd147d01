#!/usr/bin/env python3
"""get-model.sh NAME [DIR]: fetches a published model and writes the model directory DIR (models/NAME unless given).

deploy/models.tsv has the names. The file's SHA-256 must begin with the digits of that table; whole, it is noted in
SHA256SUMS beside DIR at the first download and must be the same at every later one. Needs Python alone; nothing in a
checkpoint is run. RES2NETD_MODEL_URL=https://mirror/folder asks another server, which has the files under the same paths.
"""

import argparse
import csv
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
LARGEST_FILE = 2 << 30
CHUNK = 1 << 20
TIMEOUT_SECONDS = 60
SUMS = "SHA256SUMS"
IMAGENET = {"color": "rgb", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
RECIPES = {
    "imagenet": {
        "labels": "imagenet1000.txt",
        "head": ("classify", {
            "type": "classifier",
            "input": {"resize": {"mode": "shorter", "size": 256, "filter": "bilinear", "like": "pil"}, "crop": 224, **IMAGENET},
        }),
    },
    "coco": {
        "labels": "coco80.txt",
        "backbone": {"dialect": "mmdet"},
        "head": ("detect", {
            "type": "faster_rcnn",
            "input": {"resize": {"mode": "fit", "size": [800, 1333], "filter": "bilinear", "like": "opencv"}, "pad_multiple": 32, **IMAGENET},
        }),
    },
}


class ModelError(Exception):
    """Says what could not be had, and why."""


def say(text):
    print(f"get-model: {text}", file=sys.stderr)


def read_table(path):
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["#name"]: row for row in rows}


def print_table(table):
    for name, row in table.items():
        print(f"{name:32} {row['task']:9} {row['licence']}")


class SecureRedirects(urllib.request.HTTPRedirectHandler):
    """What was asked over HTTPS stays there."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise ModelError(f"{req.full_url} leads to {newurl}, which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def place(row):
    """Where the file is, with the base that the environment sets."""
    base = os.environ.get("RES2NETD_MODEL_URL")
    return base.rstrip("/") + urllib.parse.urlsplit(row["url"]).path if base else row["url"]


def download(url, path):
    """Fetches a file; its SHA-256."""
    if urllib.parse.urlsplit(url).scheme not in ("https", "http"):
        raise ModelError(f"'{url}' is neither HTTPS nor HTTP")
    opener = urllib.request.build_opener(SecureRedirects)
    opener.addheaders = [("User-Agent", "res2netd-get-model")]
    digest, size = hashlib.sha256(), 0
    try:
        reply = opener.open(url, timeout=TIMEOUT_SECONDS)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ModelError(f"{url}: {getattr(error, 'reason', None) or error}{code_of(error)}") from None
    with reply, open(path, "wb") as file:
        promised = reply.headers.get("Content-Length", "")
        promised = int(promised) if promised.isdigit() else None
        if (promised or 0) > LARGEST_FILE:
            raise ModelError(f"{url} has {promised} bytes, the limit is {LARGEST_FILE}")
        say(f"fetching {url}" + (f", {promised / 1e6:.1f} MB" if promised else ""))
        while True:
            part = receive(reply, url)
            if not part:
                break
            if size == 0 and part.lstrip()[:1] == b"<":
                raise ModelError(f"{url} is an HTML or XML page, not a checkpoint")
            size += len(part)
            if size > LARGEST_FILE:
                raise ModelError(f"{url} has over {LARGEST_FILE} bytes")
            digest.update(part)
            file.write(part)
    if promised is not None and size != promised:
        raise ModelError(f"{url} ended after {size} of {promised} bytes")
    return digest.hexdigest()


def code_of(error):
    return f" (HTTP {error.code})" if isinstance(error, urllib.error.HTTPError) else ""


def receive(reply, url):
    try:
        return reply.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(f"{url}: the transfer broke off: {error}") from None


def check_digest(digest, row, sums):
    """Against the table's digits and against the note of an earlier download; whether there is such a note."""
    if row["sha256"] != "-" and not digest.startswith(row["sha256"]):
        raise ModelError(f"{row['url']} has SHA-256 {digest}, which should begin with {row['sha256']}")
    key = urllib.parse.urlsplit(row["url"]).path.lstrip("/")
    if not os.path.exists(sums):
        return key, False
    with open(sums, encoding="utf-8") as file:
        for line in file:
            known, _, noted = line.rstrip("\n").partition("  ")
            if noted == key:
                if known != digest:
                    raise ModelError(f"{row['url']} has SHA-256 {digest}; an earlier download had {known} ({sums})")
                return key, True
    return key, False


def to_safetensors(path, url, target):
    """The tensors of a downloaded file as safetensors."""
    if url.endswith(".safetensors"):
        with open(path, "rb") as file:
            if file.read(9)[8:] != b"{":
                raise ModelError(f"{url} is not safetensors")
        os.rename(path, target)
        return
    convert = os.path.join(ROOT, "training", "convert.py")
    done = subprocess.run([sys.executable, convert, path, target], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise ModelError(f"{url}: {done.stderr.strip().replace(path + ': ', '') or 'convert.py failed'}")
    os.unlink(path)


def describe(name, row, digest):
    """model.json"""
    recipe = RECIPES[row["recipe"]]
    head, options = recipe["head"]
    return {
        "name": name,
        "version": digest[:8],
        "backbone": {"arch": row["arch"], "weights": "model.safetensors", **recipe.get("backbone", {})},
        "heads": {head: {**options, "labels": "labels.txt"}},
    }


def fill(directory, name, row, sums):
    """Everything that belongs into the model directory."""
    raw = os.path.join(directory, "download")
    digest = download(place(row), raw)
    key, noted = check_digest(digest, row, sums)
    to_safetensors(raw, row["url"], os.path.join(directory, "model.safetensors"))
    shutil.copyfile(os.path.join(HERE, "labels", RECIPES[row["recipe"]]["labels"]), os.path.join(directory, "labels.txt"))
    with open(os.path.join(directory, "model.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(describe(name, row, digest), indent=2) + "\n")
    with open(os.path.join(directory, "SOURCE"), "w", encoding="utf-8") as file:
        file.write(f"{row['url']}\nSHA-256 {digest}\nLicence: {row['licence']}\n")
    return None if noted else f"{digest}  {key}\n"


def get(name, row, target):
    parent = os.path.dirname(target)
    sums = os.path.join(parent, SUMS)
    if os.path.lexists(target):
        raise ModelError(f"{target} is there already")
    os.makedirs(parent, exist_ok=True)
    directory = tempfile.mkdtemp(prefix=f".{os.path.basename(target)}.", dir=parent)
    try:
        note = fill(directory, name, row, sums)
        os.chmod(directory, 0o755)
        if note:
            with open(sums, "a", encoding="utf-8") as file:
                file.write(note)
        os.rename(directory, target)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    say(f"licence of the weights: {row['licence']}")
    say(f"serve it: res2netd serve --model {target}")


def main():
    parser = argparse.ArgumentParser(prog="get-model.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("directory", nargs="?", metavar="DIR")
    parser.add_argument("--list", action="store_true", help="the names, what each is for, its licence")
    parser.add_argument("--table", default=os.path.join(HERE, "models.tsv"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    table = read_table(args.table)
    if args.list:
        print_table(table)
        return 0
    if args.name not in table:
        say(f"model '{args.name}' is not known; --list has the names" if args.name else "which model? --list has the names")
        return 2
    try:
        get(args.name, table[args.name], os.path.abspath(args.directory or os.path.join(ROOT, "models", args.name)))
    except (ModelError, OSError) as error:
        say(error)
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
