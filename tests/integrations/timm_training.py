"""A training script as users of timm have it, written against timm's public API alone.

    python -m tests.integrations.timm_training DATA_DIR --model resnet10t --num-classes 10

Options have the names of timm's train.py; DATA_DIR holds train/ and validation/, each with a
folder of images for each class. Nothing in this file knows of freqreg.
"""

# pyright: reportPrivateImportUsage=false, reportArgumentType=false, reportOptionalMemberAccess=false

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from timm import utils
from timm.data import (
    AugMixDataset,
    FastCollateMixup,
    Mixup,
    create_dataset,
    create_loader,
    resolve_data_config,
)
from timm.layers import convert_splitbn_model
from timm.models import create_model
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import ClassificationTask, TrainingTask
from timm.utils import NativeScaler
from torch import nn

Autocast = Callable[[], AbstractContextManager[Any]]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train a model of timm")
    parser.add_argument("data_dir")
    parser.add_argument("--model", default="resnet10t")
    parser.add_argument("--num-classes", type=int, default=10)
    parser.add_argument("--img-size", type=int, default=32)
    parser.add_argument("--mean", type=float, nargs="+")
    parser.add_argument("--std", type=float, nargs="+")
    parser.add_argument("-b", "--batch-size", type=int, default=64)
    parser.add_argument("--grad-accum-steps", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--opt", default="sgd")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--clip-grad", type=float)
    parser.add_argument("--mixup", type=float, default=0.0)
    parser.add_argument("--cutmix", type=float, default=0.0)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--reprob", type=float, default=0.0)
    parser.add_argument("--aug-splits", type=int, default=0)
    parser.add_argument("--aa")
    parser.add_argument("--jsd-loss", action="store_true")
    parser.add_argument("--split-bn", action="store_true")
    parser.add_argument("--no-prefetcher", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--amp-dtype", default="float16")
    parser.add_argument("--model-ema", action="store_true")
    parser.add_argument("--model-ema-decay", type=float, default=0.99)
    parser.add_argument("--torchcompile", default="")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--output", default="output")
    return parser.parse_args(argv)


def create_loaders(args: argparse.Namespace, data_config: dict[str, Any]) -> tuple[Any, Any]:
    settings = {
        "input_size": data_config["input_size"],
        "batch_size": args.batch_size,
        "mean": data_config["mean"],
        "std": data_config["std"],
        "interpolation": data_config["interpolation"],
        "num_workers": args.workers,
        "device": torch.device("cpu"),
        "use_prefetcher": not args.no_prefetcher,
    }
    dataset = create_dataset("", root=args.data_dir, split="train", is_training=True)
    if args.aug_splits:
        dataset = AugMixDataset(dataset, num_splits=args.aug_splits)
    collate = FastCollateMixup(**mixup_settings(args)) if uses_fast_mixup(args) else None
    train = create_loader(
        dataset,
        is_training=True,
        num_aug_splits=args.aug_splits,
        auto_augment=args.aa,
        re_prob=args.reprob,
        collate_fn=collate,
        **settings,
    )
    dataset = create_dataset("", root=args.data_dir, split="validation", is_training=False)
    return train, create_loader(dataset, is_training=False, **settings)


def mixes(args: argparse.Namespace) -> bool:
    return args.mixup > 0 or args.cutmix > 0


def uses_fast_mixup(args: argparse.Namespace) -> bool:
    return mixes(args) and not args.no_prefetcher


def mixup_settings(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "mixup_alpha": args.mixup,
        "cutmix_alpha": args.cutmix,
        "label_smoothing": args.smoothing,
        "num_classes": args.num_classes,
    }


def main(argv: Sequence[str] | None = None) -> None:
    utils.setup_default_logging()
    args = parse_args(argv)
    device = torch.device("cpu")
    utils.random_seed(args.seed, 0)

    model = create_model(args.model, num_classes=args.num_classes)
    data_config = resolve_data_config(vars(args), model=model)
    if args.split_bn:
        model = convert_splitbn_model(model, max(args.aug_splits, 2))
    if args.channels_last:
        model.to(memory_format=torch.channels_last)

    autocast: Autocast = nullcontext
    loss_scaler = None
    if args.amp:
        amp_dtype = getattr(torch, args.amp_dtype)
        autocast = partial(torch.autocast, device_type=device.type, dtype=amp_dtype)
        if amp_dtype == torch.float16:
            loss_scaler = NativeScaler(device=device.type)

    loader_train, loader_eval = create_loaders(args, data_config)
    loss_kwargs = {
        "loss_type": "jsd" if args.jsd_loss else None,
        "jsd_splits": args.aug_splits,
        "smoothing": args.smoothing,
        "soft_targets": mixes(args),
    }
    task = ClassificationTask(model=model, device=device, criterion_kwargs=loss_kwargs)

    model = task.get_trainable_module()
    optimizer = create_optimizer_v2(model, opt=args.opt, lr=args.lr, weight_decay=5e-4)
    if args.model_ema:
        task.setup_ema(decay=args.model_ema_decay)
    if args.torchcompile:
        task.compile(backend=args.torchcompile)

    evaluator = task.create_evaluator()
    saver = utils.CheckpointSaver(
        model=model,
        optimizer=optimizer,
        args=args,
        amp_scaler=loss_scaler,
        checkpoint_dir=utils.get_outdir(args.output),
        task=task,
    )
    updates = -(-len(loader_train) // args.grad_accum_steps)
    scheduler, num_epochs = create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=args.epochs, updates_per_epoch=updates
    )
    mixup_fn = Mixup(**mixup_settings(args)) if mixes(args) and args.no_prefetcher else None
    for epoch in range(num_epochs):
        train_one_epoch(epoch, loader_train, optimizer, args, task, autocast, loss_scaler, mixup_fn)
        metrics = validate(task.get_eval_model(), loader_eval, evaluator, autocast)
        if task.has_ema():
            validate(task.get_eval_model(ema=True), loader_eval, evaluator, autocast)
        saver.save_checkpoint(epoch, metric=metrics["top1"])
        scheduler.step(epoch + 1)
        print(f"epoch {epoch}: {metrics}", file=sys.stderr)


def train_one_epoch(
    epoch: int,
    loader: Any,
    optimizer: torch.optim.Optimizer,
    args: argparse.Namespace,
    task: TrainingTask,
    autocast: Autocast,
    loss_scaler: NativeScaler | None,
    mixup_fn: Mixup | None,
) -> None:
    model = task.get_trainable_module()
    model.train()
    accum_steps = args.grad_accum_steps
    last_accum_steps = len(loader) % accum_steps
    num_updates = epoch * -(-len(loader) // accum_steps)
    optimizer.zero_grad()
    for batch_idx, (input, target) in enumerate(loader):
        need_update = batch_idx == len(loader) - 1 or (batch_idx + 1) % accum_steps == 0
        if batch_idx >= len(loader) - last_accum_steps:
            accum_steps = last_accum_steps
        if mixup_fn is not None:
            input, target = mixup_fn(input, target)
        if args.channels_last:
            input = input.contiguous(memory_format=torch.channels_last)

        with autocast():
            result = task(input, target)
            loss = result["loss"]
        if accum_steps > 1:
            loss /= accum_steps

        if loss_scaler is not None:
            loss_scaler(
                loss,
                optimizer,
                clip_grad=args.clip_grad,
                parameters=task.get_clip_parameters(),
                need_update=need_update,
            )
        else:
            loss.backward()
            if need_update:
                if args.clip_grad is not None:
                    utils.dispatch_clip_grad(task.get_clip_parameters(), value=args.clip_grad)
                optimizer.step()
        if need_update:
            num_updates += 1
            optimizer.zero_grad()
            task.update_ema(step=num_updates)


def validate(model: nn.Module, loader: Any, evaluator: Any, autocast: Autocast) -> dict[str, float]:
    evaluator.reset()
    model.eval()
    with torch.inference_mode(), autocast():
        for input, target in loader:
            evaluator.update(model(input), target)
    return evaluator.compute()


if __name__ == "__main__":
    main()
