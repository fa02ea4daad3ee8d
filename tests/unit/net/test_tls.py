"""Wishes to contexts, sockets to TLS sockets: trustme's certificates, real handshakes on loopback."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import pickle
import shutil
import socket
import ssl
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock
from unittest.mock import MagicMock

import certifi
import pytest

from poollib.base.endpoint import TlsSettings
from poollib.exceptions import ConnectTimeoutError, ProtocolError, ProxySchemeUnsupported, SSLError
from poollib.net import caller_ssl_context, dial, tls, tls_contexts
from poollib.net.certificates import key_pin
from tests.support.certs import NAMES, PASSWORD, certs
from tests.support.script import ScriptServer, close, cut, expect, expect_end, reset, respond, send, send_slowly, stall


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSLKEYLOGFILE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def trusting(**settings: Any) -> TlsSettings:
    """Wishes with the tests' authority."""
    return TlsSettings(**({"ca_certs": certs().ca_file} | settings))


@contextlib.contextmanager
def shaken(
    settings: TlsSettings, host: str = "localhost", server: ssl.SSLContext | None = None, **arguments: Any
) -> Iterator[tls.TlsSocket]:
    """A TLS socket to a server that answers `pong` to `ping`."""
    with (
        ScriptServer([expect(b"ping"), send(b"pong"), close()], tls=server or certs().server()) as peer,
        contextlib.ExitStack() as stack,
    ):
        sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        stack.callback(sock.close)
        result = tls.wrap(sock, settings, host, timeout_s=4, **arguments)
        stack.callback(result.sock.close)
        yield result
        result.sock.sendall(b"ping")
        assert result.sock.recv(10) == b"pong"


def refused(settings: TlsSettings, host: str = "localhost", server: ssl.SSLContext | None = None) -> str:
    """The text of the SSLError; both ends are closed afterwards."""
    with ScriptServer([stall()], tls=server or certs().server()) as peer:
        sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        with pytest.raises(SSLError) as caught:
            tls.wrap(sock, settings, host, timeout_s=4)
        assert sock.fileno() == -1
    assert repr(pickle.loads(pickle.dumps(caught.value)).args) == repr(caught.value.args)
    return str(caught.value)


# Contexts


def test_equal_wishes_share_one_context() -> None:
    """The largest single cost of urllib3: 16 to 20 ms for each connection."""
    first = tls.context_for(trusting(cert_reqs="REQUIRED"))
    assert tls.context_for(trusting(cert_reqs=ssl.CERT_REQUIRED)) is first
    assert tls.context_for(trusting(assert_hostname=False)) is not first


def test_the_defaults_are_safe() -> None:
    context = tls.context_for(trusting())
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_COMPRESSION
    assert not context.options & ssl.OP_NO_TICKET
    assert not context.options & getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    assert not context.hostname_checks_common_name
    assert bool(context.verify_flags & ssl.VERIFY_X509_STRICT) == (sys.version_info >= (3, 13))


def test_a_given_authority_is_the_only_one() -> None:
    """CVE-2019-11324: the system's store was added to the caller's."""
    assert len(tls.context_for(trusting()).get_ca_certs()) == 1
    pem = Path(certs().ca_file).read_text()
    for data in (pem, pem.encode(), ssl.PEM_cert_to_DER_cert(pem)):
        assert len(tls.context_for(TlsSettings(ca_cert_data=data)).get_ca_certs()) == 1
    given = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert tls.context_for(TlsSettings(ssl_context=given)) is given
    assert given.get_ca_certs() == []


def test_without_wishes_the_authorities_are_certifis() -> None:
    known = tls.context_for(TlsSettings()).get_ca_certs(binary_form=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    assert set(known) == set(context.get_ca_certs(binary_form=True))


@pytest.mark.parametrize("why", ["no certifi", "SSL_CERT_FILE", "asked for"])
def test_the_store_of_the_system_is_used_where(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TlsSettings(ca_certs=tls.CA_SYSTEM if why == "asked for" else None, server_hostname="a.example")
    ours = certs().ca_file
    if why == "no certifi":
        monkeypatch.setitem(sys.modules, "certifi", None)
    if why == "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", ours)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda self, _: self.load_verify_locations(ours))
    assert tls.context_for(settings).get_ca_certs() == tls.context_for(trusting()).get_ca_certs()


def test_a_context_class_that_a_mock_put_there_serves_while_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As mocket's: a context of before would speak TLS to its socket, and its own none to a server afterwards."""

    before = tls.context_for(TlsSettings())
    with monkeypatch.context() as patch:
        mock = MagicMock()
        patch.setattr(ssl, "SSLContext", mock)
        assert tls.context_for(TlsSettings()) is mock.return_value
    assert tls.context_for(TlsSettings()) is before


