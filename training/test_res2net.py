"""Check res2net.py: counts against the model zoo sheet, and outputs against timm's independent implementation.

Run it by hand (`python training/test_res2net.py`); it needs timm, but no weights from anywhere. Exit code 1 on a miss.
"""
from __future__ import annotations

import sys

import torch

import res2net
import testweights
import trunks

# name -> parameters in millions, keys with and without num_batches_tracked, timm's name
EXPECTED = {
    "res2net50_48w_2s": (25.287, 320, 267, "res2net50_48w_2s"),
    "res2net50_26w_4s": (25.699, 512, 427, "res2net50_26w_4s"),
    "res2net50_14w_8s": (25.060, 896, 747, "res2net50_14w_8s"),
    "res2net50_26w_6s": (37.051, 704, 587, "res2net50_26w_6s"),
    "res2net50_26w_8s": (48.404, 896, 747, "res2net50_26w_8s"),
    "res2net101_26w_4s": (45.207, 1022, 852, "res2net101_26w_4s"),
    "res2next50": (24.671, 512, 427, "res2next50"),
    "res2net50_v1b_26w_4s": (25.718, 524, 437, "res2net50d"),
    "res2net101_v1b_26w_4s": (45.226, 1034, 862, "res2net101d"),
    "res2net152_v1b_26w_4s": (61.294, 1544, 1287, None),
    # not in the sheet: with SE by timm's block and module; the paper's CIFAR networks
    "res2net50_26w_4s_se": (28.230, 576, 491, "res2net50_26w_4s_se"),
    "res2next50_4s_se": (27.202, 576, 491, "res2next50_4s_se"),
    "res2next29_6cx24wx4s": (23.706, 296, 247, None),
    "res2next29_8cx25wx4s": (32.957, 296, 247, None),
    "res2next29_6cx24wx6s": (36.146, 404, 337, None),
    "res2next29_6cx24wx4s_se": (24.228, 332, 283, None),
    "res2next29_8cx25wx4s_se": (33.479, 332, 283, None),
    "res2next29_6cx24wx6s_se": (36.668, 440, 373, None),
}
SIZES = ((64, 64), (97, 131))


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """max|a-b| / max|b|."""
    return ((a - b).abs().max() / b.abs().max()).item()


def main() -> int:
    failed = 0
    for name in res2net.names():
        model = res2net.variant(name).eval()
        testweights.fill(model)
        state = model.state_dict()
        found = (round(sum(p.numel() for p in model.parameters()) / 1e6, 3), len(state),
                 sum(not k.endswith("num_batches_tracked") for k in state))
        good = found == EXPECTED[name][:3]
        worst = None
        if other_name := EXPECTED[name][3]:
            other = trunks.timm_network(other_name).eval()
            other.load_state_dict(state, strict=True)
            worst = 0.0
            with torch.no_grad():
                for size in SIZES:
                    picture = testweights.picture(*size)
                    taps = model.taps(picture)
                    worst = max(worst, difference(taps.c5, other.forward_features(picture)),
                                difference(taps.logits, other(picture)))
            good = good and worst < 1e-6
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}: {found}, difference to timm {worst}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
