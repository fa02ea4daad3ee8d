"""Large bodies in little memory: a small run of the benchmark each time, the full one marked slow."""

from __future__ import annotations

import os

import pytest

from tests.benchmarks.memory import JOBS, LIMIT_MIB, MIB, rows

needs_linux = pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux's /proc")


def check(size: int) -> None:
    for name, moved, _, peak in rows(list(JOBS), size):
        assert int(moved) == size / MIB / (2 if name == "upload_multipart" else 1), name
        assert peak <= LIMIT_MIB, name


@needs_linux
@pytest.mark.slow
def test_a_gibibyte_goes_either_way_within_eight_mebibytes() -> None:
    check(1024 * MIB)


@needs_linux
@pytest.mark.slow
def test_the_measure_sees_a_body_that_is_kept() -> None:
    [(_, moved, _, peak)] = rows(["whole"], 64 * MIB)
    assert (moved, round(peak / 16)) == (64, 4)


@needs_linux
@pytest.mark.parametrize("name", ["download_stream", "announced_alone", "upload_file", "upload_multipart", "gzip_bomb"])
def test_large_bodies_need_little_memory(name: str) -> None:
    [(_, moved, _, peak)] = rows([name], 32 * MIB)
    assert int(moved) in (32, 16)
    assert peak <= LIMIT_MIB
