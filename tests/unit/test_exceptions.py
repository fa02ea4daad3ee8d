"""The error tree: its shape, its constructors, its messages, and that every error travels by pickle."""

from __future__ import annotations

import copy
import http.client
import inspect
import pickle
import threading
from typing import Any

import pytest

from poollib import exceptions as e


class Owner:
    """A pool, connection or response: it has a text, and a lock that cannot be pickled."""

    length_remaining = 7

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __str__(self) -> str:
        return "OWNER"

    def tell(self) -> int:
        return 5


#: name -> bases, as urllib3 2.8.0 has them
TREE = {
    "HTTPError": (Exception,),
    "PoolError": (e.HTTPError,),
    "RequestError": (e.PoolError,),
    "MaxRetryError": (e.RequestError,),
    "HostChangedError": (e.RequestError,),
    "ReadTimeoutError": (e.TimeoutError, e.RequestError),
    "EmptyPoolError": (e.PoolError,),
    "FullPoolError": (e.PoolError,),
    "ClosedPoolError": (e.PoolError,),
    "SSLError": (e.HTTPError,),
    "ProxyError": (e.HTTPError,),
    "DecodeError": (e.HTTPError,),
    "ProtocolError": (e.HTTPError,),
    "ResponseNotChunked": (e.ProtocolError, ValueError),
    "TimeoutError": (e.HTTPError,),
    "ConnectTimeoutError": (e.TimeoutError,),
    "NewConnectionError": (e.ConnectTimeoutError, e.HTTPError),
    "NameResolutionError": (e.NewConnectionError,),
    "TimeoutStateError": (e.HTTPError,),
    "ResponseError": (e.HTTPError,),
    "BodyNotHttplibCompatible": (e.HTTPError,),
    "IncompleteRead": (e.HTTPError, http.client.IncompleteRead),
    "InvalidChunkLength": (e.HTTPError, http.client.IncompleteRead),
    "InvalidHeader": (e.HTTPError,),
    "HeaderParsingError": (e.HTTPError,),
    "UnrewindableBodyError": (e.HTTPError,),
    "LocationValueError": (ValueError, e.HTTPError),
    "LocationParseError": (e.LocationValueError,),
    "URLSchemeUnknown": (e.LocationValueError,),
    "ProxySchemeUnknown": (AssertionError, e.URLSchemeUnknown),
    "ProxySchemeUnsupported": (ValueError,),
    "HTTPWarning": (Warning,),
    "SecurityWarning": (e.HTTPWarning,),
    "InsecureRequestWarning": (e.SecurityWarning,),
    "NotOpenSSLWarning": (e.SecurityWarning,),
    "SystemTimeWarning": (e.SecurityWarning,),
    "InsecurePlatformWarning": (e.SecurityWarning,),
    "DependencyWarning": (e.HTTPWarning,),
    # poollib's own
    "WriteTimeoutError": (e.ReadTimeoutError,),
    "DeadlineExceededError": (e.TimeoutError,),
    "InvalidResponseError": (e.ProtocolError,),
    "InvalidFramingError": (e.InvalidHeader,),
    "HTTPStatusError": (e.HTTPError,),
    "ResponseTooLargeError": (e.HTTPError,),
    "InsecureRedirectError": (e.HTTPError,),
    "BlockedHostError": (e.HTTPError,),
    "CircuitOpenError": (e.PoolError,),
    "TooManyWaitingError": (e.EmptyPoolError,),
    "RateLimitError": (e.EmptyPoolError,),
}

#: class name -> arguments it is made of here; all others take one text
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "PoolError": (Owner(), "m"),
    "RequestError": (Owner(), "/u", "m"),
    "MaxRetryError": (Owner(), "/u", ValueError("why")),
    "HostChangedError": (Owner(), "/u", 5),
    "ReadTimeoutError": (Owner(), "/u", "m"),
    "WriteTimeoutError": (Owner(), "/u", "m"),
    "EmptyPoolError": (Owner(), "m"),
    "FullPoolError": (Owner(), "m"),
    "ClosedPoolError": (Owner(), "m"),
    "ProxyError": ("m", OSError(5, "why")),
    "ConnectTimeoutError": (Owner(), "timed out"),
    "NewConnectionError": (Owner(), "m"),
    "NameResolutionError": ("h", Owner(), OSError(-2, "why")),
    "IncompleteRead": (5, 10),
    "InvalidChunkLength": (Owner(), b"zz"),
    "HeaderParsingError": ([], b"rest"),
    "DeadlineExceededError": ("m", "connecting"),
    "HTTPStatusError": ("m", 404),
    "ResponseTooLargeError": ("m", 10),
    "InsecureRedirectError": ("https://a/", "http://b/"),
    "CircuitOpenError": (Owner(), "m", 1.5),
    "TooManyWaitingError": (Owner(), "m"),
    "RateLimitError": (Owner(), "m", 1.5),
}

