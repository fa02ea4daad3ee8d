"""KeyboardInterrupt at the n-th point where CPython may deliver a signal inside one folder's code.

These points lie behind a call, at the start of a function and at a backward jump.
"""

from __future__ import annotations

import dis
import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

POINTS = ("CALL", "RESUME", "JUMP_BACKWARD", "JUMP_ABSOLUTE")


#: Functions that hand a leased connection up. An interrupt right behind their return would lose it; CPython delivers
#: none there from 3.11 on, where a call of one Python function by another ends without a look at signals.
HAND_UP = frozenset(
    {
        "endpoint_pool.acquire",
        "endpoint_pool.<lambda>",
        "multi_endpoint_pool.acquire",
        "multi_endpoint_pool.<lambda>",
        "connectionpool._get_conn",
        "connectionpool._lease",
    }
)
#: What precedes the call by which CPython 3.14 enters a ``with`` block; no other version looks at signals behind it.
#: There they leave even a lock held, so nothing can be promised (test_an_interrupt_leaves_no_lock_held).
_ENTERING = "LOAD_SPECIAL"


class Interrupter:
    """Counts the points inside ``folder`` where a signal can be delivered, and interrupts at the n-th."""

    def __init__(self, at: int, folder: str | tuple[str, ...]) -> None:
        self.at = at
        self.folder = folder
        self.count = 0
        self.where = "nowhere"
        self.before: dict[FrameType, str] = {}  # the last bytecode of each running frame

    def is_point(self, frame: FrameType, before: str) -> bool:
        """Whether a signal that is waiting is delivered here; called once for each bytecode."""
        return before.startswith(POINTS)

    def note(self, frame: FrameType, before: str) -> None:
        """Remember the bytecode that comes now; ``before`` is the one before it."""
        self.before[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]

    def returned(self, frame: FrameType) -> None:
        """A function of the folder returns."""

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self.folder):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            before = self.before.get(frame, "RESUME")  # the first bytecode of a function is not traced
            self.note(frame, before)
            if self.is_point(frame, before):
                self.count += 1
                if self.count == self.at:
                    self.where = f"{name_of(frame)}:{frame.f_lineno} behind {before}"
                    raise KeyboardInterrupt
        elif event == "return":
            self.returned(frame)
        return self._trace

    def run(self, work: Callable[[], object]) -> bool:
        """Whether the interrupt came while ``work`` ran."""
        before = sys.gettrace()  # coverage's, where it measures
        sys.settrace(self._trace)
        try:
            work()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
            self.before.clear()
        return False


class RealInterrupter(Interrupter):
    """As an Interrupter, but for the points where nothing can be promised."""

    def __init__(self, at: int, folder: str | tuple[str, ...]) -> None:
        super().__init__(at, folder)
        self._returned: tuple[FrameType | None, str] = (None, "")  # to which frame, from which function

    def note(self, frame: FrameType, before: str) -> None:
        super().note(frame, before)
        if before == _ENTERING:
            self.before[frame] = f"{_ENTERING} {self.before[frame]}"

    def is_point(self, frame: FrameType, before: str) -> bool:
        to, function = self._returned
        self._returned = (None, "")
        return super().is_point(frame, before) and not (to is frame and function in HAND_UP)

    def returned(self, frame: FrameType) -> None:
        self._returned = (frame.f_back, name_of(frame))

    def run(self, work: Callable[[], object]) -> bool:
        gc.disable()  # else it may run the finalisers of an earlier run, and the interrupt come in one of these
        try:
            return super().run(work)
        finally:
            gc.enable()
            self._returned = (None, "")


def name_of(frame: FrameType) -> str:
    """``module.function``."""
    return f"{frame.f_globals['__name__'].rpartition('.')[2]}.{frame.f_code.co_name}"


#: The command line, with Ctrl-C as at a terminal: what a shell starts in the background ignores it.
COMMAND_LINE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from poollib.cli.main import main
sys.exit(main())
"""