def test_truststore_makes_the_context_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Truststore(ssl.SSLContext):
        def cert_store_stats(self) -> NoReturn:
            raise NotImplementedError  # as the real one: its authorities are the system's

    monkeypatch.setitem(sys.modules, "truststore", types.SimpleNamespace(SSLContext=Truststore))
    assert isinstance(tls.context_for(TlsSettings(ca_certs=tls.CA_TRUSTSTORE, server_hostname="a")), Truststore)
    monkeypatch.setitem(sys.modules, "truststore", None)
    with pytest.raises(SSLError, match="needs the package truststore"):
        tls.context_for(TlsSettings(ca_certs=tls.CA_TRUSTSTORE, server_hostname="b"))


def test_no_authority_is_loaded_where_nothing_is_verified() -> None:
    context = tls.context_for(TlsSettings(cert_reqs="NONE"))
    assert context.verify_mode == ssl.CERT_NONE
    assert not context.check_hostname
    assert context.get_ca_certs() == []


def test_a_replaced_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    shutil.copy(certs().ca_file, path)
    first = tls.context_for(TlsSettings(ca_certs=path))
    assert tls.context_for(TlsSettings(ca_certs=path)) is first
    shutil.copy(certs().stranger_file, path)
    os.utime(path, ns=(1, 1))
    second = tls.context_for(TlsSettings(ca_certs=path))
    assert second is not first
    assert second.get_ca_certs() != first.get_ca_certs()


