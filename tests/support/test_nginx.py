"""nginx starts with its four servers, demands certificates where it should, and its log is read rightly."""

import http.client
import pathlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import trustme

from tests.support.nginx import TEXT, WHY_SKIPPED, Nginx, find_nginx

pytestmark = pytest.mark.skipif(find_nginx() is None, reason=WHY_SKIPPED)


@dataclass(frozen=True)
class Running:
    nginx: Nginx
    authority: trustme.CA


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, authority = tmp_path_factory.mktemp("nginx"), trustme.CA()
    files = write_certificates(folder, authority)
    (folder / "nginx").mkdir()
    with Nginx(folder / "nginx", cert_file=files[0], key_file=files[1], client_ca_file=files[2]) as nginx:
        yield Running(nginx, authority)


def write_certificates(folder: pathlib.Path, authority: trustme.CA) -> tuple[str, str, str]:
    leaf = authority.issue_cert("127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "cert.pem"), str(folder / "key.pem"), str(folder / "ca.pem")


def get(connection: http.client.HTTPConnection, target: str) -> tuple[int, bytes]:
    connection.request("GET", target, headers={"X-Token": "t"})
    response = connection.getresponse()
    return response.status, response.read()


def test_the_log_tells_which_connection_served_a_request(running: Running) -> None:
    nginx, port = running.nginx, running.nginx.plain
    for number in range(2):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        assert get(connection, f"/echo?n={number}") == (200, b"GET %d t" % number)
        assert get(connection, "/text.txt") == (200, TEXT)
        connection.close()
    rows = nginx.served(port, 4)
    assert rows[0].connection == rows[1].connection != rows[2].connection == rows[3].connection
    assert (rows[2].request, rows[2].status) == ("GET /echo?n=1 HTTP/1.1", 200)
    assert nginx.served(port, 1, skip=3) == rows[3:]
    assert nginx.count(port) == 4


def test_the_closing_server_keeps_no_connection(running: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.nginx.closing)
    connection.request("GET", "/empty")
    response = connection.getresponse()
    assert (response.status, response.headers["Connection"]) == (204, "close")
    connection.close()


def test_one_server_demands_a_client_certificate(running: Running) -> None:
    trusting = ssl.create_default_context()
    running.authority.configure_trust(trusting)
    for port, status in ((running.nginx.tls, 200), (running.nginx.mutual, 400)):
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting)
        assert get(connection, "/echo")[0] == status
        connection.close()
    running.authority.issue_cert("someone@example.org", common_name="someone").configure_cert(trusting)
    connection = http.client.HTTPSConnection("127.0.0.1", running.nginx.mutual, context=trusting)
    assert b"CN=someone" in get(connection, "/subject")[1]
    connection.close()


def test_a_start_that_fails_says_why(running: Running, tmp_path: pathlib.Path) -> None:
    with pytest.raises(RuntimeError, match="no-such-file"):
        Nginx(tmp_path, cert_file="/no-such-file", key_file="/no-such-file", client_ca_file="/no").__enter__()
