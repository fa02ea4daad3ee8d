"""Records of the modules: below one logger, which is silent until somebody listens."""

from __future__ import annotations

import ast
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

from poollib.base import loggers

FOLDER = Path(loggers.__file__).parent
OWN_MODULES = {str(file.relative_to(FOLDER).with_suffix("")).replace("/", "."): file for file in FOLDER.rglob("*.py")}


def test_a_module_that_nobody_listens_to_prints_nothing() -> None:
    """`logging` prints warnings on standard error where no handler is found, and a module may be imported alone."""
    program = "import poollib.policy.retry; poollib.policy.retry.log.warning('heard by nobody')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_listening_to_the_package_is_listening_to_all_modules(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "poollib"):
        loggers.logger("poollib.policy.retry").warning("heard")
    assert caplog.messages == ["heard"]


@pytest.mark.parametrize("module", sorted(set(OWN_MODULES) - {"loggers", "package_functions", "compat.__init__"}))
def test_modules_take_their_loggers_from_one_place(module: str) -> None:
    """The exceptions: what adds a handler for the user, and what stands in urllib3's place."""
    assert not re.search(r"\bgetLogger\(", OWN_MODULES[module].read_text())


# URLs fit to be shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:secret@host/p", "http://***@host/p"),
        ("HTTPS://secret@[::1]:8443/p?q#f", "HTTPS://***@[::1]:8443/p?q#f"),
        ("http+unix://u:secret@%2Frun%2Fx/p", "http+unix://***@%2Frun%2Fx/p"),
        ("//secret@host", "//***@host"),
        ("http://u:secret@", "http://***@"),
        ("http://a@b:secret@host/@x", "http://***@host/@x"),
        ("u:secret@host/p", "***@host/p"),
        ("u:secret@host", "***@host"),
        ("secret@host:80/p@q", "***@host:80/p@q"),
        # what is no URL: the password has a delimiter in it, or the slashes are wrong
        ("http://u:se/cret@host/p", "http://***@host/p"),
        ("http://u:se?cret@host", "http://***@host"),
        ("http://u:se#cret@host", "http://***@host"),
        ("http://u:se\\cret@host", "http://***@host"),
        ("http://u:se cret@ho st/", "http://***@ho st/"),
        ("http://u:se[cret@host", "http://***@host"),
        ("http://u:secret@[::1/@x", "http://***@x"),
        ("http:/u:secret@host/p", "***@host/p"),
        ("http:///u:secret@host/p", "http://***@host/p"),
        ("http:u:secret@host/p", "***@host/p"),
        ("u:se//cret@host", "***@host"),
        (" http://u:secret@host", "***@host"),
        ("'http://u:secret@host'", "***@host'"),
        # no userinfo
        ("http://host/@name", "http://host/@name"),
        ("http://host:80?q=a@b", "http://host:80?q=a@b"),
        ("http://host#a@b", "http://host#a@b"),
        ("host:80/a@b", "host:80/a@b"),
        ("/@name", "/@name"),
        ("/", "/"),
        ("*", "*"),
        ("@", "***@"),
        ("", ""),
        ("http://bücher.example/@", "http://bücher.example/@"),
        (None, "None"),
    ],
)
def test_a_url_is_shown_without_its_user_and_password(url: str | None, shown: str) -> None:
    assert loggers.shown_url(url) == shown
    assert "cret" not in shown


URLS = {"url", "location", "target", "proxy_url", "_url", "_request_url", "redirect_location", "base_url"}
#: What is shown and can hold no userinfo, and what is put together to be asked for.
NO_USERINFO = {
    ("connectionpool", "url"),  # the target that the server was asked for
    ("exceptions", "url"),  # InsecureRedirectError's own, which are fit already
    ("exceptions", "location"),
    ("pool.collector", "target"),  # a pool
    ("demo", "url"),
    ("proxies", "url"),
    ("requestparts", "url"),
    ("url", "url"),
    ("wire", "target"),
}


@pytest.mark.parametrize("module", sorted(OWN_MODULES))
def test_no_text_is_made_of_a_url_but_through_one_function(module: str) -> None:
    """Neither in log calls nor in f-strings, of which errors and reprs are made."""
    for node in ast.walk(ast.parse(OWN_MODULES[module].read_text())):
        shown: list[ast.expr] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log."):
            shown = node.args
        elif isinstance(node, ast.FormattedValue):
            shown = [node.value]
        for value in shown:
            name = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
            assert name not in URLS or (module, name) in NO_USERINFO, f"{module}:{value.lineno} shows {name}"
