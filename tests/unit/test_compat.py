"""poollib under urllib3's names: paths, purges, patches, loggers, and the way back."""

from __future__ import annotations

import importlib
import logging
import pickle
import sys
import types
from collections.abc import Iterator
from unittest import mock

import pytest

import poollib
import poollib.compat
from poollib.compat import modules, names, script


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
@pytest.mark.parametrize("path", sorted({*names.ROOMS, *names.THIN, *names.PACKAGES} - {""}))
def test_every_path_of_urllib3_can_be_imported(path: str) -> None:
    module = importlib.import_module(f"urllib3.{path}")
    if path in names.ROOMS:
        assert module is importlib.import_module(f"poollib.{names.ROOMS[path]}")
    for name in getattr(module, "__all__", ()):
        assert hasattr(module, name)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("path", sorted({*names.THIN, *names.EXTRAS}))
def test_every_name_of_the_tables_is_there(path: str) -> None:
    tables = {**names.THIN.get(path, {}), **(names.EXTRAS.get(path, {}) if path not in names.THIN else {})}
    if path in names.THIN:
        module = importlib.import_module(f"urllib3.{path}".rstrip("."))
    else:
        paths = [own for own, room in names.ROOMS.items() if room == path]
        module = importlib.import_module(f"urllib3.{paths[0]}")
    for words in tables.values():
        for word in words.split():
            assert hasattr(module, word.partition("=")[0]), word


def test_no_name_that_is_added_hides_a_builtin_that_the_room_uses() -> None:
    """A room's code looks names up in the room first: an added ``TimeoutError`` must not change what it catches."""
    import builtins

    for room, sources in names.EXTRAS.items():
        module = importlib.import_module(f"poollib.{room}")
        with open(str(module.__file__), encoding="utf-8") as file:
            words = set(compiled_names(compile(file.read(), room, "exec")))
        for source, extras in sources.items():
            for extra in extras.split():
                own = extra.partition("=")[0]
                if hasattr(builtins, own) and own in words and own not in vars(module):
                    raise AssertionError(f"{room}: {own} from {source}")


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


@pytest.mark.usefixtures("installed")
def test_what_urllib3_has_not_is_not_found() -> None:
    for name in ("urllib3.packages", "urllib3.contrib.pyopenssl", "urllib3.util.nothing"):
        with pytest.raises(ModuleNotFoundError, match="poollib"):
            importlib.import_module(name)


def test_rooms_keep_their_own_specs(installed: types.ModuleType) -> None:
    spec = importlib.import_module("urllib3.connectionpool").__spec__
    assert spec is not None
    assert spec.name == "poollib.connectionpool"


def test_patching_a_thin_module_patches_the_room(installed: types.ModuleType) -> None:
    usual = poollib.tls.ssl_wrap_socket  # type: ignore[attr-defined]
    with mock.patch("urllib3.util.ssl_wrap_socket", "patched"):
        assert poollib.tls.ssl_wrap_socket == "patched"  # type: ignore[attr-defined]
    assert poollib.tls.ssl_wrap_socket is usual  # type: ignore[attr-defined]
    with mock.patch.object(installed, "PoolManager", "patched"):
        assert poollib.PoolManager == "patched"
    assert installed.PoolManager is poollib.poolmanager.PoolManager
    installed.own = 1
    assert installed.own == 1
    del installed.own


def test_loggers_have_urllib3s_names(installed: types.ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    assert poollib.connectionpool.log.name == "urllib3.connectionpool"
    assert poollib.retry.log.name == "urllib3.util.retry"
    with caplog.at_level(logging.DEBUG, "urllib3"):
        handler = installed.add_stderr_logger()
        logging.getLogger("urllib3").removeHandler(handler)
    assert [record.name for record in caplog.records] == ["urllib3"]
    poollib.uninstall_as_urllib3()
    assert poollib.connectionpool.log.name == "poollib.connectionpool"
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
    assert urllib3.util.ssl_ is importlib.import_module("poollib.tls")
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
        modules.module("nothing")


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
        assert script.main([path, "a", "-b"]) == 0
        monkeypatch.chdir(str(tmp_path))
        assert script.main(["-m", "program", "c"]) == 0
    finally:
        poollib.uninstall_as_urllib3()
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["2.8.0 ['a', '-b'] __main__", "2.8.0 ['c'] __main__"]


@pytest.mark.parametrize("words", [[], ["-m"], ["-x"]])
def test_as_urllib3_wants_a_program(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(words) == 2
    assert "usage" in capsys.readouterr().err
    assert script.main(["--help"]) == 0


# -- helpers --


def test_the_memory_of_http2_lets_one_find_out() -> None:
    from poollib.compat import probe

    assert probe.acquire_and_get("h", 1) is None
    probe.set_and_release("h", 1, False)
    assert probe.acquire_and_get("h", 1) is False
    assert probe._values() == {("h", 1): False}
    with pytest.raises(ValueError, match="reset"):
        probe.set_and_release("h", 1, None)
    probe._reset()
    assert probe._values() == {}
    with pytest.raises(ImportError, match=r"HTTP/1\.1"):
        probe.inject_into_urllib3()
    assert probe.extract_from_urllib3() is None  # type: ignore[func-returns-value]


def test_helpers_do_what_their_names_say() -> None:
    import email.message
    import http.client
    import io
    import queue

    from poollib.compat import helpers

    conn = poollib.connection.HTTPConnection("h", 81)
    assert helpers._url_from_connection(conn, "/p") == "http://h:81/p"
    assert helpers._normalize_header_value("a\r\n b") == "a b"
    assert helpers._remove_path_dot_segments("/a/../b/./c") == "/b/c"
    assert helpers._encode_invalid_chars("a b%20é", {"a"}) == "a%20%62%%32%30%C3%A9"
    assert "only use HTTP" in str(helpers._wrap_proxy_error(OSError("wrong version number"), "https"))
    with pytest.raises(ValueError, match="Unable"):
        helpers.is_fp_closed(object())
    assert helpers.is_fp_closed(types.SimpleNamespace(fp=None))
    assert helpers.is_response_to_head(types.SimpleNamespace(_method="HEAD"))
    good = http.client.parse_headers(io.BytesIO(b"A: b\r\n\r\n"))
    helpers.assert_header_parsing(good)
    bad = http.client.parse_headers(io.BytesIO(b"A: b\r\nbroken\r\nC: d\r\n\r\n"))
    with pytest.raises(poollib.exceptions.HeaderParsingError):
        helpers.assert_header_parsing(bad)
    with pytest.raises(TypeError):
        helpers.assert_header_parsing(email.message.Message())  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        helpers.reraise(KeyError, KeyError("x"))
    waiting: queue.LifoQueue[object] = queue.LifoQueue()
    closed = mock.Mock()
    waiting.put(closed)
    waiting.put(None)
    helpers._close_pool_connections(waiting)
    closed.close.assert_called_once_with()
