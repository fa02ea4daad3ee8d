"""poollib under urllib3's names: paths, purges, patches, loggers, and the way back."""

from __future__ import annotations

import dis
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import logging
import pickle
import queue
import sys
import types
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

import poollib
import poollib.compat
from poollib.compat import module_alias, module_paths, run_as_urllib3
from poollib.net.certificates import CertificateError


@pytest.fixture
def installed() -> Iterator[types.ModuleType]:
    """``urllib3``, as it is while poollib is installed so; what the process had before comes back."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "urllib3"}
    poollib.install_as_urllib3(force=True)
    yield importlib.import_module("urllib3")
    poollib.uninstall_as_urllib3()
    after = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "urllib3"}
    assert after == before


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("path", sorted({*module_paths.ALIASES, *module_paths.THIN, *module_paths.PACKAGES} - {""}))
def test_every_path_of_urllib3_can_be_imported(path: str) -> None:
    module = importlib.import_module(f"urllib3.{path}")
    if path in module_paths.ALIASES:
        assert module is importlib.import_module(f"poollib.{module_paths.ALIASES[path]}")
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("path", sorted({*module_paths.THIN, *module_paths.EXTRAS}))
def test_every_name_of_the_tables_is_there(path: str) -> None:
    tables = {
        **module_paths.THIN.get(path, {}),
        **(module_paths.EXTRAS.get(path, {}) if path not in module_paths.THIN else {}),
    }
    if path in module_paths.THIN:
        module = importlib.import_module(f"urllib3.{path}".rstrip("."))
    else:
        paths = [own for own, module in module_paths.ALIASES.items() if module == path]
        module = importlib.import_module(f"urllib3.{paths[0]}")
    for words in tables.values():
        for word in words.split():
            assert hasattr(module, word.partition("=")[0]), word


def test_no_name_that_is_added_hides_a_builtin_that_the_room_uses() -> None:
    """A module's code looks names up in the module first: an added ``TimeoutError`` must not change what it catches.

    Names at the top of a module are looked up before any can be added.
    """
    import builtins

    for name, sources in module_paths.EXTRAS.items():
        module = importlib.import_module(f"poollib.{name}")
        with open(str(module.__file__), encoding="utf-8") as file:
            top = compile(file.read(), name, "exec")
        own = {line.argval for line in dis.get_instructions(top) if line.opname == "STORE_NAME"}
        inner = (code for code in top.co_consts if isinstance(code, types.CodeType))
        words = {word for code in inner for word in compiled_names(code)}
        for source, extras in sources.items():
            for extra in extras.split():
                extra = extra.partition("=")[0]
                if hasattr(builtins, extra) and extra in words and extra not in own:
                    raise AssertionError(f"{name}: {extra} from {source}")


def compiled_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from compiled_names(constant)


def test_the_version_is_that_of_the_interface(installed: types.ModuleType) -> None:
    assert installed.__version__ == importlib.import_module("urllib3._version").version == "2.8.0"
    assert installed.connectionpool.HTTPConnectionPool is poollib.HTTPConnectionPool
    assert installed.util.retry.Retry is installed.Retry is poollib.Retry
    assert installed.request is poollib.request


def test_importing_urllib3_registers_what_others_look_for(installed: types.ModuleType) -> None:
    """requests gives every ``urllib3.*`` in sys.modules a second name, and google-auth imports by that one."""
    assert "urllib3.util.ssl_" in sys.modules
    assert "urllib3.exceptions" in sys.modules


def test_a_purge_of_sys_modules_changes_nothing(installed: types.ModuleType) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "urllib3"]:
        del sys.modules[name]
    assert importlib.import_module("urllib3") is installed
    assert importlib.import_module("urllib3.connection") is poollib.connection


class Hooks:
    """The import hooks of an agent that came first: it stands before all finders and tells what was imported.

    As New Relic's and wrapt's do, it goes by the name that a module has when it has been executed.
    """

    def __init__(self, *names: str) -> None:
        self.waited_for, self.busy = names, False
        self.seen: dict[str, types.ModuleType] = {}

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if self.busy or name not in self.waited_for:
            return None
        self.busy = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.busy = False
        assert spec is not None
        spec.loader = Hooked(spec.loader, self.seen)
        return spec


class Hooked(importlib.abc.Loader):
    def __init__(self, usual: Any, seen: dict[str, types.ModuleType]) -> None:
        self.usual, self.seen = usual, seen

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module: types.ModuleType = self.usual.create_module(spec)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        self.usual.exec_module(module)
        self.seen[module.__name__] = module


def without_urllib3(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "urllib3"]:
        monkeypatch.delitem(sys.modules, name)


def test_import_hooks_that_wait_for_urllib3s_modules_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that was there first, as with newrelic-admin and ddtrace-run, missed them."""
    without_urllib3(monkeypatch)
    hooks = Hooks("urllib3", "urllib3.connection", "urllib3.connectionpool", "urllib3.util", "urllib3.util.retry")
    monkeypatch.setattr(sys, "meta_path", [hooks, *sys.meta_path])
    poollib.install_as_urllib3()
    try:
        assert set(hooks.seen) == set(hooks.waited_for)
        assert hooks.seen["urllib3.connectionpool"] is poollib.connectionpool is sys.modules["urllib3.connectionpool"]
        assert poollib.connectionpool.__name__ == "poollib.connectionpool"
        assert sys.meta_path[0] is not hooks
    finally:
        poollib.uninstall_as_urllib3()


