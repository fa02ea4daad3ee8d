"""botocore and boto3 against moto's server: S3 with multipart transfer in threads, streams, retries, other services."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.awsrequest
import botocore.config
import botocore.exceptions
import botocore.httpsession
import pytest
from boto3.s3.transfer import TransferConfig
from moto.server import ThreadedMotoServer

import poollib
from tests.support.httpd import Httpd, Response

MIB = 1 << 20


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The URL of a server that answers as AWS does."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def client(name: str, url: str, **config: Any) -> Any:
    return boto3.client(
        name,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="s",
        config=botocore.config.Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, **config),
    )


def test_it_is_poollib_that_runs() -> None:
    assert issubclass(botocore.awsrequest.AWSHTTPConnection, poollib.connection.HTTPConnection)
    assert issubclass(botocore.awsrequest.AWSHTTPSConnectionPool, poollib.HTTPSConnectionPool)
    assert botocore.httpsession.PoolManager is poollib.PoolManager


def test_objects_go_up_and_down(aws: str) -> None:
    s3 = client("s3", aws)
    s3.create_bucket(Bucket="first")
    body = os.urandom(100_000)
    s3.put_object(Bucket="first", Key="a/ü b", Body=body, Metadata={"m": "1"})
    assert s3.get_object(Bucket="first", Key="a/ü b")["Body"].read() == body
    assert s3.head_object(Bucket="first", Key="a/ü b")["Metadata"] == {"m": "1"}
    part = s3.get_object(Bucket="first", Key="a/ü b", Range="bytes=10-19")["Body"]
    assert part.read() == body[10:20]
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="first")["Contents"]] == ["a/ü b"]
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="first", Key="none")


def test_a_stream_is_read_in_pieces_with_a_time_limit_of_its_own(aws: str) -> None:
    s3 = client("s3", aws)
    s3.create_bucket(Bucket="streams")
    s3.put_object(Bucket="streams", Key="k", Body=b"line\n" * 50_000)
    body = s3.get_object(Bucket="streams", Key="k")["Body"]
    body.set_socket_timeout(3)
    assert body._raw_stream._fp.fp.raw._sock.gettimeout() == 3
    assert next(body.iter_lines()) == b"line"
    body.close()
    body = s3.get_object(Bucket="streams", Key="k")["Body"]
    assert sum(map(len, body.iter_chunks(7_000))) == 250_000


def test_large_files_go_in_parts_by_threads(aws: str) -> None:
    s3 = client("s3", aws, max_pool_connections=4)
    s3.create_bucket(Bucket="large")
    content = os.urandom(3 * MIB) * 4
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    s3.upload_fileobj(io.BytesIO(content), "large", "k", Config=config)
    assert s3.head_object(Bucket="large", Key="k")["ETag"].endswith('-3"')
    back = io.BytesIO()
    s3.download_fileobj("large", "k", back, Config=config)
    assert back.getvalue() == content


def test_other_services_speak_their_protocols(aws: str) -> None:
    sqs = client("sqs", aws)
    url = sqs.create_queue(QueueName="q")["QueueUrl"].replace("http://localhost", aws.rpartition(":")[0])
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "hello"
    table = client("dynamodb", aws)
    table.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table.put_item(TableName="t", Item={"k": {"S": "1"}})
    assert table.get_item(TableName="t", Key={"k": {"S": "1"}})["Item"] == {"k": {"S": "1"}}


def test_connections_are_kept(server: Httpd) -> None:
    server.routes["/b"] = lambda request: Response(b"<ListBucketResult></ListBucketResult>")
    s3 = client("s3", server.url)
    for _ in range(4):
        s3.list_objects_v2(Bucket="b")
    assert server.opened == 1


def test_an_upload_waits_for_100_continue_and_stops_at_a_refusal() -> None:
    """botocore has its own 100-continue, on ``_send_output``, ``send`` and ``response_class`` of the connection."""
    heads: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for refuse in (False, True):
            sock, _ = listener.accept()
            with sock:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += sock.recv(65536)
                heads.append(data)
                if refuse:
                    sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    heads.append(sock.recv(65536))
                    continue
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = data.partition(b"\r\n\r\n")[2]
                while len(body) < 2 * MIB:
                    body += sock.recv(65536)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        s3 = client("s3", f"http://127.0.0.1:{listener.getsockname()[1]}", request_checksum_calculation="when_required")
        s3.put_object(Bucket="b", Key="k", Body=io.BytesIO(b"x" * 2 * MIB))
        with pytest.raises(botocore.exceptions.ClientError, match="403"):
            s3.put_object(Bucket="b", Key="k", Body=io.BytesIO(b"x" * 2 * MIB))
        s3.close()
        thread.join(5)
    assert b"Expect: 100-continue" in heads[0]
    assert heads[0].endswith(b"\r\n\r\n")
    assert heads[2] == b""


def test_errors_are_botocores_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(botocore.exceptions.ReadTimeoutError):
            client("s3", url, read_timeout=0.05).list_buckets()
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        client("s3", url).list_buckets()
