"""Fields and JSON through RequestMethods, and the same encoding for `urlopen`."""

from __future__ import annotations

import io
from typing import Any

import pytest

from poollib.base.headers import HTTPHeaderDict
from poollib.client.request_encoding import RequestMethods, encode_fields, encode_json
from poollib.http1.multipart import MultipartStream


class Recorder(RequestMethods):
    """A pool that only notes what `urlopen` was called with."""

    def urlopen(self, method: str, url: str, *args: Any, **kw: Any) -> Any:
        assert not args
        return method, url, {name: dict(value) if name == "headers" else value for name, value in kw.items()}


OWN = {"X": "1"}
FORM = b'--BB\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--BB--\r\n'


class TestRequestMethods:
    """urllib3's RequestMethods: what `request` hands to `urlopen`."""

    @pytest.mark.parametrize(
        ("method", "given", "url", "sent"),
        [
            ("get", {}, "/", {"headers": OWN}),
            (
                "GET",
                {"timeout": 3, "preload_content": False},
                "/",
                {"headers": OWN, "timeout": 3, "preload_content": False},
            ),
            ("GET", {"headers": {}}, "/", {"headers": {}}),
            ("GET", {"headers": {"A": "b"}}, "/", {"headers": {"A": "b"}}),
            ("GET", {"fields": {"a": "1 2"}}, "/?a=1+2", {"headers": OWN}),
            ("HEAD", {"fields": [("a", 1), ("a", "ü")]}, "/?a=1&a=%C3%BC", {"headers": OWN}),
            ("DELETE", {"fields": {"a": 1}, "body": b"x"}, "/?a=1", {"headers": OWN, "body": b"x"}),
            ("OPTIONS", {"fields": {}}, "/", {"headers": OWN}),
            ("POST", {}, "/", {"headers": OWN}),
            ("POST", {"body": "x"}, "/", {"headers": OWN, "body": "x"}),
            ("POST", {"fields": {}}, "/", {"headers": OWN}),
            (
                "POST",
                {"fields": {"a": "b"}, "multipart_boundary": "BB"},
                "/",
                {"headers": {**OWN, "Content-Type": "multipart/form-data; boundary=BB"}, "body": FORM},
            ),
            (
                "put",
                {"fields": {"a": "ü b"}, "encode_multipart": False},
                "/",
                {"headers": {**OWN, "Content-Type": "application/x-www-form-urlencoded"}, "body": "a=%C3%BC+b"},
            ),
            (
                "POST",
                {"fields": {"a": "b"}, "multipart_boundary": "BB", "headers": {"content-type": "x/y"}},
                "/",
                {"headers": {"content-type": "x/y"}, "body": FORM},
            ),
            (
                "POST",
                {"json": {"a": "ü", "b": [1, None]}},
                "/",
                {"headers": {**OWN, "Content-Type": "application/json"}, "body": '{"a":"ü","b":[1,null]}'.encode()},
            ),
            (
                "GET",
                {"json": [], "headers": {"CONTENT-TYPE": "x"}},
                "/",
                {"headers": {"CONTENT-TYPE": "x"}, "body": b"[]"},
            ),
            ("POST", {"json": False}, "/", {"headers": {**OWN, "Content-Type": "application/json"}, "body": b"false"}),
            ("POST", {"json": None}, "/", {"headers": OWN}),
            ("GET", {"multipart_boundary": "BB", "encode_multipart": True}, "/", {"headers": OWN}),
        ],
    )
    def test_request_calls_urlopen_with(
        self, method: str, given: dict[str, Any], url: str, sent: dict[str, Any]
    ) -> None:
        own = dict(OWN)
        assert Recorder(own).request(method, "/", **given) == (method.upper(), url, sent)
        assert own == OWN

    @pytest.mark.parametrize(
        "given",
        [{"json": 1, "body": b"x"}, {"json": 1, "fields": {"a": "b"}}, {"fields": {"a": "b"}, "body": b"x"}],
    )
    def test_a_request_has_one_body(self, given: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match=r"request got values for both '(body|fields)' and '(json|body)'"):
            Recorder().request("POST", "/", **given)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("/", "/?a=1"),
            ("/?b=2", "/?b=2&a=1"),
            ("/?", "/?a=1"),
            ("/?b&", "/?b&a=1"),
            ("http://h/p#frag?x", "http://h/p?a=1#frag?x"),
        ],
    )
    def test_fields_join_the_query_a_url_has(self, url: str, expected: str) -> None:
        """urllib3 appends a second question mark, behind the fragment."""
        assert Recorder().request("GET", url, fields={"a": 1})[1] == expected

    def test_headers_of_several_lines_stay_apart(self) -> None:
        class Keeper(RequestMethods):
            def urlopen(self, method: str, url: str, *args: Any, **kw: Any) -> Any:
                return kw["headers"]

        headers = HTTPHeaderDict([("Cookie", "a"), ("Cookie", "b")])
        sent = Keeper().request("POST", "/", json=1, headers=headers)
        assert sent.getlist("cookie") == ["a", "b"]
        assert "content-type" not in headers

    def test_a_form_with_a_file_is_streamed(self) -> None:
        _, _, sent = Recorder().request("POST", "/", fields={"a": io.BytesIO(b"x")}, multipart_boundary="BB")
        assert isinstance(sent["body"], MultipartStream)
        assert sent["headers"]["Content-Type"] == "multipart/form-data; boundary=BB"
        assert b"\r\n\r\nx\r\n--BB--" in b"".join(sent["body"])

    def test_the_halves_stand_alone(self) -> None:
        pool = Recorder(OWN)
        assert pool.request_encode_url("GET", "/", {"a": 1}, timeout=1) == (
            "GET",
            "/?a=1",
            {"headers": OWN, "timeout": 1},
        )
        _, _, sent = pool.request_encode_body("POST", "/", {"a": "b"}, {"A": "b"}, False, None, timeout=1)
        content_type = "application/x-www-form-urlencoded"
        assert sent == {"headers": {"A": "b", "Content-Type": content_type}, "body": "a=b", "timeout": 1}

    def test_a_subclass_s_own_half_is_used_even_with_nothing_to_encode(self) -> None:
        class Own(Recorder):
            def request_encode_url(self, method: str, url: str, *args: Any, **kw: Any) -> Any:
                return "own", super().request_encode_url(method, url, *args, **kw)

        class Child(Own):
            pass

        assert Child().request("GET", "/", body=b"x") == ("own", ("GET", "/", {"headers": {}, "body": b"x"}))
        assert Child().request("POST", "/") == ("POST", "/", {"headers": {}})

    def test_the_base_class_sends_nothing(self) -> None:
        assert RequestMethods().headers == {}
        with pytest.raises(NotImplementedError, match="RequestMethods has no urlopen"):
            RequestMethods().request("GET", "/")