PROCESS_BOUND = {"pool", "conn", "response"}


def classes() -> list[type[BaseException]]:
    return [
        cls
        for _, cls in inspect.getmembers(e, inspect.isclass)
        if issubclass(cls, BaseException) and cls.__module__ == e.__name__
    ]


def made(cls: type[BaseException]) -> BaseException:
    return cls(*ARGUMENTS.get(cls.__name__, ("text",)))


def test_the_tree_is_urllib3s_and_poollibs_own_and_nothing_else() -> None:
    """urllib3's exception tree: same names, same bases."""
    assert {cls.__name__: cls.__bases__ for cls in classes()} == TREE


def test_connection_error_is_another_name_of_protocol_error() -> None:
    """urllib3 keeps its former name."""
    assert e.ConnectionError is e.ProtocolError


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_every_error_pickles_with_its_text_and_plain_values(cls: type[BaseException], protocol: int) -> None:
    """An error crosses a process border; only what belongs to one process becomes None."""
    error = made(cls)
    twin = pickle.loads(pickle.dumps(error, protocol))
    assert type(twin) is cls
    assert repr(twin).partition("(")[0] == repr(error).partition("(")[0]
    for name, value in error.__dict__.items():
        here = getattr(twin, name)
        if name in PROCESS_BOUND:
            assert here is None
        elif isinstance(value, BaseException):
            assert repr(here) == repr(value)
        else:
            assert here == value
    if cls is not e.ConnectTimeoutError:  # its text shows the connection's repr
        assert str(twin) == str(error)


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_every_error_can_be_copied(cls: type[BaseException]) -> None:
    """copy uses what pickle uses."""
    assert str(copy.copy(made(cls)))


def test_a_subclass_with_a_constructor_of_its_own_pickles_without_help() -> None:
    """Users derive errors; their attributes travel, an attribute that cannot is None."""
    error = Derived(3)
    error.handle = threading.Lock()
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.number, twin.handle, str(twin)) == (3, None, "None: derived 3")


class Derived(e.RequestError):
    handle: Any = None

    def __init__(self, number: int) -> None:
        super().__init__(None, "/u", f"derived {number}")
        self.number = number


def test_an_error_inside_an_error_that_cannot_be_pickled_is_left_behind() -> None:
    """The rest of the error still arrives."""
    inner = ValueError(threading.Lock())
    twin = pickle.loads(pickle.dumps(e.MaxRetryError(None, "/u", inner)))
    assert twin.reason is None
    assert "Max retries exceeded with url: /u" in str(twin)


def test_notes_travel_with_an_error() -> None:
    """Attributes added later are state like any other (PEP 678 keeps notes in one)."""
    error = e.HTTPError("m")
    error.__dict__["__notes__"] = ["seen by a test"]
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["seen by a test"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (e.PoolError(Owner(), "m"), "OWNER: m"),
        (e.PoolError(None, None), "None: None"),
        (e.MaxRetryError("P", "/u"), "P: Max retries exceeded with url: /u (Caused by None)"),
        (
            e.MaxRetryError("P", "/u", ValueError("z")),
            "P: Max retries exceeded with url: /u (Caused by ValueError('z'))",
        ),
        (e.HostChangedError("P", "/u"), "P: Tried to open a foreign host with url: /u"),
        (e.ReadTimeoutError("P", "/u", "m"), "P: m"),
        (e.NewConnectionError(Owner(), "m"), "OWNER: m"),
        (
            e.NameResolutionError("h", Owner(), OSError(-2, "nope")),
            "OWNER: Failed to resolve 'h' ([Errno -2] nope)",
        ),
        (e.ProtocolError("Connection aborted.", 1), "('Connection aborted.', 1)"),
        (e.ProxyError("m", ValueError(1)), "('m', ValueError(1))"),
        (e.IncompleteRead(5, 10), "IncompleteRead(5 bytes read, 10 more expected)"),
        (e.IncompleteRead(5, None), "IncompleteRead(5 bytes read, more expected)"),
        (e.InvalidChunkLength(Owner(), b"zz"), "InvalidChunkLength(got length b'zz', 5 bytes read)"),
        (e.HeaderParsingError([1], b"zz"), "[1], unparsed data: b'zz'"),
        (e.HeaderParsingError([], ""), "Unknown, unparsed data: ''"),
        (e.HeaderParsingError(None, None), "Unknown, unparsed data: None"),
        (e.LocationParseError("http://["), "Failed to parse: http://["),
        (e.URLSchemeUnknown("ftp"), "Not supported URL scheme ftp"),
        (
            e.ProxySchemeUnknown("odd"),
            "Proxy URL had unsupported scheme odd, should use http:// or https://",
        ),
        (e.ProxySchemeUnknown(None), "Proxy URL had no scheme, should start with http:// or https://"),
        (
            e.ProxySchemeUnknown("localhost"),
            "Proxy URL had no scheme, should start with http:// or https://",
        ),
    ],
    ids=str,
)
def test_messages_are_urllib3s(error: Exception, text: str) -> None:
    """Programs match on these texts."""
    assert str(error) == text


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (e.RequestError("P", "/u", "m"), {"pool": "P", "url": "/u", "_message": "m"}),
        (e.HostChangedError("P", "/u"), {"retries": 3}),
        (e.HostChangedError("P", "/u", 8), {"retries": 8}),
        (e.MaxRetryError("P", None), {"reason": None, "url": None}),
        (e.IncompleteRead(5, 10), {"partial": 5, "expected": 10, "args": (5, 10)}),
        (e.InvalidChunkLength(Owner(), b"z"), {"partial": 5, "expected": 7, "length": b"z"}),
        (e.LocationParseError("x"), {"location": "x"}),
        (e.URLSchemeUnknown("ftp"), {"scheme": "ftp"}),
        (e.DeadlineExceededError("m", "sending"), {"phase": "sending"}),
        (e.HTTPStatusError("m", 404), {"status": 404}),
        (e.ResponseTooLargeError("m", 9), {"limit_bytes": 9}),
        (e.EmptyPoolError(None, "m"), {"waited_s": None, "leased": None, "limit": None}),
    ],
    ids=str,
)
def test_errors_carry_plain_attributes(error: Exception, attributes: dict[str, Any]) -> None:
    """What a program needs is an attribute, not a piece of the text."""
    assert {name: getattr(error, name) for name in attributes} == attributes


