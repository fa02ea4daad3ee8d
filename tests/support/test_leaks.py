"""The leak check sees what stays, and waits for what is on its way out."""

import os
import socket
import threading

import pytest

from tests.support.leaks import _FOLDERS, Snapshot, leaked

pytest_plugins = ["pytester"]

needs_descriptors = pytest.mark.skipif(
    not any(map(os.path.isdir, _FOLDERS)), reason="this system does not list descriptors"
)


def test_nothing_new_is_nothing_leaked() -> None:
    assert leaked(Snapshot()) == []


@needs_descriptors
def test_an_open_socket_is_seen_until_it_is_closed() -> None:
    before = Snapshot()
    with socket.socket():
        (row,) = leaked(before, grace_s=0)
        assert "socket:" in row
    assert leaked(before) == []


@needs_descriptors
def test_an_open_pipe_is_seen() -> None:
    before = Snapshot()
    ends = os.pipe()
    try:
        assert len(leaked(before, grace_s=0)) == 2
    finally:
        for end in ends:
            os.close(end)


def test_a_running_thread_is_seen_until_it_ends() -> None:
    before, end = Snapshot(), threading.Event()
    thread = threading.Thread(target=end.wait, name="left over")
    thread.start()
    (row,) = leaked(before, grace_s=0)
    assert "left over" in row
    end.set()
    assert leaked(before) == []
    thread.join()


@needs_descriptors
def test_a_descriptor_number_used_again_is_still_seen() -> None:
    with socket.socket() as first:
        number = first.fileno()
        before = Snapshot()
    with socket.socket() as second:
        assert second.fileno() == number
        assert len(leaked(before, grace_s=0)) == 1


@needs_descriptors
@pytest.mark.parametrize(("mark", "errors"), [("", 1), ("@pytest.mark.may_leave('to see the mark')", 0)])
def test_a_test_that_leaves_a_socket_fails_unless_it_may(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, mark: str, errors: int
) -> None:
    monkeypatch.setattr("tests.support.leaks.GRACE_S", 0.01)
    pytester.makeini("[pytest]\nmarkers = may_leave(reason): as in the project")
    pytester.makeconftest("from tests.conftest import nothing_left_behind")
    pytester.makepyfile(f"""
        import socket, pytest
        kept = []

        {mark}
        def test_that_leaves_a_socket():
            kept.append(socket.socket())

        @pytest.fixture(scope="module", autouse=True)
        def tidy():
            yield
            kept.pop().close()
    """)
    pytester.runpytest_inprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1, errors=errors)
