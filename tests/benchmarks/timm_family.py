"""One family of timm: its smallest model, checked as it is and after following the advice.

    python -m tests.benchmarks.timm_family MODULE

Prints one line of JSON.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain, islice
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from freqreg import check
from freqreg.diagnostics import Report

CLASSES = 10
SIZES = (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 384)
SMALL = ("test_", "atto", "femto", "pico", "nano", "xxs", "xxt", "tiny", "_xs")
SMALL = (*SMALL, "small", "18", "s0", "b0", "_s")
SEARCH_SECONDS = 4


def created(name: str, **settings: Any) -> Any:
    """A model with random weights."""
    return timm.create_model(name, num_classes=CLASSES, **settings)


def smallest(names: Sequence[str]) -> tuple[str, int]:
    """The name and parameters of the smallest, small names first, on the meta device."""
    hints = {n: next((i for i, w in enumerate(SMALL) if w in n), len(SMALL)) for n in names}
    end, found = time.monotonic() + SEARCH_SECONDS, {}
    for name in sorted(names, key=hints.__getitem__):
        if found and time.monotonic() > end:
            break
        try:
            with torch.device("meta"):
                model = created(name)
        except Exception:  # it reads values while it is built
            if found:
                continue
            model = created(name)
        found[name] = sum(p.numel() for p in model.parameters())
    return min(found.items(), key=lambda item: item[1])


def loss(output: Any, y: Tensor) -> Tensor:
    """Cross-entropy; the mean over heads where a model trains several, of the mean token."""
    outputs = output if isinstance(output, tuple | list) else [output]
    logits = [o.mean(1) if o.ndim == 3 else o for o in outputs]
    return torch.stack([F.cross_entropy(o, y) for o in logits]).mean()


def ready(name: str) -> tuple[nn.Module, Tensor]:
    """The model and two images of the smallest size at which it can be trained."""
    channels, *_, side = timm.get_pretrained_cfg(name).input_size  # pyright: ignore[reportOptionalMemberAccess]
    ways = [(size, settings) for size in SIZES for settings in ({}, {"img_size": size})]
    likely = (way for way in ways if fits(name, channels, *way))
    cause: Exception = ValueError("no size at which two images can be trained on")
    for size, settings in chain(islice(likely, 3), [(side, {})]):
        torch.manual_seed(0)
        try:
            model = created(name, **settings).train()
            x = torch.rand(2, channels, size, size)
            with torch.no_grad():
                loss(model(x), torch.tensor([0, 1]))
        except Exception as error:
            cause = error
            continue
        return model, x
    raise cause


def fits(name: str, channels: int, size: int, settings: dict[str, Any]) -> bool:
    """Whether a batch of this size goes through, told without computing anything."""
    try:
        with torch.device("meta"), torch.no_grad():
            created(name, **settings).train()(torch.empty(2, channels, size, size))
    except Exception:
        return False
    return True


def summary(report: Report) -> dict[str, Any]:
    """What is kept of a report."""
    ways = [asdict(way) for way in report.ways]
    obstacles = [[o.what, o.hinders, *o.modules[:1]] for o in report.obstacles]
    return {"plain": asdict(report.plain), "ways": ways, "obstacles": obstacles}


def follow_advice(model: nn.Module, report: Report) -> bool:
    """Switch fused attention off where the report says so."""
    advised = any(o.what == "fused attention" for o in report.obstacles)
    if advised:
        for module in model.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = False  # pyright: ignore[reportArgumentType]
    return advised


def measured(family: str) -> dict[str, Any]:
    """Everything about a family; "error" where not even a plain step is possible."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # penalties are tiny at random weights; CPUs crawl below 1e-38
    result: dict[str, Any] = {"family": family}
    try:
        result["model"], result["parameters"] = smallest(timm.list_models(module=family))
        model, x = ready(result["model"])
        y = torch.tensor([0, 1])
        report = check(model, x, y, criterion=loss)
        result |= {"size": x.shape[-1], "as it is": summary(report)}
        if follow_advice(model, report):
            with sdpa_kernel(SDPBackend.MATH):
                result["after advice"] = summary(check(model, x, y, criterion=loss))
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
    return result


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1])))
