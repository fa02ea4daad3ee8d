"""A run's locks, clock and threads in the place of the real ones, in the modules of poollib, for the length of a run.

Modules look ``threading``, ``time`` and ``queue`` up in their globals; a run puts its own there and takes them away
again. The code of poollib knows nothing of it and pays nothing. What the process keeps (the housekeeper) is put aside.
"""

from __future__ import annotations

import gc
import importlib
import logging
import pkgutil
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from poollib.exchange import upload
from poollib.net import happy_eyeballs, socket_state, tls
from poollib.pool import housekeeper

from .network import Network
from .primitives import Primitives
from .scheduler import Abandoned, Scheduler

FOLDERS = ("base", "http1", "policy", "net", "pool", "exchange", "client", "pipeline")
Places = list[tuple[dict[str, Any], str, str]]


def _modules() -> list[ModuleType]:
    return [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] == "poollib"]


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in vars(module).values():
        if isinstance(value, FunctionType):
            yield value
        elif isinstance(value, type) and value.__module__ == module.__name__:
            yield from (each for each in vars(value).values() if isinstance(each, FunctionType))


def import_all() -> None:
    """Import what poollib imports when it is first needed: a module that came later would have the real things."""
    for folder in FOLDERS:
        package = importlib.import_module(f"poollib.{folder}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def places() -> Places:
    """Where the modules of poollib hold one of the real things: a dict, a key, and which."""
    import_all()
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
    by_default = [(function, function.__defaults__) for module in _modules() for function in _functions(module)]
    of_process, hook, log_fault = housekeeper._of_process[:], sys.unraisablehook, housekeeper._log_fault
    for owner, name, which in found:
        owner[name] = getattr(made, which)
    for function, values in by_default:
        if values and time.monotonic in values:
            function.__defaults__ = tuple(made.monotonic if value is time.monotonic else value for value in values)
    housekeeper._of_process.clear()
    sys.unraisablehook = unraisable(scheduler)
    housekeeper._log_fault = lambda *args: scheduler.fault_later(f"{args}\n{traceback.format_exc()}")
    try:
        yield made
    finally:
        for owner, name, value in kept:
            owner[name] = value
        for function, values in by_default:
            function.__defaults__ = values
        housekeeper._of_process[:] = of_process
        sys.unraisablehook = hook
        housekeeper._log_fault = log_fault


def _wrap_in_memory(wrap: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """TLS by ``SSLObject``, as poollib speaks it within TLS: a simulated socket is none that OpenSSL could use."""
    return wrap(*args, **{**keywords, "tls_in_tls": True})


@contextmanager
def over(network: Network) -> Iterator[None]:
    """Sockets are made by this network, and TLS is spoken over it by ``SSLObject``."""
    found = [(vars(happy_eyeballs), "socket", network.socket_module)]
    found += [(vars(module), "select", network.select_module) for module in (socket_state, upload)]
    found += [(vars(tls), "wrap", partial(_wrap_in_memory, tls.wrap))]
    kept = [(owner, name, owner[name]) for owner, name, _ in found]
    for owner, name, value in found:
        owner[name] = value
    try:
        yield
    finally:
        for owner, name, value in kept:
            owner[name] = value


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