@pytest.mark.parametrize("how", ["in its file", "in place", "in a directory", "of the environment", "of the system"])
def test_replaced_authorities_are_seen_wherever_they_stand(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authority taken out of SSL_CERT_FILE was believed as long as the process lived."""
    path = tmp_path / "ca.pem"
    shutil.copy(certs().ca_file, path)
    settings = TlsSettings(server_hostname=how)
    if how == "in its file" or how == "in place":
        settings = TlsSettings(ca_certs=path)
    elif how == "in a directory":
        (tmp_path / "link").symlink_to("nowhere")
        settings = TlsSettings(ca_cert_dir=tmp_path)
    elif how == "of the environment":
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    else:
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: (None, None, "", str(path), "", "/no/such"))
        settings = TlsSettings(ca_certs=tls.CA_SYSTEM)
    first = tls.context_for(settings)
    assert tls.context_for(settings) is first
    if how in ("in place", "in a directory"):
        path.write_bytes(Path(certs().stranger_file).read_bytes())
    else:
        (tmp_path / "new").write_bytes(Path(certs().stranger_file).read_bytes())
        os.replace(tmp_path / "new", path)
    assert tls.context_for(settings) is not first


@pytest.mark.parametrize("kind", [str, bytes])
def test_authorities_as_text_may_have_comments_in_any_language(kind: type) -> None:
    """ssl: "cadata should be an ASCII string". Go and openssl read what stands between the lines of a block."""
    pem = Path(certs().ca_file).read_text()
    text = f"\ufeff# Zertifizierungsstelle für Prüfungen\n{pem}\n# 試験\n{Path(certs().stranger_file).read_text()}"
    context = tls.context_for(TlsSettings(ca_cert_data=text if kind is str else text.encode()))
    assert len(context.get_ca_certs()) == 2
    broken = pem.replace("MII", "Mü", 1)
    with pytest.raises(SSLError, match="cannot load CA certificates"):
        tls.context_for(TlsSettings(ca_cert_data=broken if kind is str else broken.encode()))


def test_the_cache_of_contexts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_contexts, "_MOST_CONTEXTS", 2)
    monkeypatch.setattr(tls_contexts, "_contexts", type(tls_contexts._contexts)())
    settings = [TlsSettings(cert_reqs="NONE", server_hostname=name) for name in "abc"]
    first, second, third = map(tls.context_for, settings)
    assert tls.context_for(settings[2]) is third
    assert tls.context_for(settings[1]) is second
    assert tls.context_for(settings[0]) is not first


def test_threads_that_come_at_once_get_one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    monkeypatch.setattr(tls_contexts, "_contexts", type(tls_contexts._contexts)())
    threads = [threading.Thread(target=lambda: made.append(tls.context_for(trusting()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_a_context_is_made_can_make_its_own() -> None:
    with tls_contexts._lock:
        child = os.fork()
        if not child:
            os._exit(0 if tls_contexts._lock.acquire(timeout=2) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_keys_are_logged_where_the_environment_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    with shaken(trusting()):
        pass
    assert "CLIENT_TRAFFIC_SECRET_0" in path.read_text()
    monkeypatch.setenv("FOLDER_OF_KEYS", str(tmp_path))
    monkeypatch.setenv("SSLKEYLOGFILE", "${FOLDER_OF_KEYS}/more")
    with shaken(trusting()):
        pass
    assert "CLIENT_TRAFFIC_SECRET_0" in (tmp_path / "more").read_text()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "no" / "folder"))
    with pytest.raises(SSLError, match="SSLKEYLOGFILE"):
        tls.context_for(trusting())


@pytest.mark.parametrize("settings", [{"ca_certs": "/no/such"}, {"ca_cert_data": "junk"}, {"ca_cert_data": b"junk"}])
def test_authorities_that_cannot_be_loaded_are_an_ssl_error(settings: dict[str, Any]) -> None:
    with pytest.raises(SSLError, match="cannot load CA certificates"):
        tls.context_for(TlsSettings(**settings))


# Versions


def test_a_version_may_be_named_the_old_way() -> None:
    for wish in ("TLSv1_2", "PROTOCOL_TLSv1_2", ssl.PROTOCOL_TLSv1_2):
        context = tls.context_for(trusting(ssl_version=wish))
        assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    assert tls.context_for(trusting(ssl_version="TLS")).minimum_version == ssl.TLSVersion.TLSv1_2


def test_minimum_and_maximum_are_kept_to() -> None:
    with shaken(trusting(ssl_maximum_version=ssl.TLSVersion.TLSv1_2)) as (sock, _):
        assert sock.version() == "TLSv1.2"
    old = certs().server(newest=ssl.TLSVersion.TLSv1_2)
    assert "PROTOCOL_VERSION" in refused(trusting(ssl_minimum_version=ssl.TLSVersion.TLSv1_3), server=old)


def test_contradicting_and_unknown_versions_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="Can't specify both 'ssl_version' and"):
        tls.context_for(trusting(ssl_version="TLSv1_2", ssl_minimum_version=ssl.TLSVersion.TLSv1_2))
    with pytest.raises(ValueError, match="ssl_version: 99"):
        tls.context_for(trusting(ssl_version=99))
    for name in ("ssl_minimum_version", "ssl_maximum_version"):
        for context in (None, given_context()):
            with pytest.raises(ValueError, match=f"{name}: 1 is no"):
                tls.context_for(trusting(ssl_context=context, **{name: 1}))


# Verification


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1", "::1", "[::1]", "::1%lo"])
def test_a_server_is_verified_by_name_and_by_address(host: str) -> None:
    with shaken(trusting(), host) as (sock, is_verified):
        assert is_verified
        assert sock.gettimeout() == 4
        assert isinstance(sock, ssl.SSLSocket)


def test_an_address_is_not_sent_as_server_name() -> None:
    """RFC 6066 section 3: names only; no dot at the end."""
    asked: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certs().pair().both_file)
    server.sni_callback = lambda sock, name, context: asked.append(name)
    for host in ("127.0.0.1", "[::1]", "localhost."):
        with shaken(trusting(), host, server):
            pass
    assert asked == [None, None, "localhost"]


@pytest.mark.parametrize(
    ("server", "host", "text"),
    [
        ({}, "other.example", "'other.example'"),
        ({}, "127.0.0.2", "'127.0.0.2'"),
        ({"expired": True}, "localhost", "expired"),
        ({"stranger": True}, "localhost", "unable to get local issuer certificate"),
    ],
)
def test_another_name_an_expired_certificate_and_an_unknown_authority_are_refused(
    server: dict[str, Any], host: str, text: str
) -> None:
    message = refused(trusting(), host, certs().server(**server))
    assert message.startswith("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    assert text in message


def test_wildcards_stand_for_one_label() -> None:
    server = certs().server("*.pool.example")
    with shaken(trusting(), "a.pool.example", server):
        pass
    assert "a.b.pool.example" in refused(trusting(), "a.b.pool.example", server)


def test_the_common_name_never_counts() -> None:
    leaf = certs().authority.issue_cert("other.example", common_name="localhost")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(server)
    assert "Hostname mismatch" in refused(trusting(), "localhost", server)


def test_an_international_name_is_verified_in_its_ascii_form() -> None:
    with shaken(trusting(), "xn--bcher-kva.example", certs().server("bücher.example")):
        pass


def test_a_name_is_not_mapped_to_another_host() -> None:
    """By IDNA 2003 straße.test was strasse.test to server_hostname and assert_hostname, but never to a URL."""
    server = certs().server("strasse.test")
    refused(trusting(server_hostname="straße.test"), "localhost", server)
    refused(trusting(assert_hostname="straße.test"), "localhost", server)
    for settings in (trusting(server_hostname="bücher.example"), trusting(assert_hostname="BÜCHER.example")):
        with shaken(settings, server=certs().server("bücher.example")):
            pass


@pytest.mark.parametrize("host", ["a..b", ".b", "x" * 64 + ".example", "ü" * 254, ""])
def test_a_name_that_cannot_be_sent_is_an_ssl_error(host: str) -> None:
    with ScriptServer([stall()]) as peer:
        sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        with pytest.raises(SSLError) as caught:
            tls.wrap(sock, trusting(), host, timeout_s=4)
        assert isinstance(caught.value.args[0], ValueError)
        assert sock.fileno() == -1


def test_server_hostname_is_what_is_asked_for_and_verified() -> None:
    with shaken(trusting(server_hostname="localhost"), "other.example"):
        pass
    assert "'other.example'" in refused(trusting(server_hostname="other.example"), "localhost")


@pytest.mark.parametrize("asserted", [*NAMES, False])
def test_assert_hostname_names_another_or_turns_the_check_off(asserted: str | bool) -> None:
    with shaken(trusting(assert_hostname=asserted), "other.example") as (_, is_verified):
        assert is_verified


def test_a_wrong_assert_hostname_is_refused() -> None:
    """The host's own name does not help."""
    text = refused(trusting(assert_hostname="wanted.example"), "localhost")
    assert text.startswith("hostname 'wanted.example' doesn't match either of 'localhost', '127.0.0.1'")


def test_unverified_is_said_to_be_unverified() -> None:
    server = certs().server(stranger=True)
    with shaken(TlsSettings(cert_reqs="NONE"), "other.example", server) as (_, is_verified):
        assert not is_verified


def test_a_pin_stands_for_name_and_authority() -> None:
    der = certs().pair(stranger=True).der
    server = certs().server(stranger=True)
    for pin in (hashlib.sha256(der).hexdigest(), key_pin(der), ["aa" * 32, key_pin(der)]):
        with shaken(TlsSettings(cert_reqs="NONE", assert_fingerprint=pin), "other.example", server) as (_, is_verified):
            assert is_verified


def test_a_wrong_pin_is_refused_whatever_the_authority_says() -> None:
    text = refused(trusting(assert_fingerprint="aa" * 32))
    assert text.startswith('Fingerprints did not match. Expected "aaaa')


def test_a_pin_does_not_replace_the_authority_unless_asked() -> None:
    """As in urllib3: cert_reqs still holds."""
    pin = key_pin(certs().pair(stranger=True).der)
    assert "verify failed" in refused(trusting(assert_fingerprint=pin), server=certs().server(stranger=True))


def test_a_pin_does_not_replace_a_name_that_was_asked_for() -> None:
    pin = key_pin(certs().pair().der)
    assert "doesn't match" in refused(trusting(assert_fingerprint=pin, assert_hostname="other.example"))


# Given contexts


def given_context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certs().ca_file)


