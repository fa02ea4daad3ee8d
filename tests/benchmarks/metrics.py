"""What measuring costs a small GET: CPU microseconds without, with an empty listener, and with ``prometheus(manager)``.

    python -m tests.benchmarks.metrics [--rounds 15]

The three take turns on the same server, so that a busy machine slows all of them; each one's best round counts.
"""

from __future__ import annotations

import argparse
import math
import os

from prometheus_client import CollectorRegistry

import poollib
from poollib.metrics import prometheus
from tests.benchmarks.compare import serving
from tests.benchmarks.profile_get import microseconds

ROUND_S = 0.3


def measured(url: str, rounds: int) -> dict[str, float]:
    """The best round's microseconds of CPU per request, by what listens."""
    managers = {
        "nothing": poollib.PoolManager(),
        "an empty listener": poollib.PoolManager(trace=poollib.Trace()),
        "prometheus": poollib.PoolManager(),
    }
    prometheus(managers["prometheus"], registry=CollectorRegistry())
    best = dict.fromkeys(managers, math.inf)
    for _ in range(rounds):
        for name, manager in managers.items():
            best[name] = min(best[name], microseconds(manager, url, ROUND_S)[0])
    for manager in managers.values():
        manager.clear()
    return best


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    if hasattr(os, "sched_setaffinity"):  # client and server on one core, as in profile_get
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with serving() as url:
        best = measured(url, rounds)
    for name, each_us in best.items():
        print(f"{name:20} {each_us:7.1f} us  {each_us / best['nothing']:.3f}")


if __name__ == "__main__":
    main()
