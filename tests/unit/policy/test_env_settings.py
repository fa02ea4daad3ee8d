"""environment: variables become keywords, and a bad value names its variable."""

from __future__ import annotations

import pytest

from poollib import PoolManager
from poollib.base.timeout import Timeout
from poollib.policy.env_settings import settings

EVERYTHING = {
    "HTTP_MAX_KEEPALIVE_CONNECTIONS": "20",
    "HTTP_MAX_CONNECTIONS": "100",
    "HTTP_KEEPALIVE_EXPIRY": "4.5",
    "HTTP_CONNECT_TIMEOUT": "1",
    "HTTP_READ_TIMEOUT": "2.5",
    "HTTP_WRITE_TIMEOUT": "3",
    "HTTP_POOL_TIMEOUT": "0.5",
}


def test_each_variable_becomes_its_keyword() -> None:
    """The table in the docstring."""
    assert settings(EVERYTHING) == {
        "maxsize": 20,
        "total_maxsize": 100,
        "idle_timeout": 4.5,
        "timeout": Timeout(connect=1, read=2.5, write=3, pool=0.5),
    }


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_says_nothing(value: str) -> None:
    """Unset and empty mean the same."""
    assert settings(dict.fromkeys(EVERYTHING, value)) == {}


def test_none_means_no_limit() -> None:
    """In any case of letters; but the number of kept connections has one."""
    found = settings({"HTTP_KEEPALIVE_EXPIRY": "None", "HTTP_READ_TIMEOUT": "none", "HTTP_MAX_CONNECTIONS": "NONE"})
    assert found["total_maxsize"] is None
    assert found["idle_timeout"] is None
    assert found["timeout"].read_timeout is None


@pytest.mark.parametrize("variable", EVERYTHING)
@pytest.mark.parametrize("value", ["0", "-1", "five", "1e999", "nan", "0x10", "1_0 0"])
def test_a_bad_value_is_an_error_that_names_the_variable(variable: str, value: str) -> None:
    """And shows what stood there."""
    with pytest.raises(ValueError, match=variable):
        settings({variable: value})


@pytest.mark.parametrize("variable", ["HTTP_MAX_KEEPALIVE_CONNECTIONS", "HTTP_MAX_CONNECTIONS"])
def test_a_count_is_a_whole_number(variable: str) -> None:
    """Not 1.5 connections, nor more than anybody has."""
    for value in ("1.5", "1000001", "9" * 5000, "\u0661", *(["none"] if "KEEPALIVE" in variable else [])):
        with pytest.raises(ValueError, match=variable):
            settings({variable: value})


def test_a_manager_from_the_environment_has_its_settings() -> None:
    """Keywords given by the program win."""
    with PoolManager.from_env(EVERYTHING, idle_timeout=9.0) as manager:
        pool = manager.connection_from_url("http://localhost:1/")
        assert pool._endpoint_pool.maxsize == 20
        assert pool._endpoint_pool._settings.idle_timeout == 9.0
        assert pool.timeout == Timeout(connect=1, read=2.5, write=3, pool=0.5)
        assert manager._total_limit is not None
        assert manager._total_limit.limit == 100


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """As services are configured."""
    monkeypatch.setenv("HTTP_MAX_CONNECTIONS", "nine")
    with pytest.raises(ValueError, match=r"HTTP_MAX_CONNECTIONS must be a whole number .*'nine'"):
        PoolManager.from_env()