def test_a_given_context_is_used_as_it_is() -> None:
    context = given_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    before = (context.options, context.verify_flags, context.verify_mode, context.check_hostname)
    assert tls.context_for(TlsSettings(ssl_context=context, server_hostname="localhost")) is context
    with shaken(TlsSettings(ssl_context=context)) as (_, is_verified):
        assert is_verified
    assert (context.options, context.verify_flags, context.verify_mode, context.check_hostname) == before


def test_what_is_wished_beside_a_given_context_is_put_into_it() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pair = certs().client()
    settings = TlsSettings(
        ssl_context=context,
        ca_certs=certs().ca_file,
        cert_file=pair.cert_file,
        key_file=pair.key_file,
        ssl_maximum_version=ssl.TLSVersion.TLSv1_2,
        ssl_minimum_version=ssl.TLSVersion.TLSv1_2,
    )
    with shaken(settings, server=certs().server(wants_client=True)) as (sock, _):
        assert sock.version() == "TLSv1.2"
    assert context.check_hostname


def test_a_name_is_checked_though_a_given_context_does_not() -> None:
    """A context that lost check_hostname to other settings, or never had it, lets no wrong name through."""
    context = given_context()
    context.check_hostname = False
    assert "doesn't match" in refused(TlsSettings(ssl_context=context), "other.example")
    with shaken(TlsSettings(ssl_context=context), "localhost"):
        pass
    with shaken(TlsSettings(ssl_context=context, assert_hostname=False), "other.example"):
        pass


