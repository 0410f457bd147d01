"""Write a network for benchmarks against ONNX Runtime: the same weights as ONNX and as safetensors.

With ``--weights`` the given tensors (official names) are used, else the test weights. The ONNX graph has a fixed input
``image`` (1, 3, 224, 224) and the output ``logits``; ``--check`` compares it with PyTorch.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import res2net
import testweights


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("variant", help=f"{', '.join(res2net.names())} or demo")
    p.add_argument("--out", type=Path, required=True, help="folder for VARIANT.onnx and VARIANT.safetensors")
    p.add_argument("--weights", type=Path, help="safetensors under official names; default: the test weights")
    p.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--opset", type=int, default=17)
    p.add_argument("--check", action="store_true", help="run it in ONNX Runtime and print the difference")
    args = p.parse_args()
    changes = {"num_classes": 101} if args.variant == "demo" else {}
    tensors = load_file(args.weights) if args.weights else None
    if tensors is not None and "fc.bias" in tensors:
        changes["num_classes"] = len(tensors["fc.bias"])
    model = res2net.variant(args.variant, **changes).eval()
    if tensors is None:
        testweights.fill(model)
    else:
        missing = model.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False)
        wrong = [k for k in missing.missing_keys if not k.endswith("num_batches_tracked")] + missing.unexpected_keys
        if wrong:
            raise SystemExit(f"{args.weights}: missing or unexpected: {', '.join(wrong)}")

    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / f"{args.variant}.onnx"
    picture = testweights.picture(*args.size).expand(args.batch, -1, -1, -1).contiguous()
    with torch.no_grad():
        torch.onnx.export(model, (picture,), str(file), input_names=["image"], output_names=["logits"],
                          opset_version=args.opset, dynamo=False)
        expected = model(picture)
    kept = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(kept, file.with_suffix(".safetensors"))
    file.with_suffix(".safetensors").chmod(0o644)  # safetensors makes it private
    print(file, file.with_suffix(".safetensors"))
    if args.check:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        got = torch.from_numpy(session.run(None, {"image": picture.numpy()})[0])
        print(f"max|a-b| / max|b| = {((got - expected).abs().max() / expected.abs().max()).item():.1e}")


if __name__ == "__main__":
    main()
