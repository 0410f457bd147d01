"""The loop of a school: steps until the time is used up, checkpoints, averaged weights, one-threaded processes.

Learning rate and end follow the clock, so a run ends on time however busy the machine is; a killed run goes on from its last
checkpoint.

Cores are used by one-threaded processes that average their gradients, not by threads: oneDNN's convolution gradients
meet in spinning barriers, and on a machine that has other work they were measured to lose nine tenths of the time there.
"""
from __future__ import annotations

import argparse
import copy
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

SAVED, TOLD, PULLED = 400, 30, 600  # seconds between checkpoints, lines, looks at the balance
MEMORY = 0.998  # share of the averaged weights that stays in a step


def options(p: argparse.ArgumentParser, minutes: float, rate: float = 1e-3, decay: float = 0.02) -> None:
    p.add_argument("--work", type=Path, required=True, help="folder of the checkpoint, outside the repository")
    p.add_argument("--minutes", type=float, default=minutes, help="time to train, spread over the schedule")
    p.add_argument("--until", type=float, help="end at this Unix time instead")
    p.add_argument("--again", action="store_true", help="where a schedule has ended, begin another from its averaged weights")
    p.add_argument("--rate", type=float, default=rate, help="peak learning rate (AdamW)")
    p.add_argument("--decay", type=float, default=decay, help="weight decay")
    p.add_argument("--bf16", action="store_true", help="convolutions in bfloat16: twice as fast on some processors, slower on others")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--processes", type=int, default=2, help="one-threaded processes")


def spawn(learn: Callable[[int, argparse.Namespace], None], args: argparse.Namespace) -> None:
    """``learn(rank, args)`` in every process."""
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    (args.work / "rendezvous").unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and so end the processes, which are daemonic
    torch.multiprocessing.spawn(_process, (learn, args), nprocs=args.processes, daemon=True)


def _process(rank: int, learn: Callable[[int, argparse.Namespace], None], args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{args.work}/rendezvous", rank=rank, world_size=args.processes)
    torch.manual_seed(args.seed)
    learn(rank, args)
    dist.destroy_process_group()


def groups(net: nn.Module, slow: tuple[str, ...], scale: float, decay: float) -> list[dict]:
    """The optimiser's: what begins with ``slow`` learns at ``scale`` of the rate; biases do not decay."""
    out = []
    for old in (True, False):
        for flat in (True, False):
            chosen = [p for n, p in net.named_parameters()
                      if p.requires_grad and n.startswith(slow) == old and (p.ndim < 2) == flat]
            if chosen:
                out.append({"params": chosen, "weight_decay": 0.0 if flat else decay, "scale": scale if old else 1.0})
    return out


def average(ema: nn.Module, net: nn.Module, memory: float) -> None:
    """Move the running average of all weights and batch-norm statistics towards the network."""
    with torch.no_grad():
        for a, b in zip(ema.state_dict().values(), net.state_dict().values()):
            if a.is_floating_point():
                a.lerp_(b, 1 - memory)
            else:
                a.copy_(b)


def share_gradients(parameters: list[nn.Parameter], extra: Tensor) -> Tensor:
    """Average the gradients, and ``extra`` numbers, over the processes."""
    flat = torch.cat([p.grad.reshape(-1) for p in parameters] + [extra])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    start = 0
    for p in parameters:
        p.grad.copy_(flat[start: start + p.numel()].view_as(p))
        start += p.numel()
    return flat[start:]


def save(path: Path, **state) -> None:
    """Write a checkpoint; the old one stays until the new one is whole."""
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def balance(parts: dict[str, Tensor], tap: Tensor) -> str:
    """How hard each loss pulls at the trunk: the norm of its gradient at a tap."""
    pulls = {n: torch.autograd.grad(v, tap, retain_graph=True, allow_unused=True)[0] for n, v in parts.items() if v.requires_grad}
    return " ".join(f"{n} {0 if g is None else g.norm().item():.4f}" for n, g in pulls.items())


def run(rank: int, args: argparse.Namespace, net: nn.Module, optimiser_groups: list[dict], weights: dict[str, float],
        losses: Callable[[np.random.Generator, float], tuple[dict[str, Tensor], Tensor]], clip: float = 5.0,
        memory: Callable[[float], float] = lambda done: MEMORY) -> None:
    """Steps on ``losses(rng, done)``, ``done`` being the used share of the time: parts, of which those that a batch lacks are
    left out, and the tap whose gradients tell the balance. Process 0 keeps the clock, the averaged weights and the checkpoint."""
    ema = copy.deepcopy(net)
    parameters = [p for g in optimiser_groups for p in g["params"]]
    optimiser = torch.optim.AdamW(optimiser_groups, args.rate, betas=(0.9, 0.98), fused=True)
    step, begun, checkpoint = 0, 0.0, args.work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        net.load_state_dict(state["net"])
        ema.load_state_dict(state["ema"])
        optimiser.load_state_dict(state["optimiser"])
        step, begun = state["step"], state["fraction"]
        if args.again and begun >= 1:
            net.load_state_dict(state["ema"])
            begun = 0.0
    torch.manual_seed(args.seed * 1000 + step * args.processes + rank)
    dist.broadcast(clock := torch.tensor([time.time()], dtype=torch.float64), 0)
    start = told = saved = pulled = clock.item()
    end = args.until or start + args.minutes * 60 * (1 - begun)
    shown: dict[str, float] = {}
    while True:
        now = time.time()
        done = min(1.0, begun + (1 - begun) * (now - start) / max(1.0, end - start))
        dist.broadcast(clock := torch.tensor([now, done], dtype=torch.float64), 0)  # one clock for all
        now, done = clock.tolist()
        if now - saved > SAVED or done >= 1:
            if rank == 0:
                save(checkpoint, net=net.state_dict(), ema=ema.state_dict(), optimiser=optimiser.state_dict(),
                     step=step, fraction=done, seed=args.seed)
            saved = now
        if done >= 1:
            return
        for g in optimiser.param_groups:
            g["lr"] = g["scale"] * args.rate * min(1.0, (step + 1) / 200) * max(0.01, 1 - done)
        parts, tap = losses(np.random.default_rng([args.seed, step, rank]), done)
        if rank == 0 and tap.requires_grad and now - pulled > PULLED:
            print("gradients at the trunk: " + balance(parts, tap), flush=True)
            pulled = now
        optimiser.zero_grad()
        sum(weights[n] * v for n, v in parts.items()).backward()
        for p in parameters:
            if p.grad is None:  # a head without a picture in this step
                p.grad = torch.zeros_like(p)
        numbers = torch.stack([torch.as_tensor(parts.get(n, shown.get(n, 0.0))).detach().float() for n in weights])
        numbers = share_gradients(parameters, numbers)
        norm = nn.utils.clip_grad_norm_(parameters, clip)
        if not math.isfinite(norm.item()):
            raise SystemExit(f"step {step}: losses {numbers.tolist()}")
        optimiser.step()
        if rank == 0:
            average(ema, net, min(memory(done), (step + 1) / (step + 10)))
        step += 1
        for name, value in zip((*weights, "norm"), (*numbers.tolist(), norm.item())):
            shown[name] = 0.95 * shown.get(name, value) + 0.05 * value
        if rank == 0 and now - told > TOLD:
            print(time.strftime("%H:%M:%S ") + f"step {step} " + " ".join(f"{n} {v:.3f}" for n, v in shown.items()) +
                  f", {(end - now) / 60:.1f} min left", flush=True)
            told = now
