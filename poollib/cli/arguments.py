"""The words of a command line: which options there are, what was given, and the help that lists them.

``OPTIONS`` is the one table; :func:`parse` reads words by curl's rules (short options may be joined, a value may
follow without a blank, the word after an option that wants a value is that value whatever it looks like), and
:func:`help_text` prints the table by groups. What an option does is decided where it is used; a word that can't be
meant is a :class:`UsageError` that says what to do.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

#: Methods that the first word may name.
VERBS = {"get": "GET", "head": "HEAD", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE",
         "options": "OPTIONS"}  # fmt: skip


class UsageError(Exception):
    """The words of the command line can't be meant; the text says which and what to write."""


class Option(NamedTuple):
    """One option: its letter or "", its name, what its value is called ("": it has none), its help."""

    short: str
    long: str
    metavar: str
    help: str


OPTIONS: dict[str, tuple[Option, ...]] = {
    "Request": (
        Option("X", "request", "METHOD", "the method; GET by default, POST with data, PUT with -T, HEAD with -I"),
        Option("H", "header", "'NAME: VALUE'", "a header, as often as wanted; 'NAME:' takes one away, 'NAME;' sends it"
               " empty, @FILE has one in each line"),
        Option("A", "user-agent", "TEXT", "the User-Agent; '' for none"),
        Option("e", "referer", "URL", "the Referer"),
        Option("b", "cookie", "'NAME=VALUE; ...'", "cookies to send, or a file of them (Netscape's format)"),
        Option("r", "range", "FROM-TO", "a part of the body only: 0-99, 100-, -50"),
        Option("", "compressed", "", "ask for a compressed body, and decode it"),
        Option("I", "head", "", "ask for the head alone, and print it"),
        Option("", "url", "URL", "one more URL"),
        Option("g", "globoff", "", "nothing: brackets and braces always stand for themselves"),
    ),
    "Data": (
        Option("d", "data", "DATA", "send DATA as a form; several are joined by &. @FILE: a file's bytes without line"
               " ends, @-: standard input's"),
        Option("", "data-binary", "DATA", "as -d, with the line ends of a file"),
        Option("", "data-raw", "DATA", "as -d, and @ is a character like others"),
        Option("", "data-urlencode", "DATA", "as -d, percent-encoded: CONTENT, =CONTENT,"
               " NAME=CONTENT, @FILE, NAME@FILE"),
        Option("", "json", "DATA", "as --data-binary, with JSON's Content-Type and Accept"),
        Option("F", "form", "NAME=CONTENT", "a field of a multipart form; CONTENT is @FILE to send a file, <FILE its"
               " text; ;type=... and ;filename=... may follow"),
        Option("", "form-string", "NAME=TEXT", "as -F, and @, < and ; are characters like others"),
        Option("G", "get", "", "put the data into the URL's query"),
        Option("T", "upload-file", "FILE", "send a file by PUT; -: standard input"),
    ),
    "Who asks": (
        Option("u", "user", "USER:PASSWORD", "Basic authentication, as user and password in the URL"),
        Option("", "oauth2-bearer", "TOKEN", "a Bearer token"),
        Option("", "basic", "", "nothing: it is what -u means"),
    ),
    "Redirects and repetitions": (
        Option("L", "location", "", "follow redirects"),
        Option("", "max-redirs", "COUNT", "so many at most (50); -1: any number"),
        Option("", "location-trusted", "", "follow redirects, and tell other hosts user and password, too"),
        Option("", "retry", "COUNT", "try again after timeouts and 408, 429, 500, 502, 503, 504"),
        Option("", "retry-delay", "SECONDS", "the longest wait before a repetition; the first comes at once"),
        Option("", "retry-connrefused", "", "try again if the connection is refused as well"),
        Option("", "retry-all-errors", "", "try again after every error"),
    ),
    "Output": (
        Option("o", "output", "FILE", "write the body to FILE; the n-th -o or -O is the n-th URL's, -: standard"
               " output"),
        Option("O", "remote-name", "", "write the body to a file named as the URL's last part"),
        Option("", "remote-name-all", "", "-O for every URL"),
        Option("", "output-dir", "FOLDER", "where files go"),
        Option("", "create-dirs", "", "make the folders that -o names"),
        Option("C", "continue-at", "OFFSET", "go on at that byte; -: where the file, or the last try, ended"),
        Option("i", "include", "", "print the response's head before the body"),
        Option("D", "dump-header", "FILE", "write the response's head to FILE"),
        Option("w", "write-out", "FORMAT", "print this at the end: %{http_code}, %{size_download}, %{time_total} ...,"
               " @FILE"),
        Option("f", "fail", "", "statuses from 400 on are errors: no body, exit status 22"),
        Option("", "fail-with-body", "", "as -f, and the body is printed"),
        Option("", "check-status", "", "exit status 4 or 5 for statuses 4xx and 5xx; the body is printed"),
        Option("s", "silent", "", "no progress, no errors"),
        Option("S", "show-error", "", "errors even with -s"),
        Option("v", "verbose", "", "tell on standard error what is sent and what comes"),
        Option("", "timings", "", "draw where the time went"),
        Option("N", "no-buffer", "", "nothing: output is never held back"),
        Option("#", "progress-bar", "", "nothing: progress is a bar on a terminal"),
        Option("", "max-filesize", "BYTES", "refuse longer bodies"),
    ),
    "Many URLs": (
        Option("Z", "parallel", "", "fetch side by side, as get with several URLs does; printed in the order given"),
        Option("", "parallel-max", "COUNT", "so many at once (50)"),
    ),
    "Connections": (
        Option("x", "proxy", "[SCHEME://]HOST:PORT", "through this proxy: http, https, socks4, socks4a, socks5,"
               " socks5h; '': through none"),
        Option("U", "proxy-user", "USER:PASSWORD", "for the proxy"),
        Option("", "noproxy", "HOSTS", "hosts that are reached without a proxy, by commas; *: all"),
        Option("", "resolve", "HOST:PORT:ADDRESS[,...]", "the address of a host in place of the DNS's"),
        Option("", "unix-socket", "PATH", "connect to this Unix socket"),
        Option("4", "ipv4", "", "IPv4 addresses only"),
        Option("6", "ipv6", "", "IPv6 addresses only"),
        Option("", "connect-timeout", "SECONDS", "the longest for making a connection (10)"),
        Option("m", "max-time", "SECONDS", "the longest for everything"),
        Option("", "http1.1", "", "nothing: it is what is spoken"),
    ),
    "TLS": (
        Option("k", "insecure", "", "don't check the server's certificate"),
        Option("", "cacert", "FILE", "believe these authorities, in place of the usual ones"),
        Option("", "capath", "FOLDER", "a folder of authorities"),
        Option("E", "cert", "FILE[:PASSWORD]", "our certificate"),
        Option("", "key", "FILE", "its key, if it is not in the same file"),
        Option("", "pass", "PASSWORD", "the key's password"),
        Option("", "tlsv1.2", "", "TLS 1.2 or newer"),
        Option("", "tlsv1.3", "", "TLS 1.3 or newer"),
    ),
    "Other": (
        Option("h", "help", "", "this text"),
        Option("V", "version", "", "the version"),
        Option("q", "disable", "", "nothing: no configuration file is read"),
    ),
}  # fmt: skip

