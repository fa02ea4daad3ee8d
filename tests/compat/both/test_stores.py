"""Clients of stores that drive pools by themselves: opensearch-py, clickhouse-connect."""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.compat.both.answers import as_json, in_turn
from tests.support.certs import Certs
from tests.support.httpd import Httpd, Request, Response

# -- opensearch-py --


def opensearch(server: Httpd, **settings: Any) -> Any:
    import opensearchpy

    host = {"host": "localhost" if server.tls else "127.0.0.1", "port": server.port}
    return opensearchpy.OpenSearch(hosts=[host], use_ssl=server.tls is not None, **{"timeout": 5, **settings})


@pytest.mark.parametrize("kind", ["Urllib3HttpConnection", "RequestsHttpConnection"])
def test_opensearch_searches_and_packs_its_bodies(tls_server: Httpd, authority: Certs, kind: str) -> None:
    import opensearchpy

    def search(request: Request) -> Response:
        return as_json({"hits": {"hits": [{"_id": "1", "_source": json.loads(zlib.decompress(request.body, 47))}]}})

    tls_server.routes["/i/_search"] = search
    client = opensearch(
        tls_server, ca_certs=authority.ca_file, http_auth=("u", "p"), http_compress=True, pool_maxsize=3,
        connection_class=getattr(opensearchpy, kind),
    )  # fmt: skip
    for _ in range(3):
        assert client.search(index="i", body={"q": "ü"})["hits"]["hits"][0]["_source"] == {"q": "ü"}
    client.close()
    (request, *_) = tls_server.requests
    assert (request.header("Authorization"), request.header("Content-Encoding")) == ("Basic dTpw", "gzip")
    assert tls_server.opened == 1


def test_opensearch_writes_in_bulk_from_many_threads(server: Httpd) -> None:
    from opensearchpy import helpers

    def bulk(request: Request) -> Response:
        actions = [json.loads(line) for line in request.body.splitlines()[::2]]
        return as_json(
            {"errors": False, "items": [{"index": {"_id": a["index"]["_id"], "status": 201}} for a in actions]}
        )

    server.routes["/_bulk"] = bulk
    client = opensearch(server, pool_maxsize=2)
    actions = [{"_index": "i", "_id": str(number), "n": number} for number in range(40)]
    done = list(helpers.parallel_bulk(client, actions, thread_count=4, chunk_size=5))
    client.close()
    assert all(ok for ok, _ in done)
    assert (len(done), len(server.requests)) == (40, 8)


def test_opensearch_tells_its_errors_apart(server: Httpd, authority: Certs) -> None:
    import opensearchpy.exceptions as errors

    let_go = threading.Event()

    def slow(request: Request) -> Response:
        let_go.wait(20)
        return as_json({})

    server.routes["/i/_doc/none"] = in_turn(as_json({"found": False}, 404))
    server.routes["/i/_doc/clash"] = in_turn(as_json({"error": "clash"}, 409))
    server.routes["/i/_doc/slow"] = slow
    client = opensearch(server, max_retries=0)
    for name, kind in (("none", errors.NotFoundError), ("clash", errors.ConflictError)):
        with pytest.raises(kind):
            client.get(index="i", id=name)
    try:
        with pytest.raises(errors.ConnectionTimeout) as late:
            client.get(index="i", id="slow", request_timeout=0.02)
    finally:
        let_go.set()
    assert isinstance(late.value.info, urllib3.exceptions.ReadTimeoutError)
    client.close()


