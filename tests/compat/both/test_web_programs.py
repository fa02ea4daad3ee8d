"""Programs that go below requests or around it: yt-dlp and streamlink, a cache, clients of Vault, GitLab and GitHub."""

from __future__ import annotations

import gzip
import hashlib
import pathlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import urllib3.util.url

from tests.compat.both.answers import as_json, in_turn
from tests.support.httpd import Httpd, Request, Response
from tests.support.script import ScriptServer, close, expect_request, send

FILM = bytes(range(256)) * 400


@pytest.fixture(scope="module", autouse=True)
def what_they_replace() -> Iterator[None]:
    """yt-dlp and streamlink, once imported, put functions and patterns of their own into requests and urllib3."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((requests.adapters, "select_proxy"), (urllib3.util.url, "_PERCENT_RE")):
            patch.setattr(owner, name, getattr(owner, name))
        yield


def film(request: Request) -> Response:
    """The film or the piece of it that is asked for."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "video/mp4"}
    wanted = request.header("Range")
    if wanted is None:
        return Response(FILM, headers=headers)
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    start, stop = int(first), int(last or len(FILM) - 1) + 1
    place = {"Content-Range": f"bytes {start}-{stop - 1}/{len(FILM)}"}
    return Response(FILM[start:stop], status=206, headers={**headers, **place})


def moved(target: str) -> Any:
    return lambda request: Response(status=302, headers={"Location": target})


# -- yt-dlp: pools, connections and a pattern for URLs of its own --


def ask(url: str, **settings: Any) -> Any:
    """The answer that yt-dlp's handler of requests gives."""
    import yt_dlp
    from yt_dlp.networking import Request as Wish

    with yt_dlp.YoutubeDL({"quiet": True, **settings}) as program:
        handler = program._request_director.handlers["Requests"]
        answer = handler.send(Wish(url, headers={"Accept-Encoding": "gzip"}))
        return answer, answer.read()


def test_yt_dlp_follows_decodes_and_verifies(server: Httpd, tls_server: Httpd) -> None:
    server.routes.update({"/film": film, "/moved": moved("/film")})
    packed = {"Content-Encoding": "gzip"}
    server.routes["/packed"] = lambda request: Response(gzip.compress(b"z" * 5000), headers=packed)
    answer, data = ask(f"{server.url}/moved")
    assert (answer.status, answer.url, data) == (200, f"{server.url}/film", FILM)
    answer, data = ask(f"{server.url}/packed")
    assert (answer.headers["Content-Encoding"], data) == ("gzip", b"z" * 5000)
    assert ask(f"{server.url}/a%2fb?c=%2f")[0].status == 200
    assert server.requests[-1].target == "/a%2fb?c=%2f"
    from yt_dlp.networking.exceptions import CertificateVerifyError

    with pytest.raises(CertificateVerifyError):
        ask(tls_server.url)
    assert ask(tls_server.url, nocheckcertificate=True)[0].status == 200


