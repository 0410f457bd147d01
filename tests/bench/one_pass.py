#!/usr/bin/env python3
"""What heads cost together and one by one: CPU time of POST /analyze against a request to each head.

The demo model's heads look at the same input, so that /analyze computes the trunk once for all of them. Rounds alternate;
medians of the CPU time that the daemon spent (process_cpu_seconds_total), and how many trunk passes it counted.

    python tests/bench/one_pass.py [--model models/demo] [--rounds 20] PHOTO...
"""
from __future__ import annotations

import argparse
import json
import re
import statistics
from pathlib import Path

from against_peers import ROOT, Daemon


def value(daemon: Daemon, name: str) -> float:
    text = daemon.get("/metrics")
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


class Spent:
    """CPU seconds and trunk passes between its making and ``take``."""

    def __init__(self, daemon: Daemon):
        self.daemon, self.begin = daemon, self.now(daemon)

    @staticmethod
    def now(daemon: Daemon) -> tuple[float, float]:
        return value(daemon, "process_cpu_seconds_total"), value(daemon, "res2netd_trunk_passes_total")

    def take(self) -> tuple[float, float]:
        return tuple(now - then for now, then in zip(self.now(self.daemon), self.begin))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--model", type=Path, default=ROOT / "models" / "demo")
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--program", type=Path, default=ROOT / "build" / "server" / "res2netd")
    p.add_argument("photos", type=Path, nargs="+")
    args = p.parse_args()
    photos = [photo.read_bytes() for photo in args.photos]
    heads = list(json.loads((args.model / "model.json").read_text())["heads"])
    daemon = Daemon(args.program, args.model, 1)
    together, apart = [], []
    try:
        for round_ in range(args.rounds + 1):
            spent = Spent(daemon)
            for photo in photos:
                daemon.ask("/analyze", photo)
            one = spent.take()
            spent = Spent(daemon)
            for head in heads:
                for photo in photos:
                    daemon.ask(f"/{head}", photo)
            each = spent.take()
            if round_:  # the first one warms
                together.append(one)
                apart.append(each)
    finally:
        daemon.close()
    scale = 1e3 / len(photos)
    one, each = (statistics.median(cpu for cpu, _ in times) * scale for times in (together, apart))
    passes = [statistics.median(n for _, n in times) / len(photos) for times in (together, apart)]
    print(f"{args.model.name}: {', '.join(heads)}; one worker, one thread, {args.rounds} rounds of {len(photos)} photos")
    print(f"/analyze            {one:8.1f} ms CPU, {passes[0]:.0f} trunk pass")
    print(f"{len(heads)} requests          {each:8.1f} ms CPU, {passes[1]:.0f} trunk passes")
    print(f"together for {one / each:.2f} of the price")


if __name__ == "__main__":
    main()