def test_opensearch_refuses_who_is_not_known(tls_server: Httpd, authority: Certs) -> None:
    import opensearchpy.exceptions as errors

    (pair,) = {authority.pair("localhost", "127.0.0.1")}
    with pytest.raises(errors.SSLError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        opensearch(tls_server, max_retries=0).info()
    assert isinstance(caught.value.info, urllib3.exceptions.SSLError)
    tls_server.routes["/"] = in_turn(as_json({"version": {"number": "3.0"}}))
    pinned = {"verify_certs": False, "ssl_show_warn": False}
    right = hashlib.sha256(pair.der).hexdigest()
    assert opensearch(tls_server, ssl_assert_fingerprint=right, **pinned).info()["version"]["number"] == "3.0"
    with pytest.raises(errors.SSLError, match="Fingerprints did not match"):
        opensearch(tls_server, ssl_assert_fingerprint="0" * 64, max_retries=0, **pinned).info()


def test_opensearch_goes_to_the_next_node_and_comes_back(server: Httpd) -> None:
    import opensearchpy

    server.routes["/"] = in_turn(as_json({"name": "first"}, 503), as_json({"name": "again"}))
    with Httpd({"/": in_turn(as_json({"name": "second"}))}) as second:
        hosts = [{"host": "127.0.0.1", "port": port} for port in (server.port, second.port)]
        client = opensearchpy.OpenSearch(hosts=hosts, randomize_hosts=False, retry_on_timeout=True, max_retries=1)
        names = {client.info()["name"] for _ in range(4)}
        client.close()
    assert names <= {"second", "again"}


# -- clickhouse-connect --


def varint(number: int) -> bytes:
    return bytes([number])


def string(text: str) -> bytes:
    return varint(len(text)) + text.encode()


def block(columns: dict[str, tuple[str, bytes]], rows: int) -> bytes:
    """One block of ClickHouse's Native format: column and row count, then name, type and data of each column."""
    parts = [varint(len(columns)), varint(rows)]
    parts += [string(name) + string(kind) + data for name, (kind, data) in columns.items()]
    return b"".join(parts)


NUMBERS = block({"n": ("UInt8", bytes(range(50)))}, 50)
SETTINGS = block(
    {
        "name": ("String", string("max_threads")),
        "value": ("String", string("1")),
        "readonly": ("UInt8", b"\0"),
    },
    rows=1,
)


def clickhouse(request: Request) -> Response:
    """What a ClickHouse server answers to the few statements that the tests send."""
    text = request.body.decode("latin-1") + request.query.get("query", "")
    about = {"X-ClickHouse-Summary": "{}", "X-ClickHouse-Timezone": "UTC"}
    if "version()" in text:
        return Response(b"25.3.1\tUTC\tdefault\n", headers=about)
    if "system.settings" in text:
        return Response(SETTINGS, headers={**about, "X-ClickHouse-Format": "Native"})
    if "INSERT" in text:
        return Response(b"", headers=about)
    if "broken" in text:
        return Response(b"Code: 60. DB::Exception: no such table", 404, {**about, "X-ClickHouse-Exception-Code": "60"})
    pieces = [NUMBERS[:3], NUMBERS[3:30], NUMBERS[30:] + NUMBERS]
    return Response(pieces, headers={**about, "X-ClickHouse-Format": "Native"})


@pytest.fixture
def store(server: Httpd) -> Iterator[Any]:
    import clickhouse_connect

    server.routes["/"] = clickhouse
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=server.port, compress=False, autogenerate_session_id=False, query_retries=0
    )
    yield client
    client.close()


def test_clickhouse_reads_whole_and_in_blocks(store: Any, server: Httpd) -> None:
    assert store.server_version == "25.3.1"
    assert store.query("SELECT n FROM t").result_columns == [[*range(50), *range(50)]]
    with store.query_column_block_stream("SELECT n FROM t") as stream:
        assert [list(column) for block in stream for column in block] == [list(range(50))] * 2
    with store.raw_stream("SELECT n FROM t", fmt="Native") as raw:
        assert raw.read() == NUMBERS * 2
    with store.query_rows_stream("SELECT n FROM t") as rows:
        assert next(iter(rows)) == (0,)
    assert store.command("SELECT version()") == ["25.3.1", "UTC", "default"]
    assert server.opened == 1


def test_clickhouse_inserts_from_a_generator(store: Any, server: Httpd) -> None:
    store.raw_insert("t", ["n"], insert_block=(bytes([number]) * 9 for number in range(3)), fmt="RowBinary")
    assert server.requests[-1].query["query"] == "INSERT INTO t (`n`) FORMAT RowBinary"
    assert server.requests[-1].body == b"\0" * 9 + b"\1" * 9 + b"\2" * 9
    assert server.requests[-1].header("Transfer-Encoding") == "chunked"


def test_clickhouse_names_the_server_error_and_a_stream_cut_short(store: Any, server: Httpd) -> None:
    import clickhouse_connect.driver.exceptions as errors

    with pytest.raises(errors.DatabaseError, match="no such table"):
        store.query("SELECT broken")

    def cut(request: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            yield NUMBERS
            raise ConnectionError("the server fails")

        return Response(pieces(), headers={"X-ClickHouse-Format": "Native"})

    server.routes["/"] = cut
    with pytest.raises(errors.OperationalError) as caught, store.query_column_block_stream("SELECT n") as stream:
        for _ in stream:
            pass
    assert isinstance(caught.value.__cause__.__cause__, urllib3.exceptions.ProtocolError)


def test_clickhouse_asks_from_many_threads(store: Any, server: Httpd) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as threads:
        sizes = list(threads.map(lambda _: len(store.query("SELECT n FROM t").result_rows), range(40)))
    assert sizes == [100] * 40
    assert server.open_most <= 9
