"""Say where two dumps of a network part: the first layer that differs, in the order of the network.

    python training/compare.py A.safetensors B.safetensors

A dump is what ``res2netd run --taps`` or ``trunks.py`` writes. The difference of a layer is max|a-b| / max|b|. Prints the layers
up to the first one over the tolerance (all with ``--all``); exit code 1 when there is one, or when a layer has another shape.
Layers that only one dump has are named, and no difference.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from safetensors import safe_open


class Dump:
    """An open dump; ``order`` is that of the network."""

    def __init__(self, path: Path):
        self.file = safe_open(path, "np")
        order = (self.file.metadata() or {}).get("order")
        self.is_ordered = order is not None
        self.order = order.split("\n") if order else list(self.file.keys())

    def __getitem__(self, name: str) -> np.ndarray:
        return self.file.get_tensor(name).astype(np.float64)


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """(max|a-b|, max|a-b| / max|b|); infinite where either is not finite."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return np.inf, np.inf
    worst, largest = np.abs(a - b).max(), np.abs(b).max()
    return worst, worst / largest if largest else (np.inf if worst else 0.0)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("a", type=Path)
    p.add_argument("b", type=Path)
    p.add_argument("--tolerance", type=float, default=1e-4, help="of the relative difference (1e-4)")
    p.add_argument("--all", action="store_true", help="print the layers after the first difference, too")
    args = p.parse_args()
    a, b = Dump(args.a), Dump(args.b)
    order = a.order if a.is_ordered or not b.is_ordered else b.order
    for name in [*(n for n in a.order if n not in b.order), *(n for n in b.order if n not in a.order)]:
        print(f"{name:24} only in {args.a if name in a.order else args.b}")
    first, shared = None, [name for name in order if name in a.order and name in b.order]
    if not shared:
        print("no layer is in both")
        return 1
    for name in shared:
        x, y = a[name], b[name]
        if x.shape != y.shape:
            differs, text = True, f"shape {list(x.shape)}, other {list(y.shape)}"
        else:
            worst, relative = difference(x, y)
            differs, text = not relative <= args.tolerance, f"max {worst:.2e}, relative {relative:.2e}"
        first = first or (name if differs else None)
        print(f"{name:24} {text}{'  <-' if differs else ''}")
        if first and not args.all:
            break
    print(f"the first layer that differs is {first}" if first else f"{len(shared)} layers agree")
    return 1 if first else 0


if __name__ == "__main__":
    sys.exit(main())
