"""HTTPHeaderDict and RecentlyUsedContainer: urllib3's whole interface, by tables."""

from __future__ import annotations

import copy
import email
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from poollib.base.headers import (
    HTTPHeaderDict,
    HTTPHeaderDictItemView,
    RecentlyUsedContainer,
    ensure_can_construct_http_header_dict,
)

PAIRS = [("A", "1"), ("b", "2"), ("a", "3"), ("C", "x")]


class KeysAndItems:
    """No Mapping, but it has keys and answers to them, as some users' classes do."""

    def keys(self) -> list[str]:
        return ["X", "y"]

    def __getitem__(self, key: str) -> str:
        return {"X": "1", "y": "2"}[key]


@pytest.fixture
def headers() -> HTTPHeaderDict:
    return HTTPHeaderDict(PAIRS)


def lines(headers: HTTPHeaderDict) -> list[tuple[str, str]]:
    return list(headers.iteritems())


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: HTTPHeaderDict(), []),
        (lambda: HTTPHeaderDict(None), []),
        (lambda: HTTPHeaderDict(""), []),
        (lambda: HTTPHeaderDict({"a": "1"}), [("a", "1")]),
        (lambda: HTTPHeaderDict(PAIRS), [("A", "1"), ("A", "3"), ("b", "2"), ("C", "x")]),
        (lambda: HTTPHeaderDict(iter(PAIRS[:1])), [("A", "1")]),
        (lambda: HTTPHeaderDict([["a", "1"]]), [("a", "1")]),
        (lambda: HTTPHeaderDict({("a", "1")}), [("a", "1")]),
        (lambda: HTTPHeaderDict(a="1"), [("a", "1")]),
        (lambda: HTTPHeaderDict({"a": "1"}, b="2", A="3"), [("a", "1"), ("a", "3"), ("b", "2")]),
        (lambda: HTTPHeaderDict(headers={"h": "1"}), [("h", "1")]),
        (lambda: HTTPHeaderDict(HTTPHeaderDict(PAIRS[::2])), [("A", "1"), ("A", "3")]),
        (lambda: HTTPHeaderDict(KeysAndItems()), [("X", "1"), ("y", "2")]),
        (lambda: HTTPHeaderDict(email.message_from_string("A: 1\nA: 2\n\n")), [("A", "1"), ("A", "2")]),
        (lambda: HTTPHeaderDict.from_pairs(PAIRS), [("A", "1"), ("A", "3"), ("b", "2"), ("C", "x")]),
        (lambda: HTTPHeaderDict.from_pairs(iter(())), []),
    ],
)
def test_a_header_dict_is_made_of_whatever_has_names_and_values(
    made: Callable[[], HTTPHeaderDict], expected: list[tuple[str, str]]
) -> None:
    """Mappings, pairs, keywords, other header dicts and email messages, lines kept apart."""
    assert lines(made()) == expected


@pytest.mark.parametrize("bad", [5, object()])
def test_what_has_no_names_and_values_is_refused(bad: Any) -> None:
    """urllib3 takes a number for no headers at all."""
    with pytest.raises(TypeError, match="headers must be a mapping"):
        HTTPHeaderDict(bad)
    with pytest.raises(TypeError, match="headers must be a mapping"):
        HTTPHeaderDict().extend(bad)


@pytest.mark.parametrize("name", ["a", "A", b"a", b"A"])
def test_names_compare_without_case_as_text_or_bytes(headers: HTTPHeaderDict, name: Any) -> None:
    """RFC 9110 section 5.1."""
    assert name in headers
    assert headers[name] == headers.get(name) == "1, 3"
    assert headers.getlist(name) == ["1", "3"]
    headers.discard(name)
    assert name not in headers


def test_a_missing_name_has_no_value(headers: HTTPHeaderDict) -> None:
    """Each way of asking has its own answer."""
    with pytest.raises(KeyError):
        headers["zz"]
    with pytest.raises(KeyError):
        del headers["zz"]
    with pytest.raises(KeyError):
        headers.pop("zz")
    assert headers.get("zz") is None
    assert headers.get("zz", "d") == "d"
    assert headers.pop("zz", "d") == "d"
    assert headers.getlist("zz") == []
    assert headers.getlist("zz", None) is None
    assert 1 not in headers
    assert None not in headers
    headers.discard("zz")


