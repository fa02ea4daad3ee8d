"""Programs written for urllib3's types check on poollib: no line is wrongly refused, no wrong line is let through.

Each line of the programs below is checked with ``mypy --strict`` and pyright, once for each library. The wrong lines
are mistakes that people make: a misspelled keyword or name, seconds as text, a result taken for something else.
Promises: docs/moving.rst, "Types".
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def checkers() -> None:
    """Skip these tests, and these alone: where they are not selected, nothing is missing."""
    for name in ("mypy", "pyright", "urllib3"):
        pytest.importorskip(name)


HEAD = """
import io
import logging
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
import LIBRARY
from LIBRARY import BaseHTTPResponse, HTTPConnectionPool, HTTPHeaderDict, HTTPResponse, HTTPSConnectionPool
from LIBRARY import PoolManager, ProxyManager, Retry, Timeout
from LIBRARY.exceptions import HTTPError, MaxRetryError

manager = PoolManager()
pool = HTTPConnectionPool("host.example")
response = manager.request("GET", "https://host.example/")
tls_pool = HTTPSConnectionPool("host.example")
given: dict[str, Any] = {}
context = ssl.create_default_context()
def pieces() -> Iterator[bytes]: yield b"a"
"""

# Accepted with both libraries.
RIGHT = """
result: BaseHTTPResponse = manager.request("GET", "https://host.example/")
text: str = manager.request("GET", "https://host.example/").data.decode()
status: int = manager.request("GET", "https://host.example/", headers={"Accept": "a/b"}).status
kind: str | None = manager.request("GET", "https://host.example/").headers.get("content-type")
answer = manager.request("POST", "https://host.example/", json={"a": [1, None]}).json()
manager.request("GET", "https://host.example/", fields={"a": "b"})
manager.request("POST", "https://host.example/", fields={"a": "b", "file": ("name.txt", b"text", "text/plain")})
manager.request("POST", "https://host.example/", fields=[("a", "1"), ("a", b"2"), ("file", ("name.txt", b"text"))])
manager.request("GET", "https://host.example/", fields={"a": "b", "c": b"d"})
manager.request("POST", "https://host.example/", fields={"a": "b"}, encode_multipart=False)
manager.request("POST", "https://host.example/", body="text", retries=False, redirect=False)
manager.request("PUT", "https://host.example/", body=b"bytes", retries=3, timeout=2.5)
manager.request("PUT", "https://host.example/", body=io.BytesIO(b"a"), timeout=Timeout(connect=1, read=None))
manager.request("PUT", "https://host.example/", body=open("/dev/null", "rb"))
manager.request("PUT", "https://host.example/", body=pieces(), chunked=True)
manager.request("PUT", "https://host.example/", body=[b"a", "b"])
manager.request("GET", "https://host.example/", preload_content=False, decode_content=False)
manager.request("GET", "https://host.example/", headers=HTTPHeaderDict({"a": "b"}))
manager.request("GET", "https://host.example/", retries=Retry(total=3, backoff_factor=0.5), pool_timeout=1)
manager.request("GET", "https://host.example/", enforce_content_length=False, assert_same_host=False)
manager.request("GET", "https://host.example/", **given)
manager.request_encode_url("GET", "https://host.example/", fields={"a": b"b"}).read()
manager.request_encode_body("POST", "https://host.example/", fields={"a": "b"}, multipart_boundary="x").close()
manager.urlopen("GET", "https://host.example/", redirect=False, body=None).release_conn()
found: str | None = response.headers.get("a"); values: list[str] = response.headers.getlist("a")
names: list[str] = list(response.headers); plain: dict[str, str] = dict(response.headers.items())
buffered = io.BufferedReader(response); filled: int = HTTPResponse(b"a").readinto(bytearray(3))
for line in response: print(line + b"")
with response as r: print(r.status + 1, b"".join(r.read_chunked()))
if response.connection is not None: response.connection.close()
for piece in manager.request("GET", "https://host.example/", preload_content=False).stream(1024): print(piece + b"")
with PoolManager(num_pools=5, maxsize=3, block=True, timeout=Timeout(3), retries=Retry(2)) as p: p.clear()
with PoolManager(cert_reqs="CERT_REQUIRED", ca_certs="/a.pem", ssl_context=context) as p: p.request("GET", "http://h")
with PoolManager(cert_file="/a.pem", key_file="/b.pem", key_password="c", assert_fingerprint="aa") as p: p.clear()
PoolManager(10, {"User-Agent": "a"}, source_address=("127.0.0.1", 0), socket_options=[(1, 2, 3)])
PoolManager(**given)
number: int = len(manager.pools)
other: HTTPConnectionPool = manager.connection_from_url("https://host.example/")
other = manager.connection_from_host("host.example", 443, scheme="https")
other = manager.connection_from_host("host.example", pool_kwargs={"maxsize": 3})
ProxyManager("http://proxy.example:3128", proxy_headers={"a": "b"}, maxsize=2).request("GET", "http://h")
ProxyManager("https://proxy.example", proxy_ssl_context=context, use_forwarding_for_https=True)
LIBRARY.proxy_from_url("http://proxy.example:3128", num_pools=3).clear()
with HTTPConnectionPool("host.example", 80, timeout=3, maxsize=2, block=True) as q: q.request("GET", "/", timeout=1)
with HTTPSConnectionPool("host.example", ca_certs="/a.pem", assert_hostname=False) as s: s.urlopen("GET", "/").data
HTTPSConnectionPool("host.example", ssl_context=context, ssl_minimum_version=ssl.TLSVersion.TLSv1_3)
with LIBRARY.connection_from_url("https://host.example", maxsize=2) as q: q.request("GET", "/")
pool.urlopen("GET", "/", None, {"a": "b"}, retries=Retry(3, redirect=2), release_conn=True).status
pool.urlopen("POST", "/", body=b"a", headers={"a": "b"}, pool_timeout=1, decode_content=False)
pool.close()
LIBRARY.request("GET", "https://host.example/", timeout=3, retries=False).json()
LIBRARY.request("POST", "https://host.example/", json={"a": 1}, headers={"a": "b"}).status
LIBRARY.disable_warnings(LIBRARY.exceptions.InsecureRequestWarning)
handler: logging.Handler = LIBRARY.add_stderr_logger(logging.INFO)
headers: Mapping[str, str] = LIBRARY.make_headers(basic_auth="a:b", accept_encoding=True, user_agent="c")
data, content_type = LIBRARY.encode_multipart_formdata({"a": "b"}); print(data + b"", content_type + "")
retry = Retry(total=5, status_forcelist=[502, 503], allowed_methods={"GET"}, raise_on_status=False).new(total=3)
left: int | bool | None = Retry(3).total
wait: float = Retry(3).get_backoff_time()
limit = Timeout(connect=2, read=5, total=10).clone()
fields = HTTPHeaderDict({"a": "b"}); fields.add("a", "c"); lines: list[str] = fields.getlist("a")
made = HTTPResponse(body=io.BytesIO(b"a"), headers={"a": "b"}, status=200, preload_content=False).read(1) + b""
try: manager.request("GET", "https://host.example/")
except MaxRetryError as error: print(error.reason, error.url, error.pool)
except (HTTPError, LIBRARY.exceptions.TimeoutError): pass
class Mine(PoolManager): limit = 3
with Mine(num_pools=3) as mine: print(mine.limit + 1)
class Logged(HTTPConnectionPool):
    def urlopen(self, method: str, url: str, *args: Any, **kw: Any) -> BaseHTTPResponse:
        return super().urlopen(method, url, *args, **kw)