def test_wishes_that_turn_the_check_of_a_given_context_off_loosen_no_others() -> None:
    context = given_context()
    with shaken(TlsSettings(ssl_context=context, assert_hostname=False), "other.example"):
        pass
    assert "Hostname mismatch" in refused(TlsSettings(ssl_context=context), "other.example")
    assert context.check_hostname


# Client certificates


def client_wishes(kind: str) -> dict[str, Any]:
    pair = certs().client()
    both = Path(pair.both_file).read_bytes()
    return {
        "two files": {"cert_file": pair.cert_file, "key_file": pair.key_file},
        "one file": {"cert_file": pair.both_file},
        "paths": {"cert_file": Path(pair.cert_file), "key_file": Path(pair.key_file)},
        "memory": {"cert_file": Path(pair.cert_file).read_bytes(), "key_file": Path(pair.key_file).read_bytes()},
        "one in memory": {"cert_file": both},
        "encrypted": {
            "cert_file": pair.cert_file,
            "key_file": certs().encrypted_key_file,
            "key_password": PASSWORD,
        },
        "encrypted in memory": {
            "cert_file": pair.cert_file,
            "key_file": Path(certs().encrypted_key_file).read_bytes(),
            "key_password": PASSWORD.encode(),
        },
    }[kind]


@pytest.mark.parametrize(
    "kind", ["two files", "one file", "paths", "memory", "one in memory", "encrypted", "encrypted in memory"]
)
def test_a_client_certificate_is_shown(kind: str) -> None:
    server = certs().server(wants_client=True)
    with shaken(trusting(**client_wishes(kind)), server=server) as (_, is_verified):
        assert is_verified


def test_a_key_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tls.context_for(trusting(**client_wishes("memory"), server_hostname="1"))
    with pytest.raises(SSLError, match="<in memory>"):
        tls.context_for(trusting(cert_file=b"junk", key_file=b"junk"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"key_password": None}, "Client private key is encrypted, password is required"),
        ({"key_password": "wrong"}, r"cannot load the client certificate .*is it the right key_password\?"),
        ({"key_file": None}, r"cannot load the client certificate .*\(cert_file holds no private key in PEM\)"),
        ({"key_file": __file__}, r"cannot load the client certificate .*\(key_file holds no private key in PEM\)"),
        ({"cert_file": __file__}, r"cannot load the client certificate .*\(cert_file holds no certificate in PEM\)"),
        ({"cert_file": "/no/such"}, "cannot load the client certificate .cert_file='/no/such'"),
        ({"cert_file": None}, "key_file is given without cert_file"),
    ],
)
def test_a_client_certificate_that_cannot_be_loaded_is_an_ssl_error(settings: dict[str, Any], text: str) -> None:
    """An encrypted key without its password would be a prompt on the terminal."""
    with pytest.raises(SSLError, match=text):
        tls.context_for(trusting(**(client_wishes("encrypted") | settings)))


def test_a_server_that_wants_a_certificate_gets_an_error_told() -> None:
    old = certs().server(wants_client=True, newest=ssl.TLSVersion.TLSv1_2)
    assert refused(trusting(), server=old).startswith("[SSL: ")


# What goes wrong below


@pytest.mark.parametrize("drips", [False, True])
def test_a_silent_or_dripping_server_times_out_and_the_socket_is_closed(drips: bool) -> None:
    """The timeout is for the whole handshake: bytes that trickle in do not prolong it."""
    done = threading.Event()
    script = [send_slowly(b"\x16\x03\x03\x40\x00" + b"\0" * 30, 1, 0.005), stall(done)] if drips else [stall(done)]
    with ScriptServer(script) as peer:
        sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        with pytest.raises(ConnectTimeoutError, match=r"localhost timed out\. \(connect timeout=0.03\)"):
            tls.wrap(sock, trusting(), "localhost", timeout_s=0.03)
        assert sock.fileno() == -1
        done.set()


def test_an_end_in_the_handshake_is_an_error() -> None:
    for ending, error in ((cut(), (SSLError, ProtocolError)), (reset(), (SSLError, ProtocolError))):
        with ScriptServer([expect(lambda data: len(data) > 100), ending]) as peer:
            sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
            with pytest.raises(error):
                tls.wrap(sock, trusting(), "localhost", timeout_s=4)
            assert sock.fileno() == -1


