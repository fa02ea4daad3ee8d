"""The command line: one request whose body is printed, and commands by name.

It turns arguments into one call of a `PoolManager` and its outcome into an exit status (STATUS below). Requests are
left to the layers below, what a command does to the command's own module, which is imported only when called. The
options and their letters are curl's.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from ..base.headers import HTTPHeaderDict
from ..base.logs import shown_url
from ..base.timeout import Timeout
from ..exceptions import HTTPError, MaxRetryError
from ..poolmanager import PoolManager
from ..response import BaseHTTPResponse

# Longer than this nobody waits at a terminal.
CONNECT_S, READ_S = 10.0, 60.0
PIECE_BYTES = 65536

DESCRIPTION = "Print the body of an HTTP response, or run a command: demo, as-urllib3."
STATUS = """exit status:
  0  the response's status is below 400
  1  no whole response came, or it could not be written; the reason is on stderr
  2  the arguments are wrong
  4  the response's status is 4xx (its body is printed all the same)
  5  the response's status is 5xx (its body is printed all the same)

python -m poollib demo --help is about the demo, python -m poollib as-urllib3 --help about running programs.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of the command line; None: sys.argv's."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words and words[0] in COMMANDS:
            return COMMANDS[words[0]](words[1:])
        return fetch(words)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output left, as `| head` does; the interpreter's last flush must not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def fetch(words: Sequence[str]) -> int:
    """Print or store one response; the exit status by the table in STATUS."""
    options = parser().parse_args(words)
    try:
        with PoolManager(timeout=Timeout(connect=CONNECT_S, read=READ_S)) as manager:
            response = request(manager, options)
            with contextlib.closing(response), output(options.output) as file:
                write(response, file, with_head=options.include)
    except BrokenPipeError:
        raise
    except (HTTPError, ValueError, OSError) as error:
        print(f"poollib: {shown_url(options.url)}: {explain(error)}", file=sys.stderr)
        return 1
    return response.status // 100 if response.status >= 400 else 0


def parser() -> argparse.ArgumentParser:
    """What the words of a request mean."""
    words = argparse.ArgumentParser(
        prog="poollib", description=DESCRIPTION, epilog=STATUS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("url", metavar="URL", help="http:// or https://; without a scheme, http")
    words.add_argument("-i", "--include", action="store_true", help="print the response's head as well")
    words.add_argument("-X", "--request", metavar="METHOD", dest="method", help="GET by default, POST with -d")
    words.add_argument(
        "-H", "--header", metavar="'NAME: VALUE'", dest="headers", type=header, action="append", default=[],
        help="a request header; may be given again",
    )  # fmt: skip
    words.add_argument(
        "-d", "--data", metavar="DATA", help="the request's body; @FILE sends a file's bytes, @- standard input's"
    )
    words.add_argument("-o", "--output", metavar="FILE", default="-", help="write to FILE in place of standard output")
    return words


def header(word: str) -> tuple[str, str]:
    """Name and value of a header given as one word."""
    name, colon, value = word.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f"{word!r} is not of the form 'Name: value'")
    return name.strip(), value.strip()


def request(manager: PoolManager, options: argparse.Namespace) -> BaseHTTPResponse:
    """Send what the options ask for; the response with its body still to be read."""
    headers = HTTPHeaderDict()
    for name, value in options.headers:
        headers.add(name, value)
    body = None if options.data is None else body_bytes(options.data)
    if body is not None and "Content-Type" not in headers:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    method = options.method or ("GET" if body is None else "POST")
    response: BaseHTTPResponse = manager.request(method, options.url, body=body, headers=headers, preload_content=False)
    return response


def body_bytes(word: str) -> bytes:
    """The word itself as UTF-8, or with an @ what the file holds that it names; OSError if that can't be read."""
    if not word.startswith("@"):
        return word.encode()
    if word == "@-":
        return sys.stdin.buffer.read()
    with open(word[1:], "rb") as file:
        return file.read()


@contextlib.contextmanager
def output(name: str) -> Iterator[BinaryIO]:
    """Where to write: the file of that name, standard output for '-'."""
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with open(name, "wb") as file:
            yield file


def write(response: BaseHTTPResponse, file: BinaryIO, with_head: bool) -> None:
    """Write the decoded body as it comes, before it the head if asked for."""
    if with_head:
        lines = [f"{response.version_string} {response.status} {response.reason or ''}".rstrip()]
        lines += [f"{name}: {value}" for name, value in response.headers.iteritems()]
        file.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))
    for piece in response.stream(PIECE_BYTES):
        file.write(piece)


def explain(error: BaseException) -> str:
    """One line about the error, with its kind; for a request given up, the last reason."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return explain(error.reason)
    return f"{error} ({type(error).__name__})"


def _demo(words: Sequence[str]) -> int:
    from . import demo

    return demo.main(words)


def _as_urllib3(words: Sequence[str]) -> int:
    from ..compat import as_urllib3

    return as_urllib3.main(words)


# Commands by their first word, each given the words after it.
COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"as-urllib3": _as_urllib3, "demo": _demo}