#: What can't be had, and what to do.
_REFUSED = {
    "http2": "HTTP/2 is not spoken here: leave it out for HTTP/1.1",
    "http3": "HTTP/3 is not spoken here: leave it out for HTTP/1.1",
    "http1.0": "HTTP/1.0 is not spoken here: leave it out for HTTP/1.1",
    "digest": "Digest authentication is not spoken here: -u USER:PASSWORD is Basic",
    "ntlm": "NTLM is not spoken here: -u USER:PASSWORD is Basic",
    "negotiate": "Negotiate is not spoken here: -u USER:PASSWORD is Basic",
    "cookie-jar": "cookies are not kept here: send them with -b 'NAME=VALUE'",
    "next": "one set of options holds for all URLs: make two calls of it",
    "config": "no files of options are read: write them on the command line",
    "netrc": "no .netrc is read: write -u USER:PASSWORD",
}
_REFUSED_LETTERS = {"c": "cookie-jar", ":": "next", "K": "config", "n": "netrc", "0": "http1.0"}
_seconds = re.compile(r"[0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+").fullmatch
_BY_LONG = {option.long: option for options in OPTIONS.values() for option in options}
_BY_SHORT = {option.short: option for option in _BY_LONG.values() if option.short}


class Words:
    """What was given: options in their order, and URLs."""

    def __init__(self, verb: str | None = None) -> None:
        self.verb = verb
        self.urls: list[str] = []
        self._given: list[tuple[str, str]] = []  # name and value; a flag's is "yes", "" after --no-NAME

    def add(self, option: Option, value: str) -> None:
        """Note an option."""
        if option.long == "url":
            self.urls.append(value)
        else:
            self._given.append((option.long, value))

    def last(self, name: str) -> str | None:
        """The value of the option's last use; None: it was not given."""
        assert name in _BY_LONG, name
        return next((value for given, value in reversed(self._given) if given == name), None)

    def has(self, name: str) -> bool:
        """Whether a flag is on."""
        return bool(self.last(name))

    def all(self, *names: str) -> Iterator[tuple[str, str]]:
        """Name and value of each use of these options, in the order given."""
        assert _BY_LONG.keys() >= set(names), names
        return ((given, value) for given, value in self._given if given in names)

    def seconds(self, name: str) -> float | None:
        """The value as seconds above 0; None: not given, or 0, which is no limit as curl has it."""
        text = self.last(name)
        if text is None:
            return None
        if not _seconds(text):
            raise UsageError(f"{shown(name)} wants a number of seconds such as 2.5, not {text!r}")
        return float(text) or None

    def count(self, name: str, least: int = 0) -> int | None:
        """The value as a whole number; None: not given."""
        text = self.last(name)
        if text is None:
            return None
        if not text.removeprefix("-").isdecimal() or not text.isascii() or int(text) < least:
            raise UsageError(f"{shown(name)} wants a whole number from {least} on, not {text!r}")
        return int(text)


