"""An interpreter that ends with pools in use says nothing, does not wait, and exits with 0; so does a subinterpreter.

Each program runs in a process of its own, for what happens after its last line is what is looked at: exit hooks, daemon
threads that go on, module globals that are cleared one by one, the last garbage collection.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support.httpd import Httpd, Request, Response, echo

BEGIN = """
import atexit, builtins, gc, io, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import poollib
URL, STALLING = sys.argv[1:]
HOST, PORT = "127.0.0.1", int(URL.rpartition(":")[2].strip("/"))

def in_daemons(work, count):
    def begin():
        begun.release()
        work()
    begun = threading.Semaphore(0)
    for _ in range(count):
        threading.Thread(target=begin, daemon=True).start()
    for _ in range(count):
        begun.acquire()

def for_ever(work):
    def again():
        while True:
            work()
            done.set()
    done = threading.Event()
    in_daemons(again, 4)
    done.wait(20)

def is_asked(manager, url=URL):
    assert manager.request("GET", url, timeout=20).status == 200
"""

PROGRAMS = {
    "pools and an unread response in globals": """
manager = poollib.PoolManager(background_collector=True, idle_timeout=30)
is_asked(manager)
response = manager.request("GET", STALLING, preload_content=False)
local = threading.local()
local.response = manager.request("GET", STALLING, preload_content=False)
""",
    "the collector at work": """
pool = poollib.HTTPConnectionPool(HOST, PORT, maxsize=5, min_idle=3, background_collector=True, idle_timeout=0.001)
pool.request("GET", "/")
""",
    "health checks at work": """
manager = poollib.PoolManager(health_check_interval=0.001, health_check_path="/")
is_asked(manager)
""",
    "daemons that wait for a body": """
manager = poollib.PoolManager()
in_daemons(lambda: manager.request("GET", STALLING), 4)
""",
    "daemons that wait for a connection": """
pool = poollib.connection_from_url(STALLING, maxsize=1, block=True)
in_daemons(lambda: pool.request("GET", "/"), 4)
""",
    "daemons that ask all the time": """
manager = poollib.PoolManager(maxsize=3, block=True, background_collector=True)
for_ever(lambda: is_asked(manager))
""",
    "daemons that look names up all the time": """
def ask():
    with poollib.PoolManager(background_collector=True, idle_timeout=0.01) as manager:
        is_asked(manager, URL.replace(HOST, "localhost"))
for_ever(ask)
""",
    "a daemon that reads events": """
in_daemons(lambda: list(poollib.EventSource(STALLING)), 1)
""",
    "futures that nobody waits for": """
manager = poollib.PoolManager(background_collector=True)
executor = ThreadPoolExecutor(4)
futures = [executor.submit(is_asked, manager) for _ in range(20)]
""",
    "exit hooks that ask": """
@atexit.register
def end():
    is_asked(manager)
    new = poollib.PoolManager(background_collector=True, health_check_interval=9, health_check_path="/")
    is_asked(new, URL.replace(HOST, "localhost"))
manager = poollib.PoolManager()
is_asked(manager)
""",
    "a global's finaliser that asks": """
class Owner:
    def __init__(self):
        self.manager = poollib.PoolManager(background_collector=True, health_check_interval=9, health_check_path="/")
    def __del__(self):
        is_asked(self.manager)
        print("asked")
owner = Owner()
""",
    "a global's finaliser that makes the first pool": """
class Owner:
    def __del__(self, new=poollib.PoolManager):
        is_asked(new(background_collector=True))
        print("asked")
owner = Owner()
""",
    "reference cycles that the last collection finds": """
class Owner:
    def __init__(self):
        self.me = self
        self.manager = poollib.PoolManager(background_collector=True, idle_timeout=9)
        self.response = self.manager.request("GET", STALLING, preload_content=False)
    def __del__(self):
        self.response.close()
        self.manager.clear()
        print("asked")
gc.disable()
Owner()
""",
    "finalisers that find no name of their modules": """
