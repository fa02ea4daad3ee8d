"""A factory's optional methods: found where it has them, None where it has not."""

from __future__ import annotations

import re

from poollib.pool import Factory, factory
from tests.support.pool import CountingFactory, Thing

NAMES = re.findall(r"^``(\w+)\(", re.sub(r"^ +", "", Factory.__doc__ or "", flags=re.M), re.M)


class Full(CountingFactory):
    """It has all of them."""

    def on_acquire(self, connection: Thing) -> str:
        return "on_acquire"

    def on_release(self, connection: Thing) -> str:
        return "on_release"

    def on_full(self, connection: Thing) -> str:
        return "on_full"

    def on_detach(self, connection: Thing) -> str:
        return "on_detach"

    def warm(self, connection: Thing, timeout: float) -> str:
        return "warm"

    def forget(self, connection: Thing) -> str:
        return "forget"

    def reset_after_fork(self) -> str:
        return "reset_after_fork"


def test_each_optional_method_is_asked_for_by_a_function_of_its_own() -> None:
    """Those of the table in the docstring, and no other."""
    assert sorted(NAMES) == sorted(name.removesuffix("_of") for name in vars(factory) if name.endswith("_of"))


def test_what_a_factory_has_is_found_and_what_it_lacks_is_none() -> None:
    full, bare, thing = Full(), CountingFactory(), Thing(1, "home")
    one = (
        factory.on_acquire_of,
        factory.on_release_of,
        factory.on_full_of,
        factory.on_detach_of,
        factory.forget_of,
    )
    assert [method(thing) for find in one if (method := find(full))] == [
        "on_acquire",
        "on_release",
        "on_full",
        "on_detach",
        "forget",
    ]
    warm, reset = factory.warm_of(full), factory.reset_after_fork_of(full)
    assert (warm and warm(thing, 1.0), reset and reset()) == ("warm", "reset_after_fork")
    assert [find(bare) for find in (*one, factory.warm_of, factory.reset_after_fork_of)] == [None] * 7
