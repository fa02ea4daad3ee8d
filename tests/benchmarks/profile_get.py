"""Where the microseconds of a small GET go: by module, and by function.

    python -m tests.benchmarks.profile_get [--seconds 60]

The process's CPU clock raises signals, some 250 a second on Linux; each is counted for the function that runs then, and
what the system does in it (sending, receiving) for the function that called it. One request takes what it takes without
signals.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import time
from collections import Counter
from types import FrameType

import poollib
from tests.benchmarks.compare import serving

FOLDER = str(pathlib.Path(poollib.__file__).parent) + os.sep
EVERY_S = 0.001  # the system gives its own ticks at most


def room_of(frame: FrameType) -> tuple[str, str]:
    """The module, or module, and the function."""
    code = frame.f_code
    path = code.co_filename
    module = path[len(FOLDER) : -len(".py")] if path.startswith(FOLDER) else frame.f_globals["__name__"]
    return module, getattr(code, "co_qualname", code.co_name)


def microseconds(manager: poollib.PoolManager, url: str, seconds: float) -> tuple[float, int]:
    """CPU of one request, and how many there were."""
    until, cpu, count = time.perf_counter() + seconds, time.process_time(), 0
    while time.perf_counter() < until:
        for _ in range(100):
            manager.request("GET", url).data  # noqa: B018
        count += 100
    return (time.process_time() - cpu) / count * 1e6, count


def profiled(url: str, seconds: float) -> tuple[float, Counter[tuple[str, str]]]:
    """CPU microseconds of one request, and samples by module and function."""
    samples: Counter[tuple[str, str]] = Counter()

    def note(number: int, frame: FrameType | None) -> None:
        if frame is not None:
            samples[room_of(frame)] += 1

    with poollib.PoolManager() as manager:
        microseconds(manager, url, 0.5)
        whole_us = min(microseconds(manager, url, 0.5)[0] for _ in range(5))
        before = signal.signal(signal.SIGPROF, note)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
        try:
            microseconds(manager, url, seconds)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
    return whole_us, samples


def main() -> None:
    parser = argparse.ArgumentParser(description="where the microseconds of a small GET go")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long samples are taken")
    seconds = parser.parse_args().seconds
    if hasattr(os, "sched_setaffinity"):  # client and server on one core: waking another one costs 10 to 40 us
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with serving() as url:
        whole_us, samples = profiled(url, seconds)
    share_us = whole_us / sum(samples.values())
    modules: Counter[str] = Counter()
    for (module, _), n in samples.items():
        modules[module] += n
    print(f"a small GET by a manager: {whole_us:.1f} us, {sum(samples.values())} samples")
    for module, n in modules.most_common(24):
        functions = Counter({name: m for (where, name), m in samples.items() if where == module}).most_common(4)
        print(f"{n * share_us:6.2f}  {module:20} ", ", ".join(f"{name} {m * share_us:.2f}" for name, m in functions))


if __name__ == "__main__":
    main()
