"""An ``SSLContext`` that a caller hands in, and how the settings beside it hold for one TLS socket alone.

The verify mode, the check of the name and the versions are properties of a TLS socket that it takes over from the
context it is made of: where a setting differs from the caller's context, :func:`context_under` makes a second context
with that setting, ``tls`` makes the socket of the second one and then gives it the caller's, for authorities and client
certificate. The caller's context is never changed, not for an instant, so no other user of it meets the setting.
Authorities and client certificates can't be put on a socket, nor taken out of a context again: ``tls_contexts`` loads
them into the caller's context, and :class:`Loaded` sees to it that a context gets one set of them.
Contexts of other classes (truststore's, mocks) are read here alone, in :func:`rules_of` and :func:`state_of`.
It follows OpenSSL's ``SSL_new`` and ``SSL_set_SSL_CTX`` (what is copied from which context), and the advisories on
settings that leak by a shared context (Python CVE-2024-0397, curl CVE-2026-11564).
"""

from __future__ import annotations

import contextlib
import ssl
import warnings
from _ssl import _SSLContext
from collections.abc import Callable, Hashable, Iterable
from typing import Final, NamedTuple, cast
from weakref import WeakKeyDictionary

from ..exceptions import SSLError

ALPN_PROTOCOLS = ["http/1.1"]


class Rules(NamedTuple):
    """What a TLS socket takes over from the context it is made of; ``checks_name``: OpenSSL compares the name."""

    verify_mode: int
    checks_name: bool
    oldest: int
    newest: int

    def differs_in_name_check_only(self, other: Rules) -> bool:
        """Whether the rules are the same but perhaps for ``checks_name``."""
        return self == Rules(other.verify_mode, self.checks_name, other.oldest, other.newest)


def rules_of(context: ssl.SSLContext) -> Rules:
    """The rules that sockets of this context obey now; its owner may change them at any time."""
    return Rules(
        context.verify_mode,
        context.check_hostname,
        cast(ssl.TLSVersion, _known(context, "minimum_version", ssl.TLSVersion.MINIMUM_SUPPORTED)),
        cast(ssl.TLSVersion, _known(context, "maximum_version", ssl.TLSVersion.MAXIMUM_SUPPORTED)),
    )


def _known(held: object, name: str, default: object = None) -> object:
    """An attribute of a context, or of what makes its sockets, that one of somebody else's class may lack."""
    return getattr(held, name, default)


def state_of(context: ssl.SSLContext) -> tuple[object, ...]:
    """What of a context can be read and decides trust: to notice that its owner has changed it (1 us)."""
    if type(context).__module__ != "ssl":
        if _known(context, "verify_mode") is None:
            raise TypeError(f"an ssl_context is an ssl.SSLContext, not {type(context).__name__}")
        return (*rules_of(context), _known(context, "verify_flags"), _known(context, "options"))
    return (
        _read_mode(context),
        context.check_hostname,
        _read_flags(context),
        _read_options(context),
        _read_oldest(context),
        _read_newest(context),
    )


# As numbers: the standard library's properties make an enum of each, which takes eight times as long.
_read_mode, _read_flags, _read_options, _read_oldest, _read_newest = (
    vars(_SSLContext)[name].__get__
    for name in ("verify_mode", "verify_flags", "options", "minimum_version", "maximum_version")
)


def context_under(rules: Rules, context: ssl.SSLContext) -> ssl.SSLContext:
    """A context whose sockets obey ``rules``: the given one where it says so itself, else a second one like it.

    A context that shakes hands its own way (truststore's) can't be given such rules: SSLError, unless it is only
    stricter, comparing a name that need not be compared. Of a mock nothing can be read, so it serves as it is.
    """
    held = rules_of(context)
    if held == rules or not isinstance(held.verify_mode, int):
        return context
    if _is_plain(context):
        return _second(context, rules)
    if held.differs_in_name_check_only(rules):
        return context
    raise SSLError(
        f"cert_reqs and versions can't be given beside an ssl_context of {type(context).__module__}."
        f"{type(context).__qualname__}: set them on the context itself"
    )