class Owner(PoolManager):
    def request(self, method: str, url: str, *args: Any, **kw: Any) -> BaseHTTPResponse:
        return super().request(method, url, *args, **kw)
class Own(HTTPConnectionPool): scheme = "http"
with Own("host.example") as own: own.close()
address = LIBRARY.util.parse_url("https://host.example:443/a?b").host
"""

# urllib3's paths below the package.
PATHS = """
from LIBRARY.util.retry import Retry as R
from LIBRARY.util.timeout import Timeout as T
from LIBRARY.util.url import Url, parse_url
from LIBRARY.util.ssl_ import create_urllib3_context
from LIBRARY.util import make_headers
from LIBRARY.util.connection import create_connection
from LIBRARY.fields import RequestField
from LIBRARY.filepost import choose_boundary, encode_multipart_formdata
from LIBRARY.connection import HTTPConnection, HTTPSConnection
from LIBRARY.connectionpool import connection_from_url
from LIBRARY.poolmanager import PoolManager as M, proxy_from_url
from LIBRARY.response import HTTPResponse as Response
from LIBRARY.exceptions import ReadTimeoutError, SSLError
M(retries=R(3), timeout=T(total=3)).request("GET", Url("https", host="host.example").url).status
M(ssl_context=create_urllib3_context()).request("POST", "http://h", fields=[RequestField("a", b"b")])
"""

# Mistakes. What urllib3's types find, poollib's find, too.
WRONG = """
LIBRARY.PoolManger()
LIBRARY.util.Retri(3)
LIBRARY.exceptions.HTTPErorr
manager.requests("GET", "https://host.example/")
manager.request("GET")
manager.request("GET", 5)
manager.request(b"GET", "https://host.example/")
manager.request("GET", "https://host.example/", headers={"a": 1})
manager.request("GET", "https://host.example/", headers=["a: b"])
manager.request("POST", "https://host.example/", body=5)
manager.request("POST", "https://host.example/", body=[1, 2])
manager.request("POST", "https://host.example/", fields="a=b")
manager.request("POST", "https://host.example/", fields={"a": object()})
manager.request("POST", "https://host.example/", fields={1: "b"})
manager.request_encode_url("GET", "https://host.example/", fields={"a": ("name", b"text")})
manager.request_encode_body("POST", "https://host.example/", encode_multipart="no")
manager.request("GET", "https://host.example/").txt
manager.request("GET", "https://host.example/").data + "text"
manager.request("GET", "https://host.example/").status_code
manager.request("GET", "https://host.example/").status + "0"
manager.request("GET", "https://host.example/").read("all")
manager.request("GET", "https://host.example/", timout=3)
manager.request("GET", "https://host.example/", timeout="3")
manager.request("GET", "https://host.example/", retries="3")
manager.request("GET", "https://host.example/", retry=Retry(3))
manager.request("GET", "https://host.example/", preload=False)
manager.request("GET", "https://host.example/", redirects=False)
manager.request("GET", "https://host.example/", params={"a": "b"})
manager.request("GET", "https://host.example/", pool_timeout="1")
manager.request("GET", "https://host.example/", verify=False)
manager.urlopen("GET", "https://host.example/", redirect=False, timout=3)
PoolManager(num_pools="5")
PoolManager(max_size=3)
PoolManager(timeout="3")
PoolManager(headers={"a": 1})
PoolManager(maxsize="3")
PoolManager(ca_cert="/a.pem")
PoolManager(blocking=True)
ProxyManager()
ProxyManager("http://proxy.example", proxy_header={"a": "b"})
ProxyManager("http://proxy.example", proxy_headers="a: b")
ProxyManager("http://proxy.example", use_forwarding_for_https="yes", maxsize=None)
LIBRARY.proxy_from_url("http://proxy.example", pools=3)
LIBRARY.connection_from_url("https://host.example", max_size=3)
LIBRARY.request("GET", "https://host.example/", timout=3)
LIBRARY.request("GET", "https://host.example/", retries="3")
LIBRARY.request("GET", "https://host.example/", timeout="3")
LIBRARY.request("GET", "https://host.example/", body={1})
response.headers.get("a") + "b"
response.headers.getlist("a") + "b"
response.connection.close()
with response as r: r.status_code
for line in response: line + "a"
HTTPResponse(body=5)
HTTPResponse(b"a", staus=200)
HTTPResponse(b"a", connection=5)
HTTPResponse(b"a").readinto(5)
LIBRARY.connection.HTTPConnection("host.example").request("GET", "/", body=5)
ProxyManager("http://proxy.example").proxy_headers["a"] + 1
MaxRetryError("a")
HTTPHeaderDict([("a", 5)])
HTTPConnectionPool()
HTTPConnectionPool("host.example", "80")
HTTPConnectionPool("host.example", maxsize="3")
HTTPConnectionPool("host.example", max_size=3)
HTTPConnectionPool("host.example", headers="a: b")
HTTPSConnectionPool("host.example", ca_certs=5)
HTTPSConnectionPool("host.example", cert_reqs=[1])
HTTPSConnectionPool("host.example", ssl_contxt=context)
pool.urlopen("GET", "/", timeout="3")
pool.urlopen("GET", "/", retries="3")
pool.urlopen("GET", "/", body=5)
pool.urlopen("GET", "/", timout=3)
pool.urlopen("GET", "/").status + "0"
pool.request("GET", "/", pool_timeout=[1])
with PoolManager() as p: p.request_json("GET", "https://host.example/")
with HTTPConnectionPool("host.example") as q: q.closes()
Retry(total="3")
Retry(tries=3)
Retry(3, status_forcelist=503)
Retry(3).increment(method=5)
Timeout(connect="3")
Timeout(conect=3)
Timeout(3).clone(4)
HTTPHeaderDict({"a": "b"}).getlst("a")
HTTPHeaderDict({"a": "b"}).add("a", 5)
HTTPHeaderDict({"a": "b"})["a"] + 1
LIBRARY.make_headers(basic_auth=("a", "b"))
LIBRARY.make_headers(user_agnt="a")
LIBRARY.encode_multipart_formdata("a=b")
LIBRARY.encode_multipart_formdata({"a": object()})
LIBRARY.disable_warnings("all")
LIBRARY.util.parse_url(5)
LIBRARY.util.parse_url("https://host.example").hostnme
"""

# What goes beyond urllib3, and is right.
BEYOND = """
poollib.Client("https://h").get("a", params={"n": 1}, headers={"Accept": None}, timeout=2).json()
from pathlib import Path
from poollib import CircuitBreaker, EventSource, Limits, Proxy, RetryBudget, Trace, download
with PoolManager(total_maxsize=9, idle_timeout=30, max_lifetime=300, min_idle=1, acquire_timeout=2) as p: p.close_all()
with PoolManager(proxies="env", dns_cache=60, resolve={"a.example": ["::1"]}) as p: p.clear()
with PoolManager(proxies={"https": Proxy("https://proxy.example", headers={"a": "b"}), "no_proxy": "a"}) as p: p.clear()
with PoolManager(ca_certs=Path("/a.pem"), cert_file=b"-----BEGIN", key_file=Path("/b.pem")) as p: p.clear()
with PoolManager(allowed_hosts=["*.example"], blocked_networks=["private", "10.0.0.0/8"]) as p: p.clear()
with PoolManager(circuit_breaker=CircuitBreaker(3, 10.0), health_check_interval=60, trace=Trace()) as p: p.clear()
with PoolManager(max_response_size=1 << 20, limits=Limits(header_lines=50)) as p: p.clear()
version: str = poollib.__version__
connection = poollib.connection.HTTPConnection("host.example"); connection.request("PUT", "/", body=[b"a"])
from poollib.contrib.socks import SOCKSHTTPSConnectionPool, SOCKSProxyManager
from poollib.policy.proxy_rules import socks_options
SOCKSProxyManager("socks5h://proxy.example", username="a", maxsize=3).request("GET", "https://host.example/").status
SOCKSHTTPSConnectionPool("host.example", maxsize=3, _socks_options=socks_options(poollib.util.parse_url("a")))
with PoolManager.from_env(maxsize=3) as p: p.clear()
count: int = manager.stats()["total"]["requests"]; reasons: dict[str, int] = manager.stats()["total"]["dropped"]
shown: str = manager.health()["status"]; waiting: int = pool.health()["waiting"]
tls_pool.stats()["bytes_received"] + 1
poollib.util.retry.Retry(3), poollib.util.Timeout(3), poollib.util.connection.create_connection
manager.request("PUT", "https://host.example/", body=bytearray(b"a"), expect_continue=True, trailers={"a": "b"})
manager.request("PUT", "https://host.example/", fields={"file": open("/dev/null", "rb")}, max_decoded_size=5)
manager.request("GET", "https://host.example/", timeout=Timeout(deadline=3), retries=Retry(3, budget=RetryBudget(0.1)))
manager.request("POST", "https://host.example/", fields={"a": "b"}.items(), body=None)
manager.request_encode_url("GET", "https://host.example/", fields=(pair for pair in [("a", "b")]))
manager.request("PUT", "https://host.example/", body=memoryview(b"a"), headers={}, max_response_size=9)
PoolManager(socket_options=[*poollib.connection.HTTPConnection.default_socket_options, (1, 2, 3)])
class Patient(Retry):
    def increment(
        self, method: str | None = None, url: str | None = None, response: BaseHTTPResponse | None = None,
        error: Exception | None = None, _pool: Any = None, _stacktrace: Any = None,
    ) -> Retry: return self