class TestEncodeFields:
    """The same encoding for `urlopen(fields=)`."""

    def test_without_fields_everything_comes_back_as_it_is(self) -> None:
        body, headers = object(), object()
        for fields in (None, {}, []):
            url, same_body, same_headers = encode_fields("POST", "/", fields, body, headers)  # type: ignore[arg-type]
            assert (url, same_body, same_headers) == ("/", body, headers)

    def test_fields_go_where_request_puts_them(self) -> None:
        assert encode_fields("get", "/", {"a": 1}, b"x", None) == ("/?a=1", b"x", None)
        encoded = encode_fields("POST", "/", {"a": "b"}, None, {"A": "b"}, True, "BB")
        assert (encoded.url, encoded.body) == ("/", FORM)
        assert encoded.headers == HTTPHeaderDict({"A": "b", "Content-Type": "multipart/form-data; boundary=BB"})
        assert encode_fields("PATCH", "/", {"a": "b"}, encode_multipart=False).body == "a=b"
        with pytest.raises(TypeError, match=r"request got values for both '(body|fields)' and '(json|body)'"):
            encode_fields("POST", "/", {"a": "b"}, b"x")

    def test_json_is_compact_utf_8(self) -> None:
        assert encode_json({"a": ["ü", 1]}) == (
            '{"a":["ü",1]}'.encode(),
            HTTPHeaderDict({"Content-Type": "application/json"}),
        )
        with pytest.raises(TypeError):
            encode_json(object())