def checks_common_name(context: ssl.SSLContext) -> bool:
    """Whether its owner lets a certificate's common name stand for a host name; LibreSSL has no such switch."""
    return bool(_known(context, "hostname_checks_common_name"))


def _is_plain(context: ssl.SSLContext) -> bool:
    """Whether it makes sockets as the standard library's own class does."""
    makers = [_known(type(context), name) for name in ("wrap_socket", "wrap_bio")]
    return all(_known(maker, "__module__") == "ssl" for maker in makers)


def _second(context: ssl.SSLContext, rules: Rules) -> ssl.SSLContext:
    """A context with these rules, in all else that can be read like the given one; without CAs and certificates.

    0.3 ms, for each connection: kept, it would miss what the owner changes. What can't be read (groups, PSK callbacks)
    is OpenSSL's default.
    """
    # The library's own class: in its module another may stand in its place (truststore, mocks).
    make: type[ssl.SSLContext] = next(kind for kind in type(context).__mro__ if kind.__module__ == "ssl")
    second = make(ssl.PROTOCOL_TLS_CLIENT)
    second.sslsocket_class, second.sslobject_class = context.sslsocket_class, context.sslobject_class
    names = [str(cipher["name"]) for cipher in context.get_ciphers()]
    if hasattr(context, "security_level"):  # LibreSSL has none
        names.append(f"@SECLEVEL={context.security_level}")
    second.set_ciphers(":".join(names))
    with warnings.catch_warnings():  # the owner has been told already that old versions are deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        second.options = context.options
        second.minimum_version = ssl.TLSVersion(rules.oldest)
        second.maximum_version = ssl.TLSVersion(rules.newest)
    second.verify_flags = context.verify_flags
    with contextlib.suppress(AttributeError):  # LibreSSL has no such switch
        second.hostname_checks_common_name = context.hostname_checks_common_name
    second.post_handshake_auth = context.post_handshake_auth
    second.set_alpn_protocols(ALPN_PROTOCOLS)
    second.check_hostname = False  # else the next line may be refused
    second.verify_mode = ssl.VerifyMode(rules.verify_mode)
    second.check_hostname = rules.checks_name
    return second


_OTHER_SET: Final = (
    "{what} differ from those that this ssl_context was used with before; what is loaded into a context stays in it,"
    " so give each set an ssl_context of its own"
)


class Wanted(NamedTuple):
    """Certificates for a context; ``meaning``: what is wanted, None for none; ``stamps``: the version of its files."""

    what: str
    meaning: Hashable
    stamps: Hashable
    load: Callable[[], None]


class Loaded:
    """What was loaded into callers' contexts, by context. Nothing is locked here: the caller does.

    Contexts are held weakly.
    """

    def __init__(self) -> None:
        self._sets: WeakKeyDictionary[ssl.SSLContext, dict[str, tuple[Hashable, Hashable]]] = WeakKeyDictionary()

    def load(self, context: ssl.SSLContext, wanted: Iterable[Wanted]) -> None:
        """Load what is wanted and was not loaded before.

        SSLError if something else was, or if the context was used without it: those connections were not to believe,
        nor to show, what others load. Then nothing is loaded.
        """
        try:
            held = self._sets.setdefault(context, {})
        except TypeError:  # can't be referred to weakly: nothing is known of it
            held = {}
        wanted = tuple(wanted)
        for one in wanted:
            known = held.get(one.what)
            if known is not None and known[0] != one.meaning:
                raise SSLError(_OTHER_SET.format(what=one.what))
        for one in wanted:
            if one.meaning is not None and held.get(one.what) != (one.meaning, one.stamps):
                one.load()
            held[one.what] = (one.meaning, one.stamps)
