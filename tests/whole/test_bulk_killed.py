"""Thousands of URLs over 50 hosts, 2 % of the answers faults, the process killed twice: one final result for each.

Counted against what the server saw; run with a larger POOLLIB_BULK_URLS for more.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from poollib.bulk import Result, fetch
from poollib.bulk.requests import BulkRequest
from poollib.bulk.worker import Worker
from tests.support.faulty_hosts import Faulty
from tests.support.httpd import Httpd

HOSTS = 50
URLS = int(os.environ.get("POOLLIB_BULK_URLS", "10000"))

PROGRAM = """
import sys
from poollib import PoolManager
from poollib.bulk import Result, fetch
port, count, to, pipeline = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
hosts = 50
manager = PoolManager(num_pools=hosts, maxsize=4, resolve={f"h{n}.test": ["127.0.0.1"] for n in range(hosts)})
urls = (f"http://h{n % hosts}.test:{port}/{n}" for n in range(count))
for result in fetch(urls, manager=manager, to=to, pipeline=pipeline):
    assert result.status == 200, result
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
@pytest.mark.parametrize("pipeline", [1, 8])
def test_each_url_has_one_final_result_whatever_was_killed(tmp_path: pathlib.Path, pipeline: int) -> None:
    faulty = Faulty()
    with Httpd() as httpd:
        httpd.routes = faulty
        command = [sys.executable, "-c", PROGRAM, str(httpd.port), str(URLS), str(tmp_path), str(pipeline)]
        for share in (0.3, 0.6):
            with subprocess.Popen(command) as child:
                while len(faulty.asked) < URLS * share:
                    assert child.poll() is None
                    time.sleep(0.005)
                child.send_signal(signal.SIGKILL)
        subprocess.run(command, check=True, timeout=600)
    entries = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_bytes().splitlines()]
    assert sorted(int(entry["url"].rpartition("/")[2]) for entry in entries) == list(range(URLS))
    assert {entry["status"] for entry in entries} == {200}
    for entry in entries:
        assert pathlib.Path(entry["path"]).read_text() == "number " + entry["url"].rpartition("/")[2]
    files = sum(1 for path in tmp_path.rglob("*") if path.is_file())
    assert (files, len(faulty.asked)) == (URLS + 1, URLS)
    assert faulty.most <= 4
    # What was asked for twice: faults, what stood behind a fault in its send, and what was under way at the two kills.
    assert faulty.asked.total() - URLS <= URLS * 0.02 * (1 + pipeline) + 2 * 32 * 16 * 2


@pytest.mark.slow
def test_a_generator_of_any_length_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent; 100,000 hosts, so that what is kept for hosts would show."""
    monkeypatch.setattr(Worker, "fetch_one", lambda self, request: Result(request, 200))
    count = 200_000

    def items(base: int) -> Iterator[BulkRequest]:
        return (BulkRequest(f"http://h{base + n // 2}.test/{n}") for n in range(count))

    tracemalloc.start()
    try:
        sizes = []
        for base in (0, count):
            assert sum(1 for _ in fetch(items(base), threads=4)) == count
            sizes.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
    finally:
        tracemalloc.stop()
    assert max(sizes) < 10_000_000