pool.urlopen("POST", "/", json={"a": 1}, enforce_content_length=False)
with manager.pool_for("https://host.example", timeout=3) as named: named.request("GET", "/")
with poollib.Client("https://host.example", params={"c": [1, None]}, maxsize=3) as client: client.get("/")
body_text: str = poollib.Client().post("https://host.example/", json={"a": 1}, timeout=3).raise_for_status().text
with manager.client("https://host.example", streaming=True, maxsize=2).stream("GET", "x") as r: print(r.read(1) + b"")
HTTPConnectionPool("host.example", uds=Path("/run/a.sock"))
size: int = download("https://host.example/", Path("/a"), manager=manager, timeout=3, resume=False).size_bytes
with EventSource("https://host.example/", manager=manager, timeout=3) as source: print(next(iter(source)).data + "")
"""

# What goes beyond urllib3, and is wrong.
WRONG_BEYOND = """
poollib.Client("https://h").get("a", parameters={"n": 1})
manager.stats()["totl"]
manager.stats()["total"]["request"]
manager.health()["state"]
pool.stats()["requests"] + "0"
pool.health()["idel"]
PoolManager(idle_timout=3)
PoolManager(proxies=5)
PoolManager(limits=5)
PoolManager.from_env(max_size=3)
poollib.Limits(fields=5)
poollib.Proxy("http://proxy.example", header={"a": "b"})
from poollib.contrib.socks import SOCKSProxyManager; SOCKSProxyManager("socks5://proxy.example", max_size=3)
poollib.download("https://host.example/", "/a", timout=3)
poollib.EventSource("https://host.example/", timout=3)
manager.pool_for("https://host.example", timout=3)
poollib.Client("https://host.example", timout=3)
poollib.Client("https://host.example").get("/", timout=3)
manager.client("https://host.example", param={"a": "b"})
"""

PROGRAMS = {
    "right_poollib": HEAD + RIGHT + PATHS,
    "right_urllib3": HEAD.replace("import LIBRARY\n", "import LIBRARY.util\n") + RIGHT + PATHS,
    "wrong_poollib": HEAD + WRONG,
    "wrong_urllib3": HEAD.replace("import LIBRARY\n", "import LIBRARY.util\n") + WRONG,
    "beyond_poollib": HEAD + BEYOND,
    "wrong_beyond_poollib": HEAD + WRONG_BEYOND,
}


def by_mypy(folder: Path) -> set[tuple[str, int]]:
    """Program and line of each error."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ".mypy_cache", "--no-error-summary", "."]
    environment = {"MYPYPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert not done.stderr, done.stderr
    return {(match[1], int(match[2])) for match in re.finditer(r"^(\w+)\.py:(\d+): error:", done.stdout, re.M)}


def by_pyright(folder: Path) -> set[tuple[str, int]]:
    """Program and line of each error."""
    settings = {"extraPaths": [str(ROOT)], "reportUnusedExpression": False}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    told = json.loads(done.stdout)["generalDiagnostics"]
    return {
        (Path(each["file"]).stem, each["range"]["start"]["line"] + 1) for each in told if each["severity"] == "error"
    }


@pytest.fixture(scope="module", params=[by_mypy, by_pyright])
def flagged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The lines of each program that a checker refuses."""
    folder = tmp_path_factory.mktemp("types")
    lines = {}
    for name, program in PROGRAMS.items():
        text = program.replace("LIBRARY", name.rpartition("_")[2])
        (folder / f"{name}.py").write_text(text)
        lines[name] = program.splitlines()
    found: dict[str, set[str]] = {name: set() for name in PROGRAMS}
    for name, line in request.param(folder):
        found[name].add(lines[name][line - 1])
    return found


def test_right_lines_are_accepted(flagged: dict[str, set[str]]) -> None:
    assert not flagged["right_urllib3"], "no line of a program for urllib3"
    assert not flagged["right_poollib"]
    assert not flagged["beyond_poollib"]


def test_every_wrong_line_that_urllib3_finds_is_found(flagged: dict[str, set[str]]) -> None:
    assert not flagged["wrong_urllib3"] - flagged["wrong_poollib"]


def test_wrong_lines_are_found(flagged: dict[str, set[str]]) -> None:
    assert flagged["wrong_poollib"] == set(WRONG.splitlines()) - {""}
    assert flagged["wrong_beyond_poollib"] == set(WRONG_BEYOND.splitlines()) - {""}