def test_an_error_knows_no_fact_until_it_is_noted() -> None:
    error = e.HTTPError("m")
    assert (error.phase, error.nothing_sent, error.from_body) == (None, False, False)
    e.mark_nothing_sent(error)
    e.mark_from_body(error)
    assert (error.nothing_sent, error.from_body) == (True, True)
    assert pickle.loads(pickle.dumps(error)).nothing_sent


@pytest.mark.parametrize("error", [e.HTTPError("m"), OSError(5, "m"), KeyboardInterrupt()], ids=repr)
def test_facts_are_noted_in_errors_of_every_class(error: BaseException) -> None:
    """A body, or a method that a program has replaced, raises what it likes, and that passes through as it is."""
    assert not e.is_nothing_sent(error)
    assert not e.is_from_body(error)
    e.mark_nothing_sent(error)
    e.mark_from_body(error)
    assert e.is_nothing_sent(error)
    assert e.is_from_body(error)


def test_the_phase_noted_first_stays_and_others_errors_have_none() -> None:
    error, other = e.ConnectTimeoutError("m"), OSError(5, "m")
    assert e.phase_of(error) == "connecting"
    e.name_phase(error, "tls handshake")
    e.name_phase(error, "sending")
    e.name_phase(other, "sending")
    assert (e.phase_of(error), e.phase_of(other), e.phase_of(None)) == ("tls handshake", None, None)


@pytest.mark.parametrize("cls", [e.EmptyPoolError, e.FullPoolError, e.ClosedPoolError])
def test_pool_errors_carry_the_numbers_of_the_pool(cls: Any) -> None:
    """The numbers survive pickling, too."""
    numbers = {"waited_s": 2.5, "leased": 10, "idle": 0, "opening": 1, "waiting": 4, "limit": 10}
    error = pickle.loads(pickle.dumps(cls("P", "m", **numbers)))
    assert {name: getattr(error, name) for name in numbers} == numbers


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@host/p", "http://***@host/p"),
        ("//secret@host", "//***@host"),
        ("http://a:secret@b@host", "http://***@host"),
        ("http://host/@secretless", "http://host/@secretless"),
        ("http://host?q=a@b", "http://host?q=a@b"),
        ("user:secret@host", "***@host"),
    ],
)
def test_passwords_stay_out_of_messages(url: str, shown: str) -> None:
    """Messages end in logs; the attribute keeps the URL as it was."""
    assert str(e.LocationParseError(url)) == f"Failed to parse: {shown}"
    assert f"url: {shown} (" in str(e.MaxRetryError(None, url))
    assert str(e.HostChangedError(None, url)).endswith(shown)
    assert e.MaxRetryError(None, url).url == url


def test_the_former_name_of_conn_warns() -> None:
    """urllib3 keeps NewConnectionError.pool with a FutureWarning."""
    owner = Owner()
    with pytest.warns(FutureWarning, match=r"'pool' property is deprecated .* Use 'conn' instead"):
        assert e.NewConnectionError(owner, "m").pool is owner


def test_response_error_texts_are_formats() -> None:
    """Retry fills them in."""
    assert e.ResponseError.GENERIC_ERROR == "too many error responses"
    assert e.ResponseError.SPECIFIC_ERROR.format(status_code=500) == "too many 500 error responses"