def test_authorities_that_are_not_where_they_were_named_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL believes nobody then, and says no more than of a stranger's certificate."""
    (tmp_path / "root.pem").write_text(Path(certs().ca_file).read_text())  # under a name that is never looked for
    for folder in (str(tmp_path), str(tmp_path / "none")):
        assert f"ca_cert_dir={folder!r} holds no certificate under a name" in refused(TlsSettings(ca_cert_dir=folder))
        monkeypatch.setenv("SSL_CERT_DIR", folder)
        assert f"SSL_CERT_DIR={folder!r} holds no certificate under a name" in refused(TlsSettings())
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such")
    assert "(SSL_CERT_FILE='/no/such' is no file)" in refused(TlsSettings())
    (tmp_path / "01234567.0").write_text("")
    assert "(no authority that is believed here signed it" in refused(TlsSettings(ca_cert_dir=str(tmp_path)))


def test_a_peer_that_speaks_plain_http_is_named_as_such() -> None:
    with ScriptServer([expect(lambda data: len(data) > 100), respond(b"hello")]) as peer:
        sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        with pytest.raises(SSLError, match="the peer does not speak TLS here"):
            tls.wrap(sock, trusting(), "localhost", timeout_s=4)


@pytest.mark.parametrize(
    ("settings", "error"), [({"ca_certs": "/no/such"}, SSLError), ({"ssl_version": 99}, ValueError)]
)
def test_wishes_that_cannot_be_met_close_the_socket(settings: dict[str, Any], error: type[Exception]) -> None:
    """A file is the machine's fault, a wrong argument the caller's."""
    with ScriptServer([stall()]) as peer:
        sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        with pytest.raises(error, match=r"/no/such|ssl_version: 99"):
            tls.wrap(sock, trusting(**settings), "localhost", timeout_s=4)
        assert sock.fileno() == -1


class Torn(BaseException):
    """Stands for a KeyboardInterrupt at the worst moment."""


