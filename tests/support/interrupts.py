"""KeyboardInterrupt at the n-th point where CPython may deliver a signal inside one folder's code.

These points lie behind a call, at the start of a function and at a backward jump.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

POINTS = ("CALL", "RESUME", "JUMP_BACKWARD", "JUMP_ABSOLUTE")


class Interrupter:
    """Counts the points inside ``folder`` where a signal can be delivered, and interrupts at the n-th."""

    def __init__(self, at: int, folder: str) -> None:
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


def name_of(frame: FrameType) -> str:
    """``room.function``."""
    return f"{frame.f_globals['__name__'].rpartition('.')[2]}.{frame.f_code.co_name}"