@pytest.mark.parametrize("name", ["getheaders", "get_all", "iget", "getallmatchingheaders"])
def test_getlist_has_its_former_names(headers: HTTPHeaderDict, name: str) -> None:
    """http.client, httplib2 and email call it differently."""
    assert getattr(headers, name)("a") == ["1", "3"]
    assert getattr(headers, name)("zz") == []
    assert getattr(headers, name)("zz", 5) == 5


def test_getlist_gives_a_list_of_ones_own(headers: HTTPHeaderDict) -> None:
    """Changing it changes no header."""
    headers.getlist("a").append("9")
    assert headers.getlist("a") == ["1", "3"]


CHANGES: list[tuple[Callable[[HTTPHeaderDict], Any], dict[str, list[str]]]] = [
    (lambda h: h.__setitem__("a", "9"), {"a": ["a", "9"]}),
    (lambda h: h.__setitem__("n", "9"), {"n": ["n", "9"]}),
    (lambda h: h.__setitem__(b"N", "9"), {"n": ["N", "9"]}),
    (lambda h: h.add("a", "7"), {"a": ["A", "1", "3", "7"]}),
    (lambda h: h.add("a", "7", combine=True), {"a": ["A", "1", "3, 7"]}),
    (lambda h: h.add("n", "7", combine=True), {"n": ["n", "7"]}),
    (lambda h: h.add("b", ""), {"b": ["b", "2", ""]}),
    (lambda h: h.extend({"a": "8", "n": "9"}), {"a": ["A", "1", "3", "8"], "n": ["n", "9"]}),
    (lambda h: h.extend([("a", "8")]), {"a": ["A", "1", "3", "8"]}),
    (
        lambda h: h.extend(HTTPHeaderDict(PAIRS)),
        {"a": ["A", "1", "3", "1", "3"], "b": ["b", "2", "2"], "c": ["C", "x", "x"]},
    ),
    (lambda h: h.extend(h), {"a": ["A", "1", "3", "1", "3"], "b": ["b", "2", "2"], "c": ["C", "x", "x"]}),
    (lambda h: h.extend({"a": "8"}, b="9"), {"a": ["A", "1", "3", "8"], "b": ["b", "2", "9"]}),
    (lambda h: h.extend(headers="8"), {"headers": ["headers", "8"]}),
    (lambda h: h.extend(KeysAndItems()), {"x": ["X", "1"], "y": ["y", "2"]}),
    (lambda h: h.extend(), {}),
    (lambda h: h.extend(None), {}),
    (lambda h: h.update({"a": "8"}), {"a": ["a", "8"]}),
    (lambda h: h.setdefault("Q"), {"q": ["Q", ""]}),
    (lambda h: h.setdefault("Q", "1"), {"q": ["Q", "1"]}),
    (lambda h: h.setdefault("a", "z"), {}),
    (lambda h: h.__ior__({"a": "8"}), {"a": ["A", "1", "3", "8"]}),
    (lambda h: h._copy_from(HTTPHeaderDict(a="8")), {"a": ["a", "8"]}),
]


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_changes_leave_what_urllib3_leaves(
    headers: HTTPHeaderDict, change: Callable[[HTTPHeaderDict], Any], expected: dict[str, list[str]]
) -> None:
    """The container's inside is urllib3's as well: folded name -> [name, line, line, ...]."""
    change(headers)
    untouched = {"a": ["A", "1", "3"], "b": ["b", "2"], "c": ["C", "x"]}
    assert headers._container == {**untouched, **expected}


def test_extend_takes_one_source() -> None:
    """Two would be a mistake."""
    with pytest.raises(TypeError, match="at most 1 positional"):
        HTTPHeaderDict().extend({}, {})


def test_names_iterate_once_and_lines_each(headers: HTTPHeaderDict) -> None:
    """dict() gets merged values, items() every line."""
    assert list(headers) == list(headers.keys()) == ["A", "b", "C"]
    assert list(headers.values()) == ["1, 3", "2", "x"]
    assert list(headers.items()) == [("A", "1"), ("A", "3"), ("b", "2"), ("C", "x")]
    assert list(headers.itermerged()) == [("A", "1, 3"), ("b", "2"), ("C", "x")]
    assert dict(headers) == {"A": "1, 3", "b": "2", "C": "x"}
    assert (len(headers), len(headers.items())) == (3, 4)
    assert not HTTPHeaderDict()