@pytest.mark.parametrize("where", ["do_handshake", "getpeercert"])
def test_an_interrupt_in_the_handshake_leaves_nothing_open(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = getattr(ssl.SSLSocket, where)

    def torn(self: ssl.SSLSocket, *args: object, **kwargs: object) -> object:
        if self.server_side:
            return usual(self, *args, **kwargs)
        raise Torn

    monkeypatch.setattr(ssl.SSLSocket, where, torn)
    with ScriptServer([stall()], tls=certs().server()) as peer:
        sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        with pytest.raises(Torn):
            tls.wrap(sock, trusting(assert_hostname="localhost"), "localhost", timeout_s=4)
        gc.collect()
        assert sock.fileno() == -1


def test_an_end_without_close_notify_is_told_from_one_with_it() -> None:
    """RFC 9112 section 9.8: only close_notify ends a body that ends with the connection."""
    for ending, clean in ((close(), True), (cut(), False)):
        with ScriptServer([send(b"part"), ending], tls=certs().server()) as peer:
            plain = dial.connect("127.0.0.1", peer.port, timeout_s=5)
            with tls.wrap(plain, trusting(), "localhost", timeout_s=4).sock as sock:
                assert sock.recv(10) == b"part"
                with contextlib.nullcontext() if clean else pytest.raises(ssl.SSLError, match=r"(?i)eof"):
                    assert sock.recv(10) == b""


# urllib3 names


def test_names_of_constants_are_found() -> None:
    assert [tls.resolve_cert_reqs(wish) for wish in (None, "NONE", "CERT_OPTIONAL", ssl.CERT_REQUIRED)] == [2, 0, 1, 2]
    assert [tls.resolve_ssl_version(wish) for wish in (None, "TLSv1_2", "PROTOCOL_TLS", 5)] == [2, 5, 2, 5]
    with pytest.raises(AttributeError):
        tls.resolve_cert_reqs("SOMETIMES")


def test_create_urllib3_context_takes_options_flags_and_ciphers() -> None:
    context = tls.create_urllib3_context(
        cert_reqs=ssl.CERT_NONE, options=ssl.OP_NO_TICKET, ciphers="ECDHE-RSA-AES256-GCM-SHA384", verify_flags=0
    )
    assert context.verify_mode == ssl.CERT_NONE
    assert context.options & ssl.OP_NO_TICKET
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert "ECDHE-RSA-AES256-GCM-SHA384" in {cipher["name"] for cipher in context.get_ciphers()}
    assert tls.create_urllib3_context().verify_mode == ssl.CERT_REQUIRED
    newest = tls.create_urllib3_context(ssl_maximum_version=ssl.TLSVersion.TLSv1_2)
    assert newest.maximum_version == ssl.TLSVersion.TLSv1_2


def test_ssl_wrap_socket_opens_urllib3s_door() -> None:
    pair = certs().client()
    arguments: list[dict[str, Any]] = [
        {"ca_certs": certs().ca_file, "certfile": pair.cert_file, "keyfile": pair.key_file},
        {"ssl_context": tls.context_for(trusting(**client_wishes("two files")))},
        {"cert_reqs": ssl.CERT_NONE, "certfile": pair.both_file},
    ]
    for extra in arguments:
        with (
            ScriptServer([send(b"x")], tls=certs().server(wants_client=True)) as peer,
            dial.connect("127.0.0.1", peer.port, timeout_s=5) as plain,
            tls.ssl_wrap_socket(plain, server_hostname="localhost", **extra) as sock,
        ):
            assert sock.recv(1) == b"x"


def test_ssl_wrap_socket_trusts_the_usual_authorities_if_none_is_named() -> None:
    with ScriptServer([stall()], tls=certs().server()) as peer:
        with dial.connect("127.0.0.1", peer.port, timeout_s=5) as plain:
            with pytest.raises(ssl.SSLCertVerificationError):
                tls.ssl_wrap_socket(plain, server_hostname="localhost")


def test_addresses_are_told_from_names() -> None:
    """As urllib3 2.8.0 answers."""
    addresses: list[str | bytes] = ["127.0.0.1", "::1", "fe80::1%eth0", b"127.0.0.1"]
    assert all(tls.is_ipaddress(text) for text in addresses)
    assert all(tls.is_ipaddress(text) for text in ("2130706433", "0x7f000001", "0177.0.0.01", "127.1", b"127.0.1"))
    assert not any(tls.is_ipaddress(text) for text in ("[::1]", "a.b", "1::z", "", b"\xff", "1.2.3.256", "1 2", "1.a"))


def test_an_encrypted_key_file_is_recognised() -> None:
    assert tls._is_key_file_encrypted(certs().encrypted_key_file)
    assert not tls._is_key_file_encrypted(certs().client().key_file)


def test_the_names_urllib3_has_are_here() -> None:
    names = """ALPN_PROTOCOLS CERT_REQUIRED HASHFUNC_MAP HAS_NEVER_CHECK_COMMON_NAME IS_PYOPENSSL OP_NO_COMPRESSION
    OP_NO_SSLv2 OP_NO_SSLv3 OP_NO_TICKET PROTOCOL_SSLv23 PROTOCOL_TLS PROTOCOL_TLS_CLIENT VERIFY_X509_PARTIAL_CHAIN
    VERIFY_X509_STRICT ProxySchemeUnsupported SSLContext SSLError SSLTransport TLSVersion assert_fingerprint
    create_urllib3_context is_ipaddress resolve_cert_reqs resolve_ssl_version ssl_wrap_socket ssl CertificateError"""
    from poollib.util import ssl_  # the path adds what no module of poollib needs, in the same module object

    assert ssl_ is tls
    assert [name for name in names.split() if not hasattr(ssl_, name)] == []


# What a program puts in the place of ours


def test_a_context_of_another_class_shakes_hands_its_own_way() -> None:
    """truststore's verifies inside wrap_socket: it is not told to leave the handshake for later."""
    asked: list[dict[str, Any]] = []

    class Own(ssl.SSLContext):
        def wrap_socket(self, *words: Any, **named: Any) -> Any:
            asked.append(named)
            return super().wrap_socket(*words, **named)

    context = Own(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certs().ca_file)
    with shaken(TlsSettings(ssl_context=context)) as wrapped:
        assert wrapped.is_verified
    assert "do_handshake_on_connect" not in asked[0]


def test_errors_of_another_ssl_wrap_socket_are_told_as_ours_and_close_the_socket() -> None:
    """An SSLError of the system's is translated; an interrupt comes as it is."""
    for error, wanted in ((ssl.SSLError(1, "no"), SSLError), (KeyboardInterrupt(), KeyboardInterrupt)):

        def refuse(error: BaseException = error, **_: Any) -> Any:
            raise error

        near, far = socket.socketpair()
        with near, far, pytest.raises(wanted) as caught:
            tls.wrap_by(refuse, near, trusting(), "localhost")
        assert near.fileno() == -1
        assert caught.value is error or caught.value.__cause__ is error


@pytest.mark.parametrize("settings", [{"assert_fingerprint": "00" * 32}, {"assert_hostname": "other.example"}])
def test_what_another_ssl_wrap_socket_made_is_checked_and_closed_if_it_is_not_what_was_asked_for(
    settings: dict[str, Any],
) -> None:
    """Pins and names hold whoever shook hands; the server sees the end of it at once."""
    with ScriptServer([expect_end()], tls=certs().server()) as peer:
        sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        made: list[Any] = []

        def own(**named: Any) -> Any:
            made.append(tls.ssl_wrap_socket(**named))
            return made[0]

        with pytest.raises(SSLError):
            tls.wrap_by(own, sock, trusting(**settings), "localhost")
        assert made[0].fileno() == -1


def test_contexts_are_made_by_the_class_that_a_program_puts_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """urllib3's ``util.ssl_.SSLContext`` is patched by tests and by agents; None stands for a Python without TLS."""

    class Own(ssl.SSLContext):
        pass

    monkeypatch.setattr(tls, "SSLContext", Own)
    assert type(tls.create_urllib3_context()) is Own
    monkeypatch.setattr(tls, "SSLContext", None)
    with pytest.raises(TypeError, match="Can't create an SSLContext object without an ssl module"):
        tls.create_urllib3_context()


def test_ssl_wrap_socket_calls_a_stand_in_for_a_context_as_urllib3_does(monkeypatch: pytest.MonkeyPatch) -> None:
    context = mock.Mock()
    tls.ssl_wrap_socket(mock.Mock(), ssl_context=context, certfile="/cert", ca_cert_data="TOTALLY PEM DATA")
    context.load_cert_chain.assert_called_once_with("/cert", None)
    context.load_verify_locations.assert_called_once_with(None, None, "TOTALLY PEM DATA")
    context.load_default_certs.assert_not_called()
    context = mock.Mock(options=0, verify_flags=0, post_handshake_auth=None)
    monkeypatch.setattr(tls, "SSLContext", lambda protocol: context)
    tls.ssl_wrap_socket(mock.Mock())
    context.load_default_certs.assert_called_once_with()
    assert context.post_handshake_auth is None
    monkeypatch.setattr(tls, "SSLTransport", None)
    with pytest.raises(ProxySchemeUnsupported, match="TLS in TLS"):
        tls.ssl_wrap_socket(mock.Mock(), ssl_context=context, tls_in_tls=True)


def test_an_ssl_error_holds_what_caused_it() -> None:
    """``error.args[0].verify_code`` is what programs ask for."""
    with ScriptServer([stall()], tls=certs().server("other.example")) as peer:
        sock = dial.connect("127.0.0.1", peer.port, timeout_s=5)
        with pytest.raises(SSLError) as caught:
            tls.wrap(sock, trusting(), "localhost", timeout_s=4)
    cause = caught.value.args[0]
    assert isinstance(cause, ssl.SSLCertVerificationError)
    assert (cause, cause.verify_code) == (caught.value.__cause__, 62)
    assert str(caught.value) == str(cause)


def test_a_version_beside_a_context_counts_only_if_it_was_named() -> None:
    """The library's own oldest version is no wish: the context says itself what it speaks."""
    two, three = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    beside = tls_contexts._versions_beside
    assert beside(TlsSettings()) == (None, None)
    assert beside(TlsSettings(ssl_minimum_version=three)) == (three, None)
    assert beside(TlsSettings(ssl_maximum_version=two)) == (None, two)
    assert beside(TlsSettings(ssl_version=ssl.PROTOCOL_TLSv1_2)) == (two, two)


def test_the_second_context_warns_of_nothing_that_the_first_has_warned_of() -> None:
    """Warnings are errors in these tests."""
    given = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        given.minimum_version = ssl.TLSVersion.TLSv1
    rules = caller_ssl_context.rules_of(given)
    assert caller_ssl_context._second(given, rules).minimum_version is ssl.TLSVersion.TLSv1


def test_what_decides_trust_in_a_context_of_another_class_is_read_as_well() -> None:
    """truststore's, or a mock's: it need not have all that the library's own has."""

    class Foreign(ssl.SSLContext):
        """As in another module."""

    foreign = Foreign(ssl.PROTOCOL_TLS_CLIENT)
    before = caller_ssl_context.state_of(foreign)
    foreign.check_hostname = False
    assert caller_ssl_context.state_of(foreign) != before
    bare: Any = types.SimpleNamespace(verify_mode=ssl.CERT_REQUIRED, check_hostname=True)
    assert caller_ssl_context.state_of(bare)[-2:] == (None, None)


def test_a_context_with_authorities_of_its_own_weighs_more() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    keys = [tls_contexts._key_of(TlsSettings(ca_cert_data=data)) for data in (None, "a" * 500)]
    none, some = (tls_contexts._bytes_of(key, context) for key in keys)
    assert some == none + 500
