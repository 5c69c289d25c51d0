"""glibc keeps freed memory where it was asked to, and nothing else is touched."""

import ctypes
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import freqreg.cli.check
from freqreg import _allocator
from freqreg._allocator import BYTES, BYTES_BEFORE_2_35, keep_freed_memory
from freqreg.cli import main

CPU = torch.device("cpu")
SETS = [
    ("MALLOC_MMAP_THRESHOLD_", "65536"),
    ("MALLOC_MMAP_MAX_", "0"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
    ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=65536:glibc.malloc.arena_max=1"),
    ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=65536"),
]
HELD = """
import ctypes, torch
from freqreg._allocator import keep_freed_memory

class Information(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena a b c d e f used free top".split()]

mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Information

before = mallinfo().free

def held():
    for _ in range(3):
        tensors = [torch.zeros(3 * 2**22) for _ in range(4)]
        del tensors
    return mallinfo().free - before

handed_back = held()
print(handed_back, int(keep_freed_memory(torch.device("cpu"))), held())
"""
BLOCKS = 4 * 4 * 3 * 2**22
"""Bytes of the tensors that are freed there, each above the largest threshold that glibc finds by
itself."""


def test_freed_memory_is_kept_in_the_process() -> None:
    assert platform.libc_ver()[0] == "glibc"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", HELD]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    handed_back, kept, held = map(int, said.stdout.split())
    assert kept
    assert handed_back < BLOCKS / 1.5
    assert held > BLOCKS / 1.1


@pytest.fixture
def again() -> Iterator[None]:
    """As in a process that has not tried yet."""
    _allocator._thresholds_raised.cache_clear()
    yield
    _allocator._thresholds_raised.cache_clear()


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _ in SETS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("again", "unset")
@pytest.mark.parametrize(("name", "value"), SETS)
def test_what_the_user_sets_stands(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep_freed_memory(CPU)
    monkeypatch.setenv(name, value)
    assert not keep_freed_memory(CPU)


Mallopt = Callable[[int, int], int]


def library(mallopt: Mallopt) -> SimpleNamespace:
    """A C library with a malloc at a place of its own."""
    return SimpleNamespace(malloc=ctypes.CFUNCTYPE(None)(lambda: None), mallopt=mallopt)


@pytest.mark.usefixtures("again", "unset")
@pytest.mark.parametrize(
    ("highest", "asked"),
    [
        (BYTES, [(-3, BYTES), (-1, BYTES)]),
        (BYTES_BEFORE_2_35, [(-3, BYTES), (-3, BYTES_BEFORE_2_35), (-1, BYTES)]),
        (0, [(-3, BYTES), (-3, BYTES_BEFORE_2_35)]),
    ],
)
def test_older_versions_take_what_they_can_or_nothing(
    highest: int, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []

    def mallopt(parameter: int, value: int) -> int:
        calls.append((parameter, value))
        return int(parameter == -1 or value <= highest)

    one = library(mallopt)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: one)
    assert keep_freed_memory(CPU) == (highest > 0)
    assert calls == asked


@pytest.mark.usefixtures("again", "unset")
@pytest.mark.parametrize("case", ["preloaded malloc", "musl", "no library", "no ctypes", "Windows"])
def test_elsewhere_nothing_is_done(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def mallopt(parameter: int, value: int) -> int:
        pytest.fail("the allocator was touched")

    one = library(mallopt)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: one)
    match case:
        case "preloaded malloc":
            monkeypatch.setattr(ctypes, "CDLL", lambda name: library(mallopt) if name else one)
        case "musl":
            monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
        case "no library":
            monkeypatch.setattr(ctypes, "CDLL", lambda _: Path("/none/such").stat())
        case "no ctypes":
            monkeypatch.setitem(sys.modules, "ctypes", None)
        case "Windows":
            monkeypatch.setattr(ctypes, "CDLL", lambda name: len(name))
    assert not keep_freed_memory(CPU)


@pytest.mark.usefixtures("again", "unset")
def test_it_is_logged_once_and_on_no_gpu(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert not keep_freed_memory(torch.device("cuda"))
    assert not caplog.messages
    assert keep_freed_memory(CPU)
    assert keep_freed_memory(CPU)
    assert caplog.messages == [_allocator.KEPT]


@pytest.mark.usefixtures("again", "unset")
def test_check_does_it_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(freqreg.cli.check, "check", lambda *_: "the report")
    command = ["check", "one_conv", "--image-size", "32", "--device", "cpu"]
    main(command)
    assert capsys.readouterr() == ("the report\n", f"{_allocator.KEPT}\n")
    main([*command, "--no-keep-freed-memory"])
    assert capsys.readouterr() == ("the report\n", "")
