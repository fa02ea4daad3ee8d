"""`python -m poollib`: the command line of `poollib.cli.main`, or one sentence where this Python is too old for it."""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 - where pip has had no say
    raise SystemExit(f"poollib needs Python 3.10 or newer; this is Python {sys.version_info[0]}.{sys.version_info[1]}.")

try:
    from .cli.main import main
except KeyboardInterrupt:
    raise SystemExit(130) from None

if __name__ == "__main__":
    raise SystemExit(main())
