"""A run's locks, clock and threads in the place of the real ones, in the modules of poollib, for the length of a run.

Modules look ``threading``, ``time`` and ``queue`` up in their globals; a run puts its own there and takes them away
again. The code of poollib knows nothing of it and pays nothing. What the process keeps (the housekeeper) is put aside.
"""

from __future__ import annotations

import gc
import logging
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from poollib.pool import housekeeper

from .primitives import Primitives
from .scheduler import Abandoned, Scheduler

Places = list[tuple[dict[str, Any], str, str]]


def _modules() -> list[ModuleType]:
    return [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] == "poollib"]


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in vars(module).values():
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            yield from (each for each in vars(value).values() if isinstance(each, FunctionType))


def places() -> Places:
    """Where the modules of poollib hold one of the real things: a dict, a key, and which."""
    real = {id(threading): "threading", id(time): "time", id(queue): "queue", id(time.monotonic): "monotonic"}
    found: Places = []
    for module in _modules():
        found += [(vars(module), name, real[id(value)]) for name, value in vars(module).items() if id(value) in real]
        for function in _functions(module):
            defaults = function.__kwdefaults__ or {}
            found += [(defaults, name, "monotonic") for name, value in defaults.items() if value is time.monotonic]
    return found


@contextmanager
def in_place(scheduler: Scheduler, found: Places) -> Iterator[Primitives]:
    """The scheduler's own where the real things are."""
    made = Primitives(scheduler)
    kept = [(owner, name, owner[name]) for owner, name, _ in found]
    of_process, hook, log_fault = housekeeper._of_process[:], sys.unraisablehook, housekeeper._log_fault
    for owner, name, which in found:
        owner[name] = getattr(made, which)
    housekeeper._of_process.clear()
    sys.unraisablehook = unraisable(scheduler)
    housekeeper._log_fault = lambda *args: scheduler.fault_later(f"{args}\n{traceback.format_exc()}")
    try:
        yield made
    finally:
        for owner, name, value in kept:
            owner[name] = value
        housekeeper._of_process[:] = of_process
        sys.unraisablehook = hook
        housekeeper._log_fault = log_fault


def unraisable(scheduler: Scheduler) -> Callable[[Any], None]:
    """For ``sys.unraisablehook``: an exception that leaves a finaliser is a fault, but for the end of a run."""

    def hook(details: Any) -> None:
        if not isinstance(details.exc_value, (Abandoned, KeyboardInterrupt)):  # an interrupt there is nobody's
            scheduler.fault_later(f"an exception left {details.object!r}: {details.exc_value!r}")

    return hook


def _ignore(details: object) -> None:
    """For ``sys.unraisablehook``."""


@contextmanager
def quiet() -> Iterator[None]:
    """No garbage is collected and nothing is logged meanwhile: both would come at other points in each run."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    was_enabled, hook = gc.isenabled(), sys.unraisablehook
    gc.collect()
    gc.disable()
    gc.freeze()
    sys.unraisablehook = _ignore  # what is left of a run that was abandoned goes at any time
    try:
        yield
        gc.collect()
    finally:
        sys.unraisablehook = hook
        gc.unfreeze()
        if was_enabled:
            gc.enable()
        logging.disable(level)


def sweep_up(count: int) -> None:
    """Collect the garbage of the runs so far, once in a hundred of them."""
    if not count % 100:
        gc.collect()