def test_yt_dlp_tells_its_errors_apart(server: Httpd) -> None:
    from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, ProxyError, TransportError

    server.routes["/none"] = lambda request: Response(status=404)
    with pytest.raises(HTTPError, match="404"):
        ask(f"{server.url}/none")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(TransportError, match="Connection refused"):
        ask(f"http://{address}/")
    with pytest.raises(ProxyError):
        ask(server.url, proxy=f"http://{address}")
    with pytest.raises(TransportError, match="refused"):
        ask(server.url, proxy=f"socks5://{address}")
    short = [expect_request(), send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour"), close()]
    with ScriptServer(short) as cut, pytest.raises(IncompleteRead):
        ask(f"http://{cut.host}:{cut.port}/")


def test_yt_dlp_downloads_in_pieces(server: Httpd, tmp_path: pathlib.Path) -> None:
    import yt_dlp

    server.routes["/film.mp4"] = film
    settings = {"quiet": True, "noprogress": True, "outtmpl": f"{tmp_path}/film.%(ext)s", "http_chunk_size": 30000}
    with yt_dlp.YoutubeDL(settings) as program:
        program.download([f"{server.url}/film.mp4"])
    assert (tmp_path / "film.mp4").read_bytes() == FILM
    pieces = [request.header("Range") or "" for request in server.requests]
    assert len(pieces) > 4
    assert pieces[-1].endswith("-102399")


# -- streamlink: threads that read streams, a pattern for URLs --


def test_streamlink_plays_pieces_and_keeps_urls_as_they_are(server: Httpd) -> None:
    import streamlink

    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:2", *["#EXTINF:2,", "/film"] * 3, "#EXT-X-ENDLIST"]
    kind = {"Content-Type": "application/vnd.apple.mpegurl"}
    server.routes["/list.m3u8"] = lambda request: Response("\n".join(lines).encode(), headers=kind)
    server.routes["/film"] = film
    session = streamlink.Streamlink()
    (stream, *_) = session.streams(f"hls://{server.url}/list.m3u8").values()
    with stream.open() as played:
        read = b"".join(iter(lambda: played.read(8192), b""))
    assert read == FILM * 3
    assert session.http.get(f"{server.url}/a%2fb?c=%2f").url == f"{server.url}/a%2fb?c=%2f"
    assert server.requests[-1].target == "/a%2fb?c=%2f"


# -- requests-cache: keeps raw responses, pickled --


@pytest.mark.parametrize("backend", ["memory", "filesystem", "sqlite"])
def test_requests_cache_keeps_responses(server: Httpd, tmp_path: pathlib.Path, backend: str) -> None:
    import requests_cache

    packed = {"Content-Encoding": "gzip", "ETag": '"e"'}
    server.routes.update({"/packed": lambda request: Response(gzip.compress(b"z" * 5000), headers=packed)})
    server.routes["/moved"] = moved("/packed")
    for turn in range(2):
        with requests_cache.CachedSession(str(tmp_path / "kept"), backend=backend) as session:
            for _ in range(2):
                answer = session.get(f"{server.url}/moved")
                assert (answer.content, len(answer.history)) == (b"z" * 5000, 1)
            assert answer.from_cache
            streamed = session.get(f"{server.url}/packed", stream=True)
            assert b"".join(streamed.iter_content(700)) == b"z" * 5000
        if backend != "memory":
            assert [request.path for request in server.requests] == ["/moved", "/packed"], turn


# -- Vault, GitLab, GitHub: sessions with retries of their own --


def test_hvac_reads_writes_and_names_what_is_denied(server: Httpd) -> None:
    import hvac

    secret = {"data": {"data": {"k": "v"}, "metadata": {}}}
    server.routes["/v1/secret/data/p"] = lambda request: as_json(secret)
    server.routes["/v1/denied"] = lambda request: as_json({"errors": ["permission denied"]}, 403)
    client = hvac.Client(url=server.url, token="t")
    read = client.secrets.kv.v2.read_secret_version(path="p", raise_on_deleted_version=True)
    assert read["data"]["data"] == {"k": "v"}
    client.secrets.kv.v2.create_or_update_secret(path="p", secret={"a": "b"})
    assert server.requests[-1].header("X-Vault-Token") == "t"
    with pytest.raises(hvac.exceptions.Forbidden, match="permission denied"):
        client.read("denied")


def test_gitlab_turns_pages_and_tries_again(server: Httpd) -> None:
    import gitlab

    link = f'<{server.url}/api/v4/more>; rel="next"'
    server.routes["/api/v4/projects"] = lambda request: as_json([{"id": 1, "name": "a"}], Link=link)
    server.routes["/api/v4/more"] = lambda request: as_json([{"id": 2, "name": "b"}])
    server.routes["/api/v4/busy"] = in_turn(as_json({}, 503, **{"Retry-After": "0"}), as_json({"done": 1}))
    server.routes["/api/v4/projects/9"] = lambda request: as_json({"message": "404 Not found"}, 404)
    client = gitlab.Gitlab(server.url, private_token="t", retry_transient_errors=True)
    assert [project.name for project in client.projects.list(iterator=True)] == ["a", "b"]
    with pytest.raises(gitlab.exceptions.GitlabGetError, match="404 Not found"):
        client.projects.get(9)
    assert client.http_get("/busy") == {"done": 1}


def test_github_counts_its_retries_by_a_class_of_its_own(server: Httpd) -> None:
    """GithubRetry overrides ``increment`` and reads the answer's body there."""
    import github

    limited = as_json({"message": "API rate limit exceeded"}, 403, **{"X-RateLimit-Reset": "0"})
    server.routes["/user"] = in_turn(as_json({}, 500), limited, as_json({"login": "me", "id": 1}))
    server.routes["/repos/a/b"] = lambda request: as_json({"message": "Not Found"}, 404)
    policy = github.GithubRetry(total=3, backoff_factor=0.001, secondary_rate_wait=0)
    client = github.Github(base_url=server.url, retry=policy, seconds_between_requests=0, seconds_between_writes=0)
    assert client.get_user().login == "me"
    with pytest.raises(github.UnknownObjectException):
        client.get_repo("a/b")
    assert [request.path for request in server.requests] == ["/user"] * 3 + ["/repos/a/b"]


def test_pooch_fetches_by_a_redirect_and_checks_the_sum(server: Httpd, tmp_path: pathlib.Path) -> None:
    import pooch

    server.routes.update({"/film": film, "/moved": moved("/film")})
    right = hashlib.sha256(FILM).hexdigest()
    assert pathlib.Path(pooch.retrieve(f"{server.url}/moved", right, "a", tmp_path)).read_bytes() == FILM
    with pytest.raises(ValueError, match="hash"):
        pooch.retrieve(f"{server.url}/moved", "0" * 64, "b", tmp_path)


def test_requests_unixsocket_asks_by_a_path(tmp_path: pathlib.Path) -> None:
    """A pool and a connection of its own: the socket is opened by its ``connect``."""
    import requests_unixsocket

    path = str(tmp_path / "s")
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            with listener.accept()[0] as sock:
                while b"\r\n\r\n" not in b"".join(heard):
                    heard.append(sock.recv(65536))
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=answer)
        thread.start()
        with requests_unixsocket.Session() as session:
            assert session.get("http+unix://" + path.replace("/", "%2F") + "/a?b=c", timeout=10).text == "ok"
        thread.join(10)
    assert b"".join(heard).startswith(b"GET /a?b=c HTTP/1.1\r\n")