def shown(name: str) -> str:
    """An option as people write it: "-o/--output"."""
    option = _BY_LONG[name]
    return f"-{option.short}/--{name}" if option.short else f"--{name}"


def parse(words: Sequence[str]) -> Words:
    """What the words mean. UsageError names the word that means nothing, or the value that is missing."""
    rest = list(words)
    verb = rest.pop(0) if rest and rest[0] in VERBS else None
    found = Words(verb)
    while rest:
        word = rest.pop(0)
        if word == "--":
            found.urls.extend(rest)
            break
        if word == "-" or not word.startswith("-"):
            found.urls.append(word)
        elif word.startswith("--"):
            _long(found, word[2:], rest)
        else:
            _letters(found, word[1:], rest)
    return found


def _long(found: Words, word: str, rest: list[str]) -> None:
    name, equals, value = word.partition("=")
    positive = name.removeprefix("no-")
    if name not in _BY_LONG and positive in _BY_LONG and not _BY_LONG[positive].metavar:
        found.add(_BY_LONG[positive], "")
        return
    option = _named(name)
    if not option.metavar:
        if equals:
            raise UsageError(f"--{option.long} takes no value: leave out ={value}")
        found.add(option, "yes")
    else:
        found.add(option, value if equals else _value_of(option, f"--{option.long}", rest))


def _letters(found: Words, letters: str, rest: list[str]) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        option = _BY_SHORT.get(letter)
        if option is None:
            why = _REFUSED.get(_REFUSED_LETTERS.get(letter, ""), "--help lists all options")
            raise UsageError(f"there is no option -{letter}: {why}")
        if option.metavar:
            found.add(option, letters or _value_of(option, f"-{letter}", rest))
            return
        found.add(option, "yes")


def _named(name: str) -> Option:
    """The option of that name, or of a name that begins so and is the only one."""
    if name in _BY_LONG:
        return _BY_LONG[name]
    if name in _REFUSED:
        raise UsageError(f"--{name}: {_REFUSED[name]}")
    beginnings = [long for long in _BY_LONG if long.startswith(name)]
    if len(beginnings) == 1:
        return _BY_LONG[beginnings[0]]
    from difflib import get_close_matches

    near = beginnings or get_close_matches(name, _BY_LONG, n=1)
    hint = f"did you mean {' or '.join('--' + long for long in near)}?" if near else "--help lists all options"
    raise UsageError(f"there is no option --{name}: {hint}")


def _value_of(option: Option, written: str, rest: list[str]) -> str:
    if not rest:
        raise UsageError(f"{written} wants a value after it: {written} {option.metavar}")
    return rest.pop(0)


# Help

USAGE = "usage: poollib [get|head|post|put|patch|delete|options] [OPTION...] URL..."

_ABOUT = (
    "Print the bodies of HTTP responses, or run a command: bulk, demo, serve, as-urllib3. The options are curl's. A URL"
    " without a scheme is http's. The proxies that http_proxy, https_proxy, all_proxy and no_proxy name are used;"
    " NO_COLOR takes the colours away. On a terminal JSON is shown indented, a bar tells how far a file is, and binary"
    " data is not printed."
)

_STATUSES = """
0  all went well; without -f a status such as 404 is well
1  the scheme can't be spoken
2  the words of the command line can't be meant
3  the URL is none
5, 6, 7  the proxy's or the server's name has no address; no connection
18  the body was cut short
22  the status is 400 or higher, with -f
23, 26  a file could not be written, read
28  it took too long
35, 60, 77  TLS failed; the certificate is not believed; no authorities in that file
47  too many redirects
52, 56  no answer came; the connection broke
61, 63  the body can't be decoded; it is too long
4, 5  with --check-status: the status is 4xx, 5xx
130  interrupted
"""


def help_text(width: int) -> str:
    """The manual, for a terminal of so many columns."""
    width = max(40, min(width, 100))
    lines = ["NAME", "  poollib - fetch URLs", "", "SYNOPSIS", *_wrapped(USAGE.removeprefix("usage: "), width, 2, 10)]
    lines += _wrapped("poollib bulk | demo | serve | as-urllib3 --help", width, 2, 10)
    lines += ["", "DESCRIPTION", *_wrapped(_ABOUT, width, 2, 2)]
    for group, options in OPTIONS.items():
        lines += ["", group.upper()]
        for option in options:
            letter = f"-{option.short}, " if option.short else "    "
            lines.append(f"  {letter}--{option.long} {option.metavar}".rstrip())
            lines += _wrapped(option.help, width, 10, 10)
    lines += ["", "EXIT STATUS"]
    for status in _STATUSES.strip().splitlines():
        lines += _wrapped(status, width, 2, 6)
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int, first: int, others: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=" " * first, subsequent_indent=" " * others,
                         break_on_hyphens=False)  # fmt: skip
