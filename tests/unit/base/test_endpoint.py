"""Who may share a socket: the table in the docstring of `poollib.base.endpoint`, row by row."""

from __future__ import annotations

import pathlib
import pickle
import re
import ssl
from typing import Any

import pytest

from poollib.base import endpoint
from poollib.base.endpoint import Endpoint, ProxyHop, TlsSettings

KEEPALIVE = (1, 9, 1)


def make(tls: dict[str, Any] | None = None, proxy: dict[str, Any] | None = None, **other: Any) -> Endpoint:
    """An endpoint with everything set, in which one thing can be changed."""
    hop_tls = {"ca_certs": "/proxy-ca.pem"} | (proxy or {}).pop("tls", {})
    hop = {"scheme": "https", "host": "proxy.example", "port": 3128, "headers": {"X-Team": "a"}, "tunnel": True}
    fields: dict[str, Any] = {"scheme": "https", "host": "a.example", "port": 443}
    fields["proxy"] = ProxyHop(**(hop | {"tls": TlsSettings(**hop_tls)} | (proxy or {})))
    fields["tls"] = TlsSettings(**({"ca_certs": "/ca.pem"} | (tls or {})))
    return Endpoint(**(fields | other))


APART: dict[str, list[Endpoint]] = {
    "scheme": [make(scheme="http")],
    "host": [make(host="b.example")],
    "port": [make(port=8443)],
    "uds": [make(uds="/run/a.sock")],
    "source_address": [make(source_address=("127.0.0.2", 0))],
    "socket_options": [make(socket_options=[KEEPALIVE]), make(socket_options=[])],
    "resolver": [make(resolver=len)],
    "proxy": [make(proxy={"scheme": "http"}), make(proxy={"host": "p2.example"}), make(proxy={"port": 1})],
    "no proxy": [Endpoint("https", "a.example", 443, tls=TlsSettings(ca_certs="/ca.pem"))],
    "proxy.headers": [make(proxy={"headers": {"Proxy-Authorization": "Basic YTpi"}})],
    "proxy.username": [make(proxy={"username": "ann"})],
    "proxy.password": [make(proxy={"password": "secret"})],
    "proxy.tunnel": [make(proxy={"tunnel": False})],
    "proxy.tls": [make(proxy={"tls": {"cert_reqs": "NONE"}}), make(proxy={"tls": {"assert_hostname": False}})],
    "tls.cert_reqs": [make(tls={"cert_reqs": "NONE"}), make(tls={"cert_reqs": "OPTIONAL"})],
    "tls.ca_certs": [make(tls={"ca_certs": "/other.pem"}), make(tls={"ca_certs": None})],
    "tls.ca_cert_dir": [make(tls={"ca_cert_dir": "/certs"})],
    "tls.ca_cert_data": [make(tls={"ca_cert_data": "-----BEGIN"})],
    "tls.cert_file": [make(tls={"cert_file": "/me.pem"}), make(tls={"cert_file": b"-----BEGIN"})],
    "tls.key_file": [make(tls={"key_file": "/me.key"})],
    "tls.key_password": [make(tls={"key_password": "x"})],
    "tls.ssl_version": [make(tls={"ssl_version": 5})],
    "tls.ssl_minimum_version": [make(tls={"ssl_minimum_version": 772})],
    "tls.ssl_maximum_version": [make(tls={"ssl_maximum_version": 771})],
    "tls.assert_hostname": [make(tls={"assert_hostname": False}), make(tls={"assert_hostname": "b.example"})],
    "tls.assert_fingerprint": [make(tls={"assert_fingerprint": "aa" * 32})],
    "tls.server_hostname": [make(tls={"server_hostname": "b.example"})],
    "tls.ssl_context": [
        make(tls={"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}),
        make(tls={"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}),
    ],
}


@pytest.mark.parametrize("row", APART)
def test_endpoints_that_differ_in_one_row_of_the_table_never_share(row: str) -> None:
    """The rows marked "never"; each pair of values, too, is kept apart."""
    values = [make(), *APART[row]]
    assert len(set(values)) == len(values)
    assert not any(first == second for i, first in enumerate(values) for second in values[:i])


TOGETHER = {
    "names of cert_reqs": (make(tls={"cert_reqs": "REQUIRED"}), make(tls={"cert_reqs": ssl.CERT_REQUIRED})),
    "cert_reqs not given": (make(tls={"cert_reqs": None}), make(tls={"cert_reqs": "CERT_REQUIRED"})),
    "pins as list and tuple": (
        make(tls={"assert_fingerprint": ["aa", "bb"]}),
        make(tls={"assert_fingerprint": ("aa", "bb")}),
    ),
    "a path and its text": (make(tls={"ca_certs": pathlib.Path("/ca.pem")}), make(tls={"ca_certs": "/ca.pem"})),
    "empty and missing": (make(tls={"cert_file": "", "assert_hostname": ""}), make()),
    "options as list and tuple": (make(socket_options=[[*KEEPALIVE]]), make(socket_options=(KEEPALIVE,))),
    "headers as mapping and pairs": (make(proxy={"headers": [("X-Team", "a")]}), make()),
    "source address as list": (make(source_address=["127.0.0.1", 0]), make(source_address=("127.0.0.1", 0))),
}


@pytest.mark.parametrize("row", TOGETHER)
def test_two_spellings_of_one_wish_share(row: str) -> None:
    """The table's last row."""
    one, other = TOGETHER[row]
    assert one == other
    assert hash(one) == hash(other)


def test_every_field_of_the_values_has_its_row() -> None:
    """A new field must be put into the table and into this test."""
    table = endpoint.__doc__ or ""
    rows = set(APART)
    fields = {*Endpoint._fields, *(f"proxy.{name}" for name in ProxyHop._fields)}
    fields |= {f"tls.{name}" for name in TlsSettings._fields}
    fields -= {"tls", "proxy.scheme", "proxy.host", "proxy.port"}
    assert fields - rows == set()
    for name in fields:
        assert re.search(rf"``\.?{re.escape(name.rpartition('.')[2])}``|``{re.escape(name)}``", table), name


def test_a_given_context_decides_about_verification_unless_asked() -> None:
    """urllib3: cert_reqs overwrites the context's verify_mode only where it is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert TlsSettings(ssl_context=context).cert_reqs is None
    assert TlsSettings(ssl_context=context, cert_reqs="CERT_NONE").cert_reqs == ssl.CERT_NONE


@pytest.mark.parametrize("wish", ["SOMETIMES", "None", "none", "cert_none", "", 7, -1])
def test_a_wrong_cert_reqs_is_named(wish: Any) -> None:
    with pytest.raises(ValueError, match=r"cert_reqs: .* is none of"):
        TlsSettings(cert_reqs=wish)


def test_true_means_verified() -> None:
    """And not ssl.CERT_OPTIONAL, which equals it."""
    assert TlsSettings(cert_reqs=True).cert_reqs == ssl.CERT_REQUIRED


def test_no_secret_is_shown() -> None:
    """repr ends in logs and in error messages."""
    hop = ProxyHop("http", "p", 1, {"Proxy-Authorization": "Basic c2VjcmV0"}, username="u", password="secret")
    settings = TlsSettings(key_password="secret", key_file=b"secret key", cert_file=b"secret certificate")
    shown = repr(Endpoint("https", "a", 443, proxy=hop, tls=settings))
    assert "secret" not in shown
    assert "c2VjcmV0" not in shown
    assert shown.startswith("Endpoint(scheme='https', host='a', port=443, proxy=ProxyHop(scheme='http', host='p'")


def test_values_pickle() -> None:
    """Pools and managers travel as their settings."""
    value = make(tls={"assert_fingerprint": ["aa"]}, socket_options=[KEEPALIVE])
    assert pickle.loads(pickle.dumps(value)) == value


def test_socket_options_that_can_be_read_once_only_are_refused() -> None:
    """The endpoint reads them to their end, and no socket would ever get one."""
    with pytest.raises(TypeError, match="socket_options must be a list"):
        make(socket_options=iter([KEEPALIVE]))
