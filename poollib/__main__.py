"""`python -m poollib`: the command line of `poollib.cli.main`."""

from .cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