def test_the_item_view_is_live_and_a_set_in_name(headers: HTTPHeaderDict) -> None:
    """Operators work on its lines; in urllib3 they see an empty set."""
    view = headers.items()
    assert isinstance(view, HTTPHeaderDictItemView)
    assert isinstance(view, set)
    assert ("a", "3") in view
    assert ("A", "1, 3") not in view
    assert ("A",) not in view
    assert "x" not in view
    assert (1, "1") not in view
    assert view & {("A", "1")} == {("A", "1")}
    assert view | {("q", "1")} == {*lines(headers), ("q", "1")}
    headers.add("d", "4")
    assert ("D", "4") in view
    assert repr(HTTPHeaderDict(a="1").items()) == "HTTPHeaderDictItemView([('a', '1')])"


@pytest.mark.parametrize(
    "other",
    [
        {"a": "1, 3", "B": "2", "c": "x"},
        [("a", "1, 3"), ("b", "2"), ("c", "x")],
        HTTPHeaderDict(PAIRS),
        HTTPHeaderDict([("A", "1, 3"), ("c", "x"), ("b", "2")]),
    ],
)
def test_equal_means_equal_merged_values(headers: HTTPHeaderDict, other: Any) -> None:
    """Case and order of names do not count."""
    assert headers == other
    assert (headers != other) is False


@pytest.mark.parametrize("other", [5, None, {"a": "1"}, "ab", [1], {"a": "3, 1", "b": "2", "c": "x"}])
def test_everything_else_is_unequal(headers: HTTPHeaderDict, other: Any) -> None:
    """Without raising."""
    assert headers != other


def test_or_joins_lines_and_keeps_the_operands(headers: HTTPHeaderDict) -> None:
    """As dict's operator, but lines add up."""
    assert lines(headers | {"a": "9"})[:3] == [("A", "1"), ("A", "3"), ("A", "9")]
    assert lines([("a", "9")] | headers)[:3] == [("a", "9"), ("a", "1"), ("a", "3")]
    assert lines(headers) == [("A", "1"), ("A", "3"), ("b", "2"), ("C", "x")]
    with pytest.raises(TypeError):
        headers | 5
    with pytest.raises(TypeError):
        5 | headers
    with pytest.raises(TypeError):
        headers |= None


def test_copies_share_nothing(headers: HTTPHeaderDict) -> None:
    """copy, copy.copy, deepcopy and pickle."""
    for twin in (headers.copy(), copy.deepcopy(headers), pickle.loads(pickle.dumps(headers))):
        assert twin == headers
        twin.add("a", "9")
        twin["b"] = "9"
    assert lines(headers) == [("A", "1"), ("A", "3"), ("b", "2"), ("C", "x")]
    assert type(Derived(a="1").copy()) is Derived
    assert type(Derived.from_pairs([("a", "1")])) is Derived


class Derived(HTTPHeaderDict):
    pass


def test_header_dicts_are_not_hashable_and_show_merged_values(headers: HTTPHeaderDict) -> None:
    """As any mutable mapping; repr as urllib3's."""
    with pytest.raises(TypeError):
        hash(headers)
    assert repr(headers) == str(headers) == "HTTPHeaderDict({'A': '1, 3', 'b': '2', 'C': 'x'})"


def test_a_body_that_is_not_sent_takes_its_headers_along() -> None:
    """RFC 9110 section 15.4 and CVE-2023-45803: a 303 leaves nothing that describes the old body."""
    described = (
        "Content-Type content-encoding Content-Language Content-Location Content-Length Content-MD5 "
        "Transfer-Encoding Trailer Expect Digest Repr-Digest Last-Modified"
    )
    headers = HTTPHeaderDict([(name, "1") for name in ("Host", *described.split(), "X-Content")])
    assert headers._prepare_for_method_change() is headers
    assert list(headers) == ["Host", "X-Content"]


def test_has_value_looks_at_single_lines(headers: HTTPHeaderDict) -> None:
    """Merged values do not count."""
    assert headers._has_value_for_header("a", "3")
    assert not headers._has_value_for_header("A", "1, 3")
    assert not headers._has_value_for_header("q", "3")


@pytest.mark.parametrize(
    ("potential", "can"),
    [
        ({}, True),
        ([], True),
        ("", True),
        (iter(()), True),
        (HTTPHeaderDict(), True),
        (KeysAndItems(), True),
        (None, False),
        (5, False),
        (object(), False),
    ],
)
def test_what_a_header_dict_can_be_made_of_is_judged_by_kind(potential: Any, can: bool) -> None:
    """The object itself, or None."""
    assert ensure_can_construct_http_header_dict(potential) is (potential if can else None)


# -- RecentlyUsedContainer --