manager = poollib.PoolManager()
is_asked(manager)
response, closed = (manager.request("GET", STALLING, preload_content=False) for _ in range(2))
closed.close()
file = poollib.HTTPResponse(io.BytesIO(b"body"), preload_content=False)
atexit._clear()
for name, module in list(sys.modules.items()):
    if name.startswith("poollib"):
        vars(module).update(dict.fromkeys(vars(module)))
del response, closed, file
gc.collect()
""",
    "what outlives the modules": """
manager = poollib.PoolManager(background_collector=True)
is_asked(manager)
sys.response = manager.request("GET", STALLING, preload_content=False)
builtins.manager = manager
""",
}


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    """One that is answered, and one whose answer never ends."""
    end = threading.Event()

    def stalling(request: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            yield b"hello"
            end.wait(60)

        return Response(pieces())

    with Httpd({"/": echo, "/stalling": stalling}) as server:
        yield [f"{server.url}/", f"{server.url}/stalling"]
        end.set()


@pytest.mark.may_leave("the servers' threads are the module's")
@pytest.mark.parametrize("program", PROGRAMS)
def test_an_exit_is_quiet_and_quick(program: str, urls: list[str]) -> None:
    command = [sys.executable, "-c", BEGIN + PROGRAMS[program], *urls]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("asked\n" if "print" in PROGRAMS[program] else "")


# Subinterpreters

IN_SUBINTERPRETERS = """
import sys, threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def create(is_isolated):
    if sys.version_info >= (3, 13):
        return interpreters.create("isolated" if is_isolated else "legacy")
    return interpreters.create(isolated=is_isolated)

def run(number, program):
    failure = interpreters.run_string(number, program)
    assert failure is None, failure

for is_isolated in (True, False):
    for _ in range(2):
        number = create(is_isolated)
        run(number, sys.argv[1])
        interpreters.destroy(number)
print("destroyed")
"""

REQUESTS = """
import threading, time
import poollib
with poollib.PoolManager(background_collector=True, idle_timeout=9) as manager:
    for url in ({url!r}, {url!r}.replace("127.0.0.1", "localhost")):
        assert manager.request("GET", url, timeout=20).status == 200
for thread in threading.enumerate():
    if thread.name.startswith("poollib"):
        thread.join(20)
"""
OPEN = """
import poollib
manager = poollib.PoolManager(background_collector=True, idle_timeout=9)
assert manager.request("GET", {url!r}, timeout=20).status == 200
"""


def in_subinterpreters(program: str) -> tuple[int, str, str]:
    """Run the program twice in a subinterpreter of each kind; how the process ended and what it wrote."""
    command = [sys.executable, "-c", IN_SUBINTERPRETERS, program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def needs_sane_subinterpreters() -> None:
    """CPython 3.12.1 ends with "double free or corruption" after two of them that import the standard library's ssl."""
    code, _, errors = in_subinterpreters("import http.client, ssl")
    if code:
        pytest.skip(f"this Python does not survive ssl in a subinterpreter: {errors.strip()[-80:]}")


@pytest.mark.usefixtures("needs_sane_subinterpreters")
def test_a_subinterpreter_imports_asks_closes_and_ends_and_so_does_the_next() -> None:
    """Of both kinds: an isolated one has no daemon threads, so that its caller looks names up and nobody sweeps."""
    with Httpd({"/": echo}) as server:
        assert in_subinterpreters(REQUESTS.format(url=f"{server.url}/")) == (0, "destroyed\n", "")
        assert server.opened >= 4


@pytest.mark.skipif(sys.version_info < (3, 12), reason="an interpreter with any thread can't be destroyed before 3.12")
@pytest.mark.usefixtures("needs_sane_subinterpreters")
def test_a_subinterpreter_that_ends_with_open_pools_takes_its_thread_along() -> None:
    """CPython ended the whole process for the collector's thread: "Py_EndInterpreter: not the last thread"."""
    with Httpd({"/": echo}) as server:
        assert in_subinterpreters(OPEN.format(url=f"{server.url}/")) == (0, "destroyed\n", "")
