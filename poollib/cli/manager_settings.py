"""From the words of a command line to the PoolManager that serves them: ways, limits, TLS, proxies, repetitions.

``main`` makes one manager for all URLs of a call. Everything here is a setting that ``PoolManager`` has anyway; the
defaults for timeouts are those of somebody who sits at a terminal.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base.ip import address_of
from ..base.timeout import Deadline, Timeout
from ..exceptions import InsecureRequestWarning, LocationParseError, ProxySchemeUnknown, TimeoutError
from ..exchange.base_response import BaseHTTPResponse
from ..net.dns import AddrInfo, system_lookup
from ..policy.retry import Retry
from ..poolmanager import PoolManager
from .arguments import Words
from .exit_status import TransferError

if TYPE_CHECKING:
    from ..client.keyword_types import ManagerKeywords
    from ..policy.proxy_rules import ProxyRules

#: Longer than this nobody waits at a terminal.
CONNECT_S, READ_S = 10.0, 60.0
#: Statuses that may be others a moment later.
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})


def make_manager(words: Words, connections: int) -> PoolManager:
    """The manager for so many transfers at once.

    UsageError, TransferError for certificates that are not there, ValueError for a proxy variable.
    """
    keywords: ManagerKeywords = {"maxsize": connections, "retries": False}
    uds = words.last("unix-socket")
    if uds is not None:
        keywords["uds"] = uds
    else:
        keywords["proxies"] = proxy_rules(words)
    names = Names(words)
    if names.is_needed:
        keywords["resolver"] = names
    _set_tls(keywords, words)
    return PoolManager(**keywords)


def timeout_of(words: Words) -> Timeout:
    """The limits of one transfer, its clock running."""
    connect, whole = words.seconds("connect-timeout"), words.seconds("max-time")
    deadline = None if whole is None else Deadline(whole)
    return Timeout(connect=connect or whole or CONNECT_S, read=whole or READ_S, deadline=deadline)


def retries_of(words: Words) -> Retry | bool:
    """What is tried again: nothing without --retry."""
    count = words.count("retry")
    if not count:
        return False
    all_errors, refused = words.has("retry-all-errors"), words.has("retry-connrefused")

    def is_transient(method: str, outcome: object) -> bool:
        if isinstance(outcome, BaseHTTPResponse):
            return outcome.status in TRANSIENT or (all_errors and outcome.status >= 400)
        if all_errors or "Connection refused" in str(outcome):
            return all_errors or refused
        return isinstance(outcome, TimeoutError)

    delay = words.seconds("retry-delay")
    return Retry(
        total=count,
        allowed_methods=None,
        raise_on_status=False,
        backoff_factor=delay or 0.5,
        backoff_max=delay or 120,
        retry_on=is_transient,
    )


# Names


class Names:
    """A resolver with --resolve's addresses, of one family with -4 and -6."""

    def __init__(self, words: Words) -> None:
        self._fixed: dict[tuple[str, int], list[str]] = {}
        for _, word in words.all("resolve"):
            host, port, addresses = _resolved(word)
            self._fixed[host, port] = addresses
        self._family = socket.AF_INET6 if words.has("ipv6") else socket.AF_INET if words.has("ipv4") else None
        self.is_needed = bool(self._fixed or self._family)

    def __call__(self, host: str, port: int) -> Sequence[AddrInfo | str]:
        fixed = self._fixed.get((host.lower(), port)) or self._fixed.get(("*", port))
        if fixed is not None:
            return fixed
        found = system_lookup(host, port)
        return found if self._family is None else [info for info in found if info[0] == self._family]


def _resolved(word: str) -> tuple[str, int, list[str]]:
    host, _, rest = word.removeprefix("+").partition(":")
    port, _, addresses = rest.partition(":")
    listed = [address.strip("[] ") for address in addresses.split(",")]
    if not host or not port.isdecimal() or any(address_of(address) is None for address in listed):
        raise TransferError(49, f"--resolve wants HOST:PORT:ADDRESS, such as example.com:443:127.0.0.1, not {word!r}")
    return host.lower(), int(port), listed


# Proxies


def proxy_rules(words: Words) -> ProxyRules | None:
    """-x and --noproxy, else those of the environment."""
    from ..policy.proxy_rules import ProxyRules, environment_rules

    given, exempt = words.last("proxy"), words.last("noproxy")
    environ = dict(os.environ)
    if exempt is not None:
        environ["no_proxy"] = exempt
    if given is None:
        try:
            return environment_rules(environ)
        except ValueError as error:
            raise TransferError(5, f"{error}: it should be such as http://127.0.0.1:3128") from error
    if not given:
        return None
    try:
        return ProxyRules({"all": _with_login(given, words)}, environ.get("no_proxy") or environ.get("NO_PROXY", ""))
    except ProxySchemeUnknown as error:
        raise TransferError(7, f"-x/--proxy: {error}: write http://, https:// or socks5h:// before it") from error
    except (LocationParseError, ValueError) as error:
        raise TransferError(5, f"-x/--proxy wants [SCHEME://]HOST:PORT: {error}") from error


def _with_login(proxy: str, words: Words) -> str:
    """The proxy's URL with -U's user and password; port 1080 where there is none, as curl has it."""
    from urllib.parse import quote

    from ..policy.proxy_rules import parse_proxy

    url = parse_proxy(proxy)
    if url.scheme == "http" and not proxy.rstrip("/").endswith(f":{url.port}"):
        url = url.with_port(1080)
    login = words.last("proxy-user")
    if login is not None:
        user, _, password = login.partition(":")
        url = url.with_login(f"{quote(os.fsencode(user), safe='')}:{quote(os.fsencode(password), safe='')}")
    return url.url


# TLS


def _set_tls(keywords: ManagerKeywords, words: Words) -> None:
    authorities, folder = words.last("cacert"), words.last("capath")
    for name in (authorities, folder):
        if name is not None and not os.path.exists(name):
            raise TransferError(77, f"{name}: there is no such file of authorities (PEM)")
    if authorities is not None:
        keywords["ca_certs"] = authorities
    if folder is not None:
        keywords["ca_cert_dir"] = folder
    if words.has("tlsv1.2") or words.has("tlsv1.3"):
        import ssl

        keywords["ssl_minimum_version"] = ssl.TLSVersion.TLSv1_3 if words.has("tlsv1.3") else ssl.TLSVersion.TLSv1_2
    _set_certificate(keywords, words)
    if words.has("insecure"):
        keywords["cert_reqs"] = "CERT_NONE"
        keywords["assert_hostname"] = False
        warnings.simplefilter("ignore", InsecureRequestWarning)  # they said so


def _set_certificate(keywords: ManagerKeywords, words: Words) -> None:
    certificate, key, password = words.last("cert"), words.last("key"), words.last("pass")
    if certificate is None:
        return
    if not os.path.exists(certificate) and ":" in certificate:
        certificate, _, password = certificate.rpartition(":")
    for name in filter(None, [certificate, key]):
        if not os.path.exists(name):
            raise TransferError(58, f"{name}: there is no such file of a certificate or key (PEM)")
    keywords["cert_file"] = certificate
    if key is not None:
        keywords["key_file"] = key
    if password is not None:
        keywords["key_password"] = password
