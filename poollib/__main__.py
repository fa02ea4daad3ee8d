"""`python -m poollib`: the command line of `poollib.cli`."""

from poollib.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