def test_no_finder_that_stands_before_others_has_another_urllib3(monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(importlib.abc.Loader, importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
            return importlib.machinery.ModuleSpec(name, self) if name == "urllib3" else None

        def exec_module(self, module: types.ModuleType) -> None:
            sys.modules["urllib3.theirs"] = module

    without_urllib3(monkeypatch)
    monkeypatch.setattr(sys, "meta_path", [Theirs(), *sys.meta_path])
    poollib.install_as_urllib3()
    try:
        assert importlib.import_module("urllib3").PoolManager is poollib.PoolManager
        assert "urllib3.theirs" not in sys.modules
    finally:
        poollib.uninstall_as_urllib3()


@pytest.mark.usefixtures("installed")
def test_what_urllib3_has_not_is_not_found() -> None:
    for name in ("urllib3.packages", "urllib3.contrib.pyopenssl", "urllib3.util.nothing"):
        with pytest.raises(ModuleNotFoundError, match="poollib"):
            importlib.import_module(name)


def test_rooms_keep_their_own_specs(installed: types.ModuleType) -> None:
    spec = importlib.import_module("urllib3.connectionpool").__spec__
    assert spec is not None
    assert spec.name == "poollib.connectionpool"


def test_patching_a_thin_module_patches_the_module(installed: types.ModuleType) -> None:
    usual = poollib.net.tls.ssl_wrap_socket  # type: ignore[attr-defined]
    with mock.patch("urllib3.util.ssl_wrap_socket", "patched"):
        assert poollib.net.tls.ssl_wrap_socket == "patched"  # type: ignore[attr-defined]
    assert poollib.net.tls.ssl_wrap_socket is usual  # type: ignore[attr-defined]
    with mock.patch.object(installed, "PoolManager", "patched"):
        assert poollib.PoolManager == "patched"
    assert installed.PoolManager is poollib.poolmanager.PoolManager
    installed.own = 1
    assert installed.own == 1
    del installed.own


def test_a_name_of_a_thin_module_may_be_patched_twice_and_deleted(
    installed: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest takes a patch back by deleting the name where it was not in the module's dictionary before."""
    usual = poollib.net.dial.create_connection  # type: ignore[attr-defined]
    connection = importlib.import_module("urllib3.util.connection")
    for _ in range(2):
        with monkeypatch.context() as patch:
            for value in ("first", "second"):
                patch.setattr(connection, "create_connection", value)
                assert poollib.net.dial.create_connection == value  # type: ignore[attr-defined]
        assert poollib.net.dial.create_connection is connection.create_connection is usual  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.delattr(connection, "create_connection")
        assert not hasattr(poollib.net.dial, "create_connection")  # type: ignore[attr-defined]
    assert poollib.net.dial.create_connection is connection.create_connection is usual  # type: ignore[attr-defined]


def test_loggers_have_urllib3s_names(installed: types.ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    assert poollib.connectionpool.log.name == "urllib3.connectionpool"
    assert poollib.policy.retry.log.name == "urllib3.util.retry"
    with caplog.at_level(logging.DEBUG, "urllib3"):
        handler = installed.add_stderr_logger()
        logging.getLogger("urllib3").removeHandler(handler)
    assert [record.name for record in caplog.records] == ["urllib3"]
    poollib.uninstall_as_urllib3()
    assert poollib.connectionpool.log.name == "poollib.connectionpool"
    poollib.install_as_urllib3(force=True)


def test_requests_name_urllib3_as_their_agent(installed: types.ModuleType) -> None:
    """Servers and tests that look at ``User-Agent`` see ``python-poollib`` only where a program says poollib."""

    def sent() -> bytes:
        return poollib.connection.HTTPConnection("a.example")._common_fields(
            "/", poollib.http1.request_head.prepare_fields([])
        )

    assert b"\r\nUser-Agent: python-urllib3/2.8.0\r\n" in sent()
    assert installed.connection._get_default_user_agent() == "python-urllib3/2.8.0"
    poollib.uninstall_as_urllib3()
    assert b"\r\nUser-Agent: python-poollib/" in sent()
    poollib.install_as_urllib3(force=True)


def test_an_imported_urllib3_is_an_error_unless_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "urllib3"]:
        monkeypatch.delitem(sys.modules, name)
    other = types.ModuleType("urllib3")
    monkeypatch.setitem(sys.modules, "urllib3", other)
    with pytest.raises(ImportError, match="force=True"):
        poollib.install_as_urllib3()
    assert not poollib.compat.is_installed()
    poollib.install_as_urllib3(force=True)
    poollib.install_as_urllib3()
    assert importlib.import_module("urllib3") is not other
    poollib.uninstall_as_urllib3()
    poollib.uninstall_as_urllib3()
    assert sys.modules["urllib3"] is other


def test_import_poollib_as_urllib3_has_all_modules() -> None:
    import poollib as urllib3

    assert urllib3.util.retry.Retry is urllib3.util.Retry is poollib.Retry
    assert urllib3.contrib.socks.SOCKSProxyManager.__name__ == "SOCKSProxyManager"
    assert urllib3.fields.RequestField is urllib3.filepost.RequestField
    assert urllib3.util.ssl_ is importlib.import_module("poollib.net.tls")
    assert importlib.import_module("poollib.util.timeout").Timeout is poollib.Timeout
    with pytest.raises(AttributeError, match="nothing"):
        urllib3.nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("poollib.util.nothing")


def test_errors_pickle_by_poollibs_names(installed: types.ModuleType) -> None:
    error = installed.exceptions.MaxRetryError(None, "/", None)
    assert pickle.loads(pickle.dumps(error)).url == "/"


def test_an_unknown_path_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        module_alias.module("nothing")


def test_as_urllib3_runs_scripts_and_modules(
    tmp_path: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{tmp_path}/program.py"
    with open(path, "w") as file:
        file.write("import sys, urllib3\nprint(urllib3.__version__, sys.argv[1:], __name__)\n")
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "urllib3"}
    for name in before:
        monkeypatch.delitem(sys.modules, name)
    try:
        assert run_as_urllib3.main([path, "a", "-b"]) == 0
        monkeypatch.chdir(str(tmp_path))
        assert run_as_urllib3.main(["-m", "program", "c"]) == 0
    finally:
        poollib.uninstall_as_urllib3()
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["2.8.0 ['a', '-b'] __main__", "2.8.0 ['c'] __main__"]


@pytest.mark.parametrize("words", [[], ["-m"], ["-x"]])
def test_as_urllib3_wants_a_program(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_as_urllib3.main(words) == 2
    assert "usage" in capsys.readouterr().err
    assert run_as_urllib3.main(["--help"]) == 0


# -- helpers --


def test_the_memory_of_http2_lets_one_find_out() -> None:
    from poollib.compat import http2_probe

    assert http2_probe.acquire_and_get("h", 1) is None
    http2_probe.set_and_release("h", 1, False)
    assert http2_probe.acquire_and_get("h", 1) is False
    assert http2_probe._values() == {("h", 1): False}
    with pytest.raises(ValueError, match="reset"):
        http2_probe.set_and_release("h", 1, None)
    http2_probe._reset()
    assert http2_probe._values() == {}
    with pytest.raises(ImportError, match=r"HTTP/1\.1"):
        http2_probe.inject_into_urllib3()
    assert http2_probe.extract_from_urllib3() is None  # type: ignore[func-returns-value]


def test_helpers_do_what_their_names_say() -> None:
    import email.message
    import http.client
    import io
    import queue

    from poollib.compat import private_names

    conn = poollib.connection.HTTPConnection("h", 81)
    assert private_names._url_from_connection(conn, "/p") == "http://h:81/p"
    assert private_names._normalize_header_value("a\r\n b") == "a b"
    assert private_names._remove_path_dot_segments("/a/../b/./c") == "/b/c"
    assert private_names._encode_invalid_chars("a b%20é", {"a", "é"}) == "a%20%62%%32%30%C3%A9"
    assert private_names._encode_invalid_chars("/ü?".encode(), private_names._PATH_CHARS) == "/%C3%BC%3F"
    assert "only use HTTP" in str(private_names._wrap_proxy_error(OSError("wrong version number"), "https"))
    with pytest.raises(ValueError, match="Unable"):
        private_names.is_fp_closed(object())
    assert private_names.is_fp_closed(types.SimpleNamespace(fp=None))
    assert private_names.is_response_to_head(types.SimpleNamespace(_method="HEAD"))
    good = http.client.parse_headers(io.BytesIO(b"A: b\r\n\r\n"))
    private_names.assert_header_parsing(good)
    bad = http.client.parse_headers(io.BytesIO(b"A: b\r\nbroken\r\nC: d\r\n\r\n"))
    with pytest.raises(poollib.exceptions.HeaderParsingError):
        private_names.assert_header_parsing(bad)
    with pytest.raises(TypeError):
        private_names.assert_header_parsing(email.message.Message())  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        private_names.reraise(KeyError, KeyError("x"))
    waiting: queue.LifoQueue[object] = queue.LifoQueue()
    closed = mock.Mock()
    waiting.put(closed)
    waiting.put(None)
    private_names._close_pool_connections(waiting)
    closed.close.assert_called_once_with()


def test_small_helpers_do_what_their_names_say() -> None:
    """Those of urllib3.connection, .util.url, .util.ssl_ and .util.response that others import."""
    import email.message
    import io
    import re

    from poollib.compat import private_names

    assert private_names._get_default_user_agent().startswith("python-poollib/")
    message = email.message.Message()
    message["A"], message["B"] = "one\r\n two", "three"
    assert private_names._normalize_header_values(message) == [("A", "one two"), ("B", "three")]  # type: ignore[arg-type]
    assert message.items() == [("A", "one two"), ("B", "three")]
    for scheme, error, has_hint in (
        ("https", OSError("[SSL] wrong version number"), True),
        ("https", OSError("unknown protocol"), True),
        ("https", OSError("refused"), False),
        ("http", OSError("wrong version number"), False),
        (None, OSError("refused"), False),
    ):
        wrapped = private_names._wrap_proxy_error(error, scheme)
        assert (wrapped.original_error, "only use HTTP" in str(wrapped)) == (error, has_hint)
    file = io.BytesIO()
    assert not private_names.is_fp_closed(file)
    file.close()
    assert private_names.is_fp_closed(file)
    assert private_names.is_fp_closed(types.SimpleNamespace(isclosed=lambda: True, closed=False))
    assert private_names._is_has_never_check_common_name_reliable("OpenSSL 3.0.0")
    assert not private_names._is_has_never_check_common_name_reliable("LibreSSL 3.0.0")
    triple = re.compile("(?:%[0-9a-fA-F]{2})+")

    def match(text: str) -> re.Match[str]:
        found = triple.fullmatch(text)
        assert found is not None
        return found

    assert private_names._decode_percent_encoding(match("%c3%a9"), error_host="h") == "é"
    with pytest.raises(poollib.exceptions.LocationParseError, match="h"):
        private_names._decode_percent_encoding(match("%ff"), error_host="h")
    assert [private_names._normalize_host_percent_encoding(match(text)) for text in ("%41", "%2f", "%c3")] == [
        "A",
        "%2F",
        "%C3",
    ]
    assert private_names._normalize_zone_id_percent_encoding(match("%2f"), error_host="h") == "%2F"
    assert private_names._encode_invalid_chars(None, "ab") is None


@pytest.mark.parametrize("name", ["[::1]", "::1"])
def test_the_brackets_of_an_address_do_not_count(name: str) -> None:
    """urllib3's _match_hostname; a name in brackets is no name."""
    from poollib.compat import private_names

    certificate = {"subjectAltName": (("IP Address", "::1"), ("DNS", "a.example"))}
    private_names._match_hostname(certificate, name)
    private_names._match_hostname(certificate, "a.example")
    with pytest.raises(CertificateError):
        private_names._match_hostname(certificate, "[a.example]")


TLS_WISHES = """cert_reqs ssl_version ssl_minimum_version ssl_maximum_version cert_file key_file key_password ca_certs
ca_cert_dir ca_cert_data assert_hostname assert_fingerprint server_hostname ssl_context"""
TLS_DEFAULTS: dict[str, object] = dict.fromkeys(TLS_WISHES.split())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("settings", "is_verified"),
    [
        ({}, True),
        ({"cert_reqs": "CERT_REQUIRED"}, True),
        ({"cert_reqs": "CERT_NONE"}, False),
        ({"cert_reqs": "CERT_OPTIONAL"}, False),
        ({"assert_hostname": "127.0.0.1"}, True),
        ({"assert_hostname": False}, True),
        ({"cert_reqs": "CERT_NONE", "assert_fingerprint": "right"}, True),
        ({"assert_fingerprint": "0" * 64}, None),
        ({"assert_hostname": "other.example"}, None),
        ({"server_hostname": "other.example"}, None),
    ],
    ids=str,
)
def test_a_socket_is_wrapped_and_matched_by_urllib3s_private_name(
    settings: dict[str, object], is_verified: bool | None
) -> None:
    """As those call it who write connections of their own; None: refused, and the socket is closed."""
    import hashlib
    import socket
    import ssl

    from poollib.compat import private_names
    from tests.support.certs import certs
    from tests.support.script import ScriptServer, expect_end

    if settings.get("assert_fingerprint") == "right":
        settings = {**settings, "assert_fingerprint": hashlib.sha256(certs().pair().der).hexdigest()}
    with ScriptServer([expect_end()], tls=certs().server()) as server:
        given = {**TLS_DEFAULTS, "ca_certs": certs().ca_file, "server_hostname": "localhost", **settings}
        with socket.create_connection((server.host, server.port)) as sock:
            if is_verified is None:
                with pytest.raises((ssl.SSLError, poollib.exceptions.SSLError, CertificateError)):
                    private_names._ssl_wrap_socket_and_match_hostname(sock, **given)  # type: ignore[arg-type]
                return
            made = private_names._ssl_wrap_socket_and_match_hostname(sock, **given)  # type: ignore[arg-type]
            with made.socket:
                assert isinstance(made.socket, ssl.SSLSocket)
                assert made.is_verified is is_verified


def test_a_context_of_the_callers_is_used_as_it_is() -> None:
    """And its check of names is not done twice."""
    import socket
    import ssl

    from poollib.compat import private_names
    from tests.support.certs import certs
    from tests.support.script import ScriptServer, expect_end

    context = ssl.create_default_context(cafile=certs().ca_file)
    poollib.install_as_urllib3(force=True)
    try:
        with ScriptServer([expect_end()], tls=certs().server()) as server:
            given = {**TLS_DEFAULTS, "ssl_context": context, "server_hostname": "localhost"}
            with socket.create_connection((server.host, server.port)) as sock:
                made = private_names._ssl_wrap_socket_and_match_hostname(sock, **given)  # type: ignore[arg-type]
                with made.socket:
                    assert made.socket.context is context
                    assert made.is_verified
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        sock, far = socket.socketpair()
        with far, sock, pytest.raises(poollib.exceptions.SSLError, match="asks for more"):
            asked = {**given, "cert_reqs": "CERT_REQUIRED"}
            private_names._ssl_wrap_socket_and_match_hostname(sock, **asked)  # type: ignore[arg-type]
    finally:
        poollib.uninstall_as_urllib3()


def test_a_waiter_for_http2_hears_what_was_found_out_meanwhile() -> None:
    """One finds out, the others wait for that."""
    import threading

    from poollib.compat import http2_probe

    http2_probe._reset()
    assert http2_probe.acquire_and_get("h", 1) is None
    heard: list[bool | None] = []
    waiter = threading.Thread(target=lambda: heard.append(http2_probe.acquire_and_get("h", 1)), daemon=True)
    waiter.start()
    waiter.join(0.01)
    assert waiter.is_alive()
    http2_probe.set_and_release("h", 1, True)
    waiter.join(5)
    assert heard == [True]
    http2_probe._reset()


# -- modules --


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("urllib3", {"PoolManager", "util", "contrib", "connectionpool", "exceptions"}),
        ("urllib3.util", {"Retry", "retry", "ssl_", "timeout", "url"}),
        ("urllib3.contrib", {"socks"}),
        ("urllib3.util.url", {"Url", "parse_url"}),
    ],
)
def test_dir_tells_names_and_inner_modules(path: str, wanted: set[str]) -> None:
    """As completion and documentation tools ask for them."""
    module = importlib.import_module(path)
    module_paths = dir(module)
    assert wanted <= set(module_paths)
    assert not {"_owners", "_path"} & set(module_paths)
    assert all(hasattr(module, name) for name in wanted)


def test_a_rooms_own_import_by_the_loader_leaves_its_spec_alone() -> None:
    """Executed with a spec that is its own already, a module keeps it."""
    module = importlib.import_module("poollib.connection")
    before = module.__spec__
    assert before is not None
    assert getattr(before, "loader_state", None) is None
    module_alias.LOADER.exec_module(module)
    assert module.__spec__ is before


def test_a_mismatch_found_by_urllib3s_private_helper_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    from poollib.compat.private_names import _match_hostname
    from poollib.net.certificates import CertificateError

    cert = {"subjectAltName": (("DNS", "foo"),)}
    with caplog.at_level("WARNING"), pytest.raises(CertificateError) as caught:
        _match_hostname(cert, "bar")
    assert caught.value._peer_cert is cert  # type: ignore[attr-defined]
    assert "Certificate did not match expected hostname: bar" in caplog.text


def test_a_pool_without_a_connection_class_says_that_there_is_no_tls() -> None:
    with poollib.HTTPSConnectionPool("a.example") as pool:
        pool.ConnectionCls = None  # type: ignore[assignment]
        with pytest.raises(ImportError, match="the SSL module is not available"):
            pool.request("GET", "/", retries=0)
        queue_of_it = pool.pool
    assert queue_of_it is not None
    with pytest.raises(queue.Empty):
        queue_of_it.get(block=False)
