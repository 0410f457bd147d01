"""Trunks for comparisons: timm's networks, also those of which it has only the pieces, and the taps of any of them.

    python training/trunks.py ARCH WEIGHTS.safetensors DUMP.safetensors OUT.safetensors

computes with PyTorch what ``res2netd run --taps DUMP.safetensors`` dumped: takes its ``input``, writes its taps to OUT. Then
``compare.py DUMP.safetensors OUT.safetensors`` says where they part.
"""
from __future__ import annotations

import argparse
import re
from pathlib import Path

import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from timm.layers import SEModule
from timm.models.res2net import Bottle2neck
from timm.models.resnet import ResNet
from torch import Tensor, nn

import res2net

TIMM = {
    "res2net50_26w_4s": "res2net50_26w_4s", "res2net50_48w_2s": "res2net50_48w_2s",
    "res2net50_14w_8s": "res2net50_14w_8s", "res2net50_26w_6s": "res2net50_26w_6s",
    "res2net50_26w_8s": "res2net50_26w_8s", "res2net101_26w_4s": "res2net101_26w_4s", "res2next50": "res2next50",
    "res2net50_v1b_26w_4s": "res2net50d", "res2net101_v1b_26w_4s": "res2net101d",
    "res2net_dla60": "dla60_res2net", "res2next_dla60": "dla60_res2next",
}
SE = {"res2net50_26w_4s_se": (26, 1), "res2next50_4s_se": (4, 8)}  # base width, cardinality

_BLOCK = re.compile(r"layer\d+\.\d+|level[2-5](\.tree[12])*")
_TAPS = {"act1": "stem", "relu": "stem", "level1": "stem",
         **{f"layer{i}": f"c{i + 1}" for i in range(1, 5)}, **{f"level{i}": f"c{i}" for i in range(2, 6)}}


def has_timm(name: str) -> bool:
    """Whether ``timm_network`` knows the variant, by an official or a timm name."""
    return name in TIMM or name in TIMM.values() or name in SE


def timm_network(name: str) -> nn.Module:
    """timm's network of a variant, random weights; with SE put together from timm's block and SE module."""
    if name in SE:
        width, cardinality = SE[name]
        return ResNet(Bottle2neck, [3, 4, 6, 3], base_width=width, cardinality=cardinality,
                      block_args=dict(scale=4, attn_layer=SEModule))
    return timm.create_model(TIMM.get(name, name), pretrained=False)


def network(name: str) -> nn.Module:
    """timm's network where there is one, or else that of ``res2net.py``."""
    return timm_network(name) if has_timm(name) else res2net.variant(name)


def dump(model: nn.Module, picture: Tensor) -> dict[str, Tensor]:
    """What ``res2netd run --taps`` dumps, in the order of the network: input, blocks, taps, pooled, logits."""
    found: dict[str, Tensor] = {"input": picture}
    hooks = []
    for name, module in model.named_modules():
        is_block = _BLOCK.fullmatch(name) and getattr(module, "root", module) is not None  # a tree of trees has none
        keys = ([name] if is_block else []) + ([_TAPS[name]] if name in _TAPS else [])
        for key in keys:
            hooks.append(module.register_forward_hook(
                lambda _module, _args, out, key=key: found.__setitem__(key, out.clone())))
    try:
        logits = model(picture)
    finally:
        for hook in hooks:
            hook.remove()
    last = max(key for key in found if re.fullmatch(r"c[2-5]", key))
    return {**found, "pooled": found[last].mean((2, 3)), "classify.logits": logits}


def taps(model: nn.Module, picture: Tensor) -> res2net.Taps:
    """The taps of a dump."""
    found = dump(model, picture)
    return res2net.Taps(*(found.get(name) for name in res2net.Taps._fields[:-1]), found["classify.logits"])


def save_dump(tensors: dict[str, Tensor], path: Path) -> None:
    """As the daemon writes it: four dimensions each, the order in the metadata."""
    save_file({name: t.reshape(*t.shape, *[1] * (4 - t.dim())).float().contiguous() for name, t in tensors.items()},
              path, metadata={"order": "\n".join(tensors)})


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("arch")
    p.add_argument("weights", type=Path)
    p.add_argument("dump", type=Path, help="of the daemon: its input is taken")
    p.add_argument("out", type=Path)
    args = p.parse_args()
    model = network(args.arch).eval()
    model.load_state_dict(load_file(args.weights), strict=False)
    with safe_open(args.dump, "pt") as file, torch.no_grad():
        save_dump(dump(model, file.get_tensor("input")), args.out)


if __name__ == "__main__":
    main()