def test_the_container_drops_what_was_not_used_for_longest() -> None:
    """Looking counts as using, by [], get and in."""
    gone: list[int] = []
    container: RecentlyUsedContainer[str, int] = RecentlyUsedContainer(3, dispose_func=gone.append)
    for number, key in enumerate("abc"):
        container[key] = number
    assert container["a"] == 0
    assert container.get("b") == 1
    container["d"] = 3
    assert "a" in container
    container["e"] = 4
    assert gone == [2, 1]
    assert container.keys() == {"a", "d", "e"}
    assert len(container) == 3


def test_replaced_deleted_popped_and_cleared_values_are_disposed_of() -> None:
    """Each once; storing the same object again disposes of nothing."""
    gone: list[Any] = []
    container: RecentlyUsedContainer[str, Any] = RecentlyUsedContainer(5, gone.append)
    same = object()
    container["a"] = 1
    container["a"] = 2
    container["same"] = same
    container["same"] = same
    del container["same"]
    assert container.pop("a") == 2
    container["b"] = 3
    container["c"] = None
    container.clear()
    assert gone == [1, same, 2, 3, None]
    assert len(container) == 0


@pytest.mark.parametrize("leave", ["del", "clear", "replace", "evict"])
def test_what_was_looked_at_last_is_not_found_once_it_is_gone(leave: str) -> None:
    """It is kept beside the rest, to be found again without a hash of its key."""
    container: RecentlyUsedContainer[tuple[str], int] = RecentlyUsedContainer(1)
    key = ("a",)
    container[key] = 1
    assert container[key] == container[key] == 1
    if leave == "replace":
        container[("a",)] = 2
        assert container[key] == 2
        return
    if leave == "del":
        del container[("a",)]
    elif leave == "clear":
        container.clear()
    else:
        container[("b",)] = 2
    with pytest.raises(KeyError):
        container[key]


@pytest.mark.parametrize("maxsize", [0, -1])
def test_a_container_of_no_size_keeps_nothing(maxsize: int) -> None:
    """Every value goes at once."""
    gone: list[int] = []
    container: RecentlyUsedContainer[str, int] = RecentlyUsedContainer(maxsize, gone.append)
    container["a"] = 1
    assert (gone, len(container)) == ([1], 0)


def test_disposing_goes_on_past_a_failure_and_reports_it() -> None:
    """No value is forgotten because another one would not close."""
    gone: list[int] = []

    def dispose(value: int) -> None:
        gone.append(value)
        if value == 1:
            raise OSError("stuck")

    container: RecentlyUsedContainer[str, int] = RecentlyUsedContainer(5, dispose)
    container.update({"a": 1, "b": 2})
    with pytest.raises(OSError, match="stuck"):
        container.clear()
    assert gone == [1, 2]


def test_values_are_disposed_of_without_the_lock() -> None:
    """Another thread can use the container while a value is being closed."""
    container: RecentlyUsedContainer[str, int]

    def dispose(value: int) -> None:
        other = threading.Thread(target=lambda: found.append(container.get("new")))
        other.start()
        other.join(5)

    found: list[int | None] = []
    container = RecentlyUsedContainer(1, dispose)
    container["old"] = 1
    container["new"] = 2
    assert found == [2]


def test_the_lock_is_public_and_can_be_taken_twice() -> None:
    """Callers hold it over a look-up and a store."""
    container: RecentlyUsedContainer[str, int] = RecentlyUsedContainer()
    with container.lock:
        container["a"] = 1
        assert container.get("a") == 1


def test_iterating_is_refused_in_favour_of_keys() -> None:
    """urllib3 refuses it, too: another thread may change it meanwhile."""
    container: RecentlyUsedContainer[str, int] = RecentlyUsedContainer()
    container["a"] = 1
    with pytest.raises(NotImplementedError, match="keys"):
        list(container)
    keys = container.keys()
    keys.clear()
    assert "a" in container


def test_threads_leave_the_container_whole() -> None:
    """Invariant under four threads: at most maxsize kept, everything else disposed of exactly once."""
    gone: list[int] = []
    container: RecentlyUsedContainer[int, int] = RecentlyUsedContainer(7, gone.append)

    def fill(start: int) -> None:
        for number in range(start, start + 500):
            container[number] = number
            container.get(number - 3)

    threads = [threading.Thread(target=fill, args=(start,)) for start in range(0, 2000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(container) == 7
    assert sorted(gone + list(container.keys())) == list(range(2000))
