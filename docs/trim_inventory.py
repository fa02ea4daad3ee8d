"""Make ``python.inv``, the names of Python's own documentation that ours link to, from the whole of it.

``python docs/trim_inventory.py objects.inv``, with the file of docs.python.org, or of Debian's python3-doc. Kept are
the classes, exceptions and functions of the modules below; so the pages build without the network.
"""

from __future__ import annotations

import re
import sys
import zlib
from pathlib import Path

_MODULES = "collections.abc|collections|http.client|io|logging|os|socket|ssl|typing|types|threading|enum|warnings|abc"
_wanted = re.compile(rf"(?:(?:{_MODULES})\.\w+|[A-Za-z]+) py:(?:class|exception|function|data|type)\b").match


def trimmed(inventory: bytes) -> bytes:
    """The inventory with the wanted names alone; its first four lines are plain text, the others packed."""
    *head, packed = inventory.split(b"\n", 4)
    lines = zlib.decompress(packed).decode().splitlines(keepends=True)
    kept = "".join(line for line in lines if _wanted(line))
    return b"\n".join([*head, zlib.compress(kept.encode(), 9)])


if __name__ == "__main__":
    Path(__file__).with_name("python.inv").write_bytes(trimmed(Path(sys.argv[1]).read_bytes()))
