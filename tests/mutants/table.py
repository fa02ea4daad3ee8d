"""The mutants: which promise of docs/security.rst, which file, what stands there, and what breaks the promise."""

from __future__ import annotations

from typing import Final, NamedTuple


class Mutant(NamedTuple):
    """One change to the package that breaks the promise of one row; ``row``: text that stands in that row alone."""

    row: str
    file: str
    old: str
    new: str

    @property
    def shown(self) -> str:
        """The change in a line."""
        return f"{' '.join(self.old.split())[:70]} -> {' '.join(self.new.split())[:70] or 'nothing'}"

    def applied_to(self, text: str) -> str:
        """The file's text with the change; LookupError unless what is changed stands there exactly once."""
        if text.count(self.old) != 1:
            raise LookupError(
                f"{self.file} has {text.count(self.old)} times, not once: {self.old!r} (row {self.row!r})"
            )
        return text.replace(self.old, self.new)


def _mutants(row: str, *changes: tuple[str, str, str]) -> list[Mutant]:
    return [Mutant(row, f"poollib/{file}", old, new) for file, old, new in changes]


MUTANTS: Final = [
    # -- advisories --
    *_mutants(
        "one way to verify; CERT_REQUIRED unless said otherwise",
        ("base/endpoint.py", "return _REQUIRED if context is None else None", "return 0 if context is None else None"),
        (
            "net/tls_contexts.py",
            "if settings.assert_hostname is not None or settings.assert_fingerprint or settings.cert_reqs",
            "if True or settings.cert_reqs",
        ),
        (
            "net/tls.py",
            "if candidate is None:\n        return ssl.CERT_REQUIRED",
            "if candidate is None:\n        return ssl.CERT_NONE",
        ),
        (
            "net/tls.py",
            "set_verification(context, TlsSettings(cert_reqs=cert_reqs))",
            "set_verification(context, TlsSettings(cert_reqs=cert_reqs or 0))",
        ),
    ),
    *_mutants(
        "credentials are dropped by scheme, host and port, whatever the case of their names",
        ("policy/redirect.py", 'dropped = {"Host", *retries.remove_headers_on_redirect}', 'dropped = {"Host"}'),
        (
            "policy/redirect.py",
            'return (scheme, host.rstrip("."), port) ==',
            'return (its_scheme, host.rstrip("."), port) ==',
        ),
        (
            "policy/redirect.py",
            'return (scheme, host.rstrip("."), port) ==',
            'return (scheme, its_host.rstrip("."), port) ==',
        ),
        (
            "policy/redirect.py",
            'return (scheme, host.rstrip("."), port) ==',
            'return (scheme, host.rstrip("."), its_port) ==',
        ),
        (
            "policy/redirect.py",
            "        kept.discard(name)",
            "        kept.pop(name, None) if name in dict(headers or {}) else None",
        ),
    ),
    *_mutants(
        "the same, to another host, port or protocol; never from https to http",
        ("policy/redirect.py", "        dropped |= Retry.DEFAULT_REMOVE_HEADERS_ON_REDIRECT\n", ""),
        ("policy/redirect.py", "        if not retries.allow_downgrade:", "        if False:"),
    ),
    *_mutants(
        "credentials once dropped are gone for the chain",
        (
            "client/request_loop.py",
            "    if dropped:\n        following.headers = without_fields(following.headers, dropped)",
            '    first = globals().setdefault("_first", {}).setdefault(id(request.owner), request)\n'
            "    if dropped:\n        following.headers = without_fields(following.headers, dropped)\n"
            "    if _same_origin(request, first.target, following.target):\n        following.headers = first.headers",
        ),
        (
            "policy/redirect.py",
            'return (scheme, host.rstrip("."), port) ==',
            "return host.endswith(its_host) or its_host.endswith(host) or (scheme, host, port) ==",
        ),
    ),
    *_mutants(
        "dropping happens in the pool as in the manager",
        (
            "client/request_loop.py",
            "    return same_origin(_absolute(request, target), _absolute(request, other))",
            "    return True",
        ),
        (
            "client/request_target.py",
            "if not self.is_same_host(target) and not self._may_forward(target):",
            "if False:",
        ),
    ),
    *_mutants(
        "method, target, host and fields are checked before a socket is opened",
        ("http1/request_head.py", "    if type(method) is not str or method not in _COMMON_METHODS:", "    if False:"),
        (
            "http1/request_head.py",
            "    if not isinstance(method, str) or not is_token(method):",
            "    if not isinstance(method, str):",
        ),
        ("http1/request_head.py", "    if type(target) is not str or not is_target(target):", "    if False:"),
        (
            "http1/request_head.py",
            "    if not isinstance(target, str) or not is_target(target):",
            "    if not isinstance(target, str):",
        ),
        (
            "http1/request_head.py",
            "    if not isinstance(text, str) or not is_token(text):",
            "    if not isinstance(text, str):",
        ),
        ("http1/request_head.py", "    if not is_field_value(text):", "    if False:"),
        ("base/url.py", '    if not target.startswith("/"):', "    if False:"),
        (
            "exchange/request_sender.py",
            "        fields = NO_FIELDS\n        if headers:\n",
            "        if self.sock is None:\n            self.connect()\n"
            "        fields = NO_FIELDS\n        if headers:\n",
        ),
    ),
    *_mutants(
        "a path that begins with ``//`` names no other host",
        (
            "connectionpool.py",
            "        request = Request(self, method, url, body,",
            "        request = Request(self, method, parse_url(url).request_uri, body,",
        ),
        ("base/url.py", '        path = "/." + path  # else', "        path = path  # else"),
        ("base/url.py", 'f"/.{path}" if not text and path.startswith("//") else path', "path"),
    ),
    *_mutants(
        "Content-Length, Transfer-Encoding and Host go out once",
        ("http1/request_head.py", "            if lower in _SINGLE:", "            if False:"),
        (
            "exchange/request_sender.py",
            "        if common is None or fields.replaces_common or url",
            "        if common is None or url",
        ),
        (
            "http1/request_head.py",
            "        lower = name.lower()\n        if value",
            "        lower = name\n        if value",
        ),
    ),
    *_mutants(
        "``ssl_context``: only those authorities",
        (
            "net/tls_contexts.py",
            "        load_named_cas(context, settings.ca_certs, settings.ca_cert_dir, settings.ca_cert_data)\n    else:",
            "        load_named_cas(context, settings.ca_certs, settings.ca_cert_dir, settings.ca_cert_data)\n        load_usual_cas(context)\n    else:",
        ),
        (
            "net/tls_contexts.py",
            "        _load_beside(settings.ssl_context, settings)\n",
            "        _load_beside(settings.ssl_context, settings)\n        load_usual_cas(settings.ssl_context)\n",
        ),
    ),
    *_mutants(
        "URLs, heads, lists and forms are read in linear time",
        (
            "base/url.py",
            "            kept.append(segment)\n",
            "            kept = [each for each in kept] + [segment]\n",
        ),
        (
            "http1/response_head.py",
            "_LINE_END.search(data, max(0, before - 3))",
            "_LINE_END.search(data, sum(1 for _ in data) * 0)",
        ),
        (
            "http1/response_head.py",
            "    joined = earlier if isinstance(earlier, bytearray) else bytearray(earlier)\n",
            "    joined = bytearray(earlier)\n",
        ),
    ),
    *_mutants(
        "an https proxy is verified, by settings of its own",
        (
            "exchange/proxy_config.py",
            "        return TlsSettings(\n            ca_certs=ca_certs,",
            "        return TlsSettings(\n            cert_reqs=0,\n            ca_certs=ca_certs,",
        ),
        ("exchange/proxy_config.py", "            assert_hostname=name,\n", "            assert_hostname=False,\n"),
        ("exchange/proxy_config.py", "            assert_fingerprint=pins,\n", ""),
        (
            "exchange/tls_transport.py",
            "        return proxy_tls_settings(self.proxy_config, self.ca_certs, self.ca_cert_dir, self.ca_cert_data)",
            "        return self.tls_settings",
        ),
    ),
    *_mutants(
        "the target's TLS settings hold behind every kind of proxy",
        (
            "exchange/tls_transport.py",
            "self._wrap_in_tls(self.sock, self.tls_settings, host,",
            "self._wrap_in_tls(self.sock, self.tls_settings if self.proxy is None and type(self).__name__[0] != 'S' else TlsSettings(cert_reqs=0), host,",
        ),
        (
            "exchange/tls_transport.py",
            "(self._tunnel_host, self._tunnel_port or 443) if self._tunnel_host else",
            "(self.host, self._tunnel_port or 443) if self._tunnel_host else",
        ),
    ),
    *_mutants(
        "303 drops the body and the fields that describe it",
        ("policy/redirect.py", 'return status == 303 and method != "HEAD"', "return False"),
        (
            "base/headers.py",
            'return name.startswith("content-") or name in _BODY_FIELDS',
            'return name.startswith("content-")',
        ),
        (
            "base/headers.py",
            'return name.startswith("content-") or name in _BODY_FIELDS',
            "return name in _BODY_FIELDS",
        ),
        ("poolmanager.py", "if name not in _BODY_KEYWORDS}", "}"),
    ),
    *_mutants(
        "a manager's Retry governs redirects",
        (
            "poolmanager.py",
            '            retries = defaults["retries"]\n',
            "            retries = None\n",
        ),
    ),
    *_mutants(
        "at most 5 codings, over all lines",
        ("http1/content_encoding.py", "MAX_LINKS = 5\n", "MAX_LINKS = 50\n"),
        ("http1/response_head.py", "encoding = _as_list(encoding, value) if encoding else value", "encoding = value"),
    ),
    *_mutants(
        "each call of a decoder is bounded",
        ("http1/decoders.py", "        if 0 < wanted < len(piece):\n", "        if False:\n"),
        ("http1/decoders.py", "stream.decompress(view, max(wanted, 0))", "stream.decompress(view, 0)"),
        (
            "http1/decoders.py",
            '            raise DecodeError(f"the {self.coding} data is cut short: it ends before the stream does")\n        return b""',
            '            raise DecodeError(f"the {self.coding} data is cut short: it ends before the stream does")\n        return self.decompress(b"")',
        ),
        (
            "http1/content_encoding.py",
            "piece = decoder.decompress(piece, LINK_BYTES)",
            "piece = decoder.decompress(piece, -1)",
        ),
    ),
    *_mutants(
        "what is thrown away is not decoded",
        ("response.py", "DRAIN_LIMIT_BYTES = 65536 ", "DRAIN_LIMIT_BYTES = 1 << 30 "),
        ("response.py", "                _drain(source)\n", "                self.read()\n"),
        (
            "response.py",
            "            self._preload_coded(source)\n",
            "            self._body = self.read()\n",
        ),
    ),
    *_mutants(
        "every step of a decoder consumes, yields or ends",
        (
            "http1/decoders.py",
            "        if stream.eof:\n            self._input.clear()\n",
            "        if stream.eof:\n",
        ),
        (
            "http1/content_encoding.py",
            "        if self._bytes_without_output > MAX_BYTES_WITHOUT_OUTPUT:",
            "        if False:",
        ),
    ),
    *_mutants(
        "chunk lines, extensions and trailers have limits",
        (
            "http1/body_reader.py",
            "        is_too_long = len(match[0]) - 2 > self._limits.chunk_line_bytes",
            "        is_too_long = False",
        ),
        ("http1/body_reader.py", " or incoming.unread() > self._limits.chunk_line_bytes + 2:", ":"),
        ("http1/body_reader.py", "self._excess > self._limits.overhead_bytes or ", ""),
        ("http1/response_head.py", "if (end if end >= 0 else len(data)) - at > limits.trailer_bytes:", "if False:"),
        ("http1/response_head.py", "if lines > limits.trailer_lines:", "if False:"),
    ),
    *_mutants(
        "every TLS setting decides sharing, compared exactly",
        (
            "client/endpoint_builder.py",
            '        pool.endpoint = self._endpoint()\n        for connection in pool.connections():\n            connection.is_outdated = True\n        pool.drop_idle("settings changed")\n',
            "        pass\n",
        ),
        (
            "client/endpoint_builder.py",
            '        tls = self._tls_settings() if scheme == "https" else None\n',
            "        tls = None\n",
        ),
        (
            "base/endpoint.py",
            "            key_password,\n            ssl_version,",
            "            None,\n            ssl_version,",
        ),
        (
            "poolmanager.py",
            "        if key is not None and keywords == self.connection_pool_kw:\n            target",
            "        if key is not None:\n            target",
        ),
    ),
    *_mutants(
        "what is for the proxy goes to the proxy alone",
        (
            "connectionpool.py",
            "self._with_proxy_headers(request.headers) if self._is_forwarding else request.headers",
            "self._with_proxy_headers(request.headers)",
        ),
        (
            "connectionpool.py",
            "port=port, headers=self.proxy_headers)",
            "port=port, headers={**self.headers, **self.proxy_headers})",
        ),
    ),
    *_mutants(
        "no cookie jar, no netrc; one strict parser",
        ("base/url.py", 'authority.rpartition("@")\n', 'authority.partition("@")\n'),
        ("base/url.py", '    if "\\\\" in authority:', "    if False:"),
        (
            "client/request_loop.py",
            "    response.drain_conn()\n    _raise_if_body_consumed(following)\n",
            '    response.drain_conn()\n    if "@" in location:\n'
            '        following.headers = HTTPHeaderDict(following.headers, authorization="Basic " + location.split("@")[0])\n'
            "    _raise_if_body_consumed(following)\n",
        ),
    ),
    *_mutants(
        "lines, fields and heads have limits by default",
        ("http1/response_head.py", "    if len(lines) > limits.header_lines + 3:", "    if False:"),
        ("http1/response_head.py", "    if max(map(len, lines)) > limits.line_bytes:", "    if False:"),
        ("http1/response_head.py", "    if len(head) > limits.head_bytes:", "    if False:"),
        ("http1/response_head.py", "    if len(data) > limits.head_bytes:", "    if False:"),
        ("http1/response_head.py", "    if line_bytes > limits.line_bytes:", "    if False:"),
        ("http1/response_head.py", "    if lines > limits.header_lines + 2:", "    if False:"),
        (
            "http1/response_head.py",
            "_SHORT_HEAD_BYTES = 4 * DEFAULT_LIMITS.header_lines",
            "_SHORT_HEAD_BYTES = 400 * DEFAULT_LIMITS.header_lines",
        ),
    ),
    *_mutants(
        "so have interim responses and trailers",
        (
            "http1/interim_responses.py",
            "        if self._count > most + (now - self._since) * INTERIM_PER_S:",
            "        if False:",
        ),
        ("http1/response_head.py", "if lines > limits.trailer_lines:", "if False:"),
    ),
    *_mutants(
        "OpenSSL matches names; the matcher of its own takes no partial wildcards",
        ("net/certificates.py", '    if first == "*":', '    if "*" in first:'),
        (
            "net/certificates.py",
            "return bool(label and rest) and rest == parent",
            "return bool(label and rest) and parent.endswith(rest)",
        ),
        (
            "net/certificates.py",
            "return address is None and bool(_dnsname_match(name, hostname))",
            "return bool(_dnsname_match(name, hostname))",
        ),
    ),
    *_mutants(
        "hosts are strict: no blanks",
        ("base/url.py", '    if url != url.strip(" "):', "    if False:"),
        ("base/url.py", "    if _control.search(url):", "    if False:"),
        ("base/url.py", "    _check_host_characters(hostport)\n", "    pass\n"),
        ("base/url.py", 'if len(_triple.findall(host)) != host.count("%") or', "if"),
        ("net/dns.py", '    if "%" in name and ":" not in name:', "    if False:"),
        ("base/url.py", "    if not _is_ipv6(address) or (mark", "    if (mark"),
        ("base/url.py", "    if not name or len(name) > _MAX_NAME or not all(", "    if not all("),
        ("base/url.py", "            _check_a_label(label)\n", "            pass\n"),
        ("base/url.py", "return char if _unreserved.fullmatch(char) else match[0]", "return char"),
        (
            "base/url.py",
            "    if any(not char.isascii() and _has_ascii(char.lower()) for char in host):",
            "    if False:",
        ),
        ("base/url.py", "    if not _reg_name.fullmatch(host):", "    if False:"),
    ),
    *_mutants(
        "a host is normalised once, for the pool, TLS and the Host field",
        ("base/url.py", '    host = host.lower()\n    if "%"', '    if "%"'),
        ("exchange/transport.py", 'return self._dns_host.rstrip(".")', "return self._dns_host"),
        ("base/url.py", "        host = idna_encode(host)\n", "        pass\n"),
    ),
    *_mutants(
        "a zone is no part of a name in NO_PROXY",
        (
            "policy/proxy_rules.py",
            "        if address is not None:\n            return any(",
            '        if address is not None and name.count(".") == 3:\n            return any(',
        ),
        (
            "policy/proxy_rules.py",
            'suffix and (name == suffix or name.endswith(f".{suffix}"))',
            "suffix and name.endswith(suffix)",
        ),
    ),
    *_mutants(
        "only http and https redirects are followed",
        ("policy/redirect.py", "    if after not in WEB_SCHEMES and (", "    if False and ("),
    ),
    *_mutants(
        "TLS begins on a fresh socket",
        ("net/http_tunnel.py", "    if rest:  # what comes now", "    if False:  # what comes now"),
    ),
    *_mutants(
        "CONNECT is checked as any request",
        ("net/http_tunnel.py", "    elif not is_reg_name(name):", "    elif False:"),
        (
            "net/http_tunnel.py",
            '    ask = request_head("CONNECT", target, pairs)\n',
            "    ask = f\"CONNECT {target} HTTP/1.1\\r\\n{''.join(f'{n}: {v}{chr(13)}{chr(10)}' for n, v in pairs)}\\r\\n\".encode(\"latin-1\")\n",
        ),
        ("net/proxy_handshake.py", "    if not 0 < port < 65536:", "    if False:"),
    ),
    *_mutants(
        "a connection that saw CONNECT is not used again",
        ("connection.py", '        if method == "CONNECT":\n            self._close_asked = True\n', ""),
    ),
    *_mutants(
        "contexts in use are never changed, a caller's neither",
        (
            "net/caller_ssl_context.py",
            "        return _second(context, rules)\n",
            "        context.check_hostname = False\n        context.verify_mode = rules.verify_mode\n        return context\n",
        ),
        (
            "net/caller_ssl_context.py",
            "            if known is not None and known[0] != one.meaning:",
            "            if False:",
        ),
        (
            "net/tls_contexts.py",
            "    if context is not None:\n        with contextlib.suppress(KeyError):",
            "    if False:\n        with contextlib.suppress(KeyError):",
        ),
        (
            "net/tls_contexts.py",
            "    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino\n",
            "    return None\n",
        ),
    ),
    *_mutants(
        "memory follows the bytes that came",
        (
            "http1/body_reader.py",
            "        before = self.received\n",
            '        before, hog = self.received, b"x" * size\n',
        ),
    ),
    *_mutants(
        "the exact grammar, in bytes: digits, tokens, CR LF",
        ("http1/body_reader.py", 'rb"([0-9a-fA-F]{1,%d})([ \\t]*', 'rb"[+]?([0-9a-fA-F]{1,%d})([ \\t]*'),
        (
            "http1/body_reader.py",
            "        elif incoming.unread() >= 2:\n            raise self._refuse(incoming.data[incoming.at : incoming.at + 2])\n",
            "        elif incoming.unread() >= 2:\n            incoming.take(2)\n            self.chunk_left = None\n",
        ),
        (
            "http1/response_head.py",
            'return b"" if values or not one.isdigit() or len(one) > MAX_LENGTH_DIGITS else one',
            'return b"" if values or not one.strip(b"+").isdigit() else one',
        ),
        (
            "http1/response_head.py",
            '_is_field_line = re.compile(f"({TOKEN}+):',
            '_is_field_line = re.compile(f"({TOKEN}+) ?:',
        ),
    ),
    *_mutants(
        "bytes behind a response, or on an idle socket, end the connection",
        (
            "http1/body_reader.py",
            "        clean = self.keep and not self.incoming.unread()\n",
            "        clean = self.keep\n",
        ),
        (
            "connection.py",
            "        if len(data) - end == length and limit",
            "        if len(data) - end >= length >= 0 and limit",
        ),
        (
            "net/socket_state.py",
            "            if ask(_SOL_SOCKET, _SO_MEMINFO, 4) != _NOTHING:\n                return False\n",
            "",
        ),
    ),
    *_mutants(
        "CVE-2023-47641",
        (
            "http1/response_head.py",
            "                self.keep_alive = False  # faulty framing",
            "                pass  # faulty framing",
        ),
        (
            "http1/response_head.py",
            '        if codings == [b"chunked"]:\n            self.length = CHUNKED\n',
            '        if codings == [b"chunked"]:\n            self.length = self.length if self.length >= 0 else CHUNKED\n',
        ),
    ),
    *_mutants(
        "trailers, names and pools are bounded",
        ("http1/response_head.py", "if (end if end >= 0 else len(data)) - at > limits.trailer_bytes:", "if False:"),
        ("net/dns.py", "            while len(self._kept) > self._limit:", "            while False:"),
        (
            "base/headers.py",
            "            while len(self._container) > max(self._maxsize, 0):",
            "            while False:",
        ),
    ),
    *_mutants(
        "CR, LF and NUL in forms are refused or encoded",
        ("http1/multipart.py", "        if _line_breaker.search(value):", "        if False:"),
        ("http1/multipart.py", "        if not _is_token(name):", "        if False:"),
        ("http1/multipart.py", "_quotable.sub(lambda match: _QUOTED[match[0]], text)", "text"),
        ("http1/multipart.py", 're.compile(r"[\\r\\n\\0]")', 're.compile(r"[\\r\\n]")'),
    ),
    *_mutants(
        "a TLS session is resumed with the same settings and on the same way",
        (
            "net/tls_sessions.py",
            "            kept = self._kept.get((context, key))\n            if kept is None or",
            "            kept = next((held for at, held in self._kept.items() if at[1] == key), None)\n            if kept is None or",
        ),
        (
            "net/tls_sessions.py",
            "            kept = self._kept.get((context, key))\n            if kept is None or",
            "            kept = next((held for at, held in self._kept.items() if at[0] is context), None)\n            if kept is None or",
        ),
        (
            "net/tls_sessions.py",
            "    proxies = _digest(route.proxies) if any(route.proxies) else None\n",
            "    proxies = None\n",
        ),
        (
            "net/tls_sessions.py",
            "    source = None if route.source_address is None else tuple(route.source_address)\n",
            "    source = None\n",
        ),
        (
            "net/tls_sessions.py",
            "        resolver = None if route.resolver is None else weakref.ref(route.resolver)\n",
            "        resolver = None\n",
        ),
        ("exchange/transport.py", "        if type(self)._new_conn not in self.own_dialling or", "        if"),
    ),
    *_mutants(
        "no callbacks into connections; names and pins are checked on resumed ones, too",
        (
            "net/tls.py",
            "    if settings.assert_fingerprint:\n        check_pins",
            "    if settings.assert_fingerprint and not stream.session_reused:\n        check_pins",
        ),
        (
            "net/tls.py",
            "    if by_chain and wants_name and not",
            "    if not stream.session_reused and by_chain and wants_name and not",
        ),
    ),
    *_mutants(
        "no authentication is bound to connections",
        (
            "exchange/request_sender.py",
            "        fields = NO_FIELDS\n        if headers:\n",
            "        fields = self._private[1] if self._private else NO_FIELDS\n        if headers:\n",
        ),
    ),
    *_mutants(
        "the scheme and the origin are in the key",
        (
            "base/endpoint.py",
            "return super().__new__(cls, scheme, host, port, uds, proxy,",
            'return super().__new__(cls, "", host, port, uds, proxy,',
        ),
        (
            "base/endpoint.py",
            "return super().__new__(cls, scheme, host, port, uds, proxy,",
            'return super().__new__(cls, scheme, "", port, uds, proxy,',
        ),
        (
            "base/endpoint.py",
            "return super().__new__(cls, scheme, host, port, uds, proxy,",
            "return super().__new__(cls, scheme, host, 0, uds, proxy,",
        ),
        (
            "client/pool_key.py",
            "    for name, value in context.items():\n        key[",
            '    for name, value in context.items():\n        if name != "port":\n            key[',
        ),
    ),
    *_mutants(
        "so are the proxy and its credentials",
        (
            "client/pool_key.py",
            "    context = dict(request_context)\n",
            '    context = dict(request_context)\n    context.pop("_proxy_headers", None)\n',
        ),
    ),
    *_mutants(
        "a request leaves no state in pool or connection",
        (
            "exchange/request_sender.py",
            "        self._close_asked = fields.close\n",
            "        self._close_asked = self._close_asked or fields.close\n",
        ),
        (
            "connectionpool.py",
            "        conn.request_options = request.all_options()\n",
            "        conn.request_options = request.all_options() or conn.request_options\n",
        ),
    ),
    *_mutants(
        "any answer to CONNECT but 2xx is a ProxyError",
        ("net/http_tunnel.py", "    if head.status >= 300:", "    if head.status >= 400:"),
        ("net/http_tunnel.py", "        if head.status == 101:", "        if False:"),
    ),
    *_mutants(
        "no error, record, repr or printed line shows",
        ("base/loggers.py", 'return text if at < 0 else f"{text[:start]}***{text[at:]}"', "return text"),
        (
            "poolmanager.py",
            'log.info("Redirecting %s -> %s", shown_url(url), shown_url(target))',
            'log.info("Redirecting %s -> %s", url, target)',
        ),
        (
            "client/request_target.py",
            "return Url(parsed.scheme, None, host,",
            "return Url(parsed.scheme, parsed.auth, host,",
        ),
        ("client/endpoint_builder.py", 'return {"_proxy": url.with_login(None),', 'return {"_proxy": url,'),
    ),
    *_mutants(
        "a body's state is the attempt's: rewound, or an error",
        (
            "client/request_loop.py",
            "        if request.body_start is not None:\n            rewind_body(request.body, request.body_start)\n",
            "",
        ),
        (
            "client/request_loop.py",
            "    if _is_body_consumed(request):\n        raise Unrewindable",
            "    if False:\n        raise Unrewindable",
        ),
        (
            "client/request_loop.py",
            "    if _is_body_consumed(request):\n        return False\n    if verdict:",
            "    if verdict:",
        ),
    ),
    *_mutants(
        "an empty collection allows nothing",
        ("policy/retry.py", "        if allowed is None or allowed is False:", "        if not allowed:"),
        (
            "policy/ssrf_guard.py",
            "        if self.allowed is None:\n            return True",
            "        if not self.allowed:\n            return True",
        ),
        ("base/endpoint.py", "    if not wish:\n        raise ValueError", "    if False:\n        raise ValueError"),
    ),
    *_mutants(
        "an answer before the whole body was sent ends the connection",
        (
            "exchange/request_sender.py",
            "        except AnsweredEarly:\n            self._close_asked = True\n",
            "        except AnsweredEarly:\n            pass\n",
        ),
        (
            "exchange/request_sender.py",
            "                self._close_asked = True  # the body is still owed",
            "                pass  # the body is still owed",
        ),
    ),
    *_mutants(
        "the connect timeout covers name lookup, tunnel and TLS",
        ("exchange/connect_clock.py", "            if self.until is None:\n", "            if True:\n"),
        (
            "net/tls.py",
            "        sock.settimeout(timeout_s)\n        wrapped: TlsStream",
            "        sock.settimeout(None)\n        wrapped: TlsStream",
        ),
    ),
    *_mutants(
        "every error frees the slot",
        (
            "response.py",
            "            self.body_source.state = BodyState.BROKEN\n        self._drop_connection()\n",
            "            self.body_source.state = BodyState.BROKEN\n",
        ),
        (
            "connectionpool.py",
            "            conn.close()\n            self._put_conn(conn)\n            self._note",
            "            self._note",
        ),
    ),
    *_mutants(
        "refused certificates leave nothing",
        (
            "net/tls.py",
            "        stream.close()\n        sock.close()\n        raised = _translated(err, host, timeout_s, settings)",
            "        raised = _translated(err, host, timeout_s, settings)",
        ),
    ),
    *_mutants(
        "what a download keeps beside its target",
        ("extras/part_file.py", "    remove(path)\n    return open", "    return open"),
        ("extras/part_file.py", '"x+b"', '"w+b"'),
        ("extras/part_file.py", "0o600", "0o644"),
        ("extras/part_file.py", " or status.st_nlink != 1", ""),
        ("extras/part_file.py", " and not status.st_mode & _OTHERS", ""),
        ("extras/download.py", "hashlib.sha256(text.encode()).hexdigest()", "text"),
        ("extras/download.py", "if digest != url_digest or end", "if end"),
    ),
    # -- obligations --
    *_mutants(
        "Transfer-Encoding with Content-Length",
        (
            "http1/response_head.py",
            "            if with_length or self.version == 10:",
            "            if self.version == 10:",
        ),
        (
            "http1/response_head.py",
            '        if codings == [b"chunked"]:\n            self.length = CHUNKED\n',
            '        if codings == [b"chunked"]:\n            self.length = self.length if self.length >= 0 else CHUNKED\n',
        ),
    ),
    *_mutants(
        "Transfer-Encoding in HTTP/1.0",
        ("http1/response_head.py", "            if with_length or self.version == 10:", "            if with_length:"),
    ),
    *_mutants(
        "another coding than chunked; chunked not last",
        ("http1/response_head.py", 'UNTIL_CLOSE if set(codings) == {b"identity"} else UNFRAMED', "UNTIL_CLOSE"),
        ("http1/response_head.py", '        if codings == [b"chunked"]:', '        if b"chunked" in codings:'),
        ("http1/response_head.py", '        if codings == [b"chunked"]:', '        if codings[-1:] == [b"chunked"]:'),
    ),
    *_mutants(
        "Transfer-Encoding over two lines, ``chunked,``",
        (
            "http1/response_head.py",
            "                coding = value if coding is None else _as_list(coding, value)",
            "                coding = value",
        ),
        (
            "http1/response_head.py",
            'for item in bytes(value).split(b",") if item.strip()]',
            'for item in bytes(value).split(b",")]',
        ),
    ),
    *_mutants(
        "equal lengths, twice or in a list",
        (
            "http1/response_head.py",
            "                if length is not None or not value.isdigit() or len(value)",
            '                if length is not None: value = b""\n                if not value.isdigit() or len(value)',
        ),
    ),
    *_mutants(
        "lengths that differ",
        ("http1/response_head.py", 'return b"" if values or not', 'return b"" if not'),
        ("http1/response_head.py", "        values.add(earlier)\n", "        values = {earlier}\n"),
    ),
    *_mutants(
        "a length that is none",
        (
            "http1/response_head.py",
            "or not one.isdigit() or len(one) > MAX_LENGTH_DIGITS else one",
            'or not one.strip(b"+-").isdigit() or len(one) > MAX_LENGTH_DIGITS else one',
        ),
        (
            "http1/response_head.py",
            "or not one.isdigit() or len(one) > MAX_LENGTH_DIGITS else one",
            'or not one.replace(b"_", b"").isdigit() or len(one) > MAX_LENGTH_DIGITS else one',
        ),
        (
            "http1/response_head.py",
            "or not one.isdigit() or len(one) > MAX_LENGTH_DIGITS else one",
            "or not one.isdigit() else one",
        ),
    ),
    *_mutants(
        "blank before the colon, no colon, a bad name",
        (
            "http1/response_head.py",
            '_is_field_line = re.compile(f"({TOKEN}+):',
            '_is_field_line = re.compile(f"({TOKEN}+)[ \\t]*:',
        ),
        (
            "http1/response_head.py",
            "        if not _is_field_line(line):",
            "        if b':' in line and not _is_field_line(line):",
        ),
        ("http1/response_head.py", '_FIELD_LINES = f"(?:{TOKEN}+{_P}:', '_FIELD_LINES = f"(?:[^\\r\\n:]+{_P}:'),
    ),
    *_mutants(
        "blank before the first field",
        (
            "http1/response_head.py",
            '        if line[:1] in (b" ", b"\\t") and len(lines) > 1:',
            '        if line[:1] in (b" ", b"\\t") and lines:',
        ),
        (
            "http1/response_head.py",
            '        if line[:1] in (b" ", b"\\t") and len(lines) > 1:',
            '        line = line.lstrip() if len(lines) == 1 else line\n        if line[:1] in (b" ", b"\\t") and len(lines) > 1:',
        ),
    ),
    *_mutants(
        "folded lines",
        (
            "http1/response_head.py",
            '            folded.append(line.strip(b" \\t"))\n            continue\n',
            "            continue\n",
        ),
    ),
    *_mutants(
        "bare CR, NUL, control characters",
        (
            "http1/grammar.py",
            'FIELD_VALUE: Final = r"[\\t -~\\x80-\\xff]"',
            'FIELD_VALUE: Final = r"[\\t\\r -~\\x80-\\xff]"',
        ),
        (
            "http1/grammar.py",
            'FIELD_VALUE: Final = r"[\\t -~\\x80-\\xff]"',
            'FIELD_VALUE: Final = r"[\\0\\t -~\\x80-\\xff]"',
        ),
        (
            "http1/grammar.py",
            'FIELD_VALUE: Final = r"[\\t -~\\x80-\\xff]"',
            'FIELD_VALUE: Final = r"[\\t -\\x7f\\x80-\\xff]"',
        ),
    ),
    *_mutants(
        "ends a line of a head, never one of chunked framing",
        (
            "http1/response_head.py",
            '_LINE_END = re.compile(rb"\\r?\\n\\r?\\n")',
            '_LINE_END = re.compile(rb"\\r\\n\\r\\n")',
        ),
        (
            "http1/body_reader.py",
            '[\\t -~\\x80-\\xff]*)?)\\r\\n" % MAX_CHUNK_DIGITS',
            '[\\t -~\\x80-\\xff]*)?)\\r?\\n" % MAX_CHUNK_DIGITS',
        ),
    ),
    *_mutants(
        "status line",
        (
            "http1/response_head.py",
            '_is_status_line = re.compile(f"HTTP/1\\\\.([0-9] [1-9][0-9][0-9]',
            '_is_status_line = re.compile(f"HTTP/1\\\\.([0-9] +[1-9][0-9][0-9]',
        ),
        (
            "http1/response_head.py",
            '_is_status_line = re.compile(f"HTTP/1\\\\.([0-9] [1-9][0-9][0-9]',
            '_is_status_line = re.compile(f"HTTP/1\\\\.([0-9] [0-9]+',
        ),
        (
            "http1/response_head.py",
            '_is_status_line = re.compile(f"HTTP/1\\\\.([0-9] [1-9][0-9][0-9]',
            '_is_status_line = re.compile(f"HTTP/.\\\\.([0-9] [1-9][0-9][0-9]',
        ),
    ),
    *_mutants(
        "the end within a head",
        (
            "http1/response_head.py",
            "        if not piece:\n            raise closed_early(buffer.data)\n",
            '        if not piece and buffer.data:\n            piece = b"\\r\\n\\r\\n"\n        if not piece:\n            raise closed_early(buffer.data)\n',
        ),
        (
            "connection.py",
            "            if not data:\n                raise closed_early(data)\n            self.has_answered = True\n            if self",
            '            if not data:\n                data = b"HTTP/1.1 204 OK\\r\\n\\r\\n"\n            self.has_answered = True\n            if self',
        ),
        (
            "connection.py",
            "            if not data:\n                raise closed_early(data)\n            self.has_answered = True\n            found",
            '            if not data:\n                data = b"HTTP/1.1 204 OK\\r\\n\\r\\n"\n            self.has_answered = True\n            found',
        ),
    ),
    *_mutants(
        "hexadecimal digits, at most 15",
        ("http1/grammar.py", "MAX_CHUNK_DIGITS = 15", "MAX_CHUNK_DIGITS = 40"),
        ("http1/body_reader.py", 'rb"([0-9a-fA-F]{1,%d})', 'rb"((?:0x)?[0-9a-fA-F]{1,%d})'),
    ),
    *_mutants(
        "ignored, limited in proportion to the data",
        ("http1/body_reader.py", "self._excess > self._limits.overhead_bytes or ", ""),
        ("http1/body_reader.py", " - FREE_EXTENSION_BYTES - 2 * data)", " - 2 * data)"),
        ("http1/body_reader.py", " - FREE_EXTENSION_BYTES - 2 * data)", " - FREE_EXTENSION_BYTES)"),
    ),
    *_mutants(
        "the line end behind a chunk's data",
        (
            "http1/body_reader.py",
            "        elif incoming.unread() >= 2:\n            raise self._refuse(incoming.data[incoming.at : incoming.at + 2])\n",
            "        elif incoming.unread() >= 2:\n            incoming.take(2)\n            self.chunk_left = None\n",
        ),
        (
            "http1/body_reader.py",
            '        if not incoming.data.startswith(b"\\r\\n", incoming.at):\n            raise',
            "        if False:\n            raise",
        ),
    ),
    *_mutants(
        "no last chunk, no last line end",
        (
            "http1/body_reader.py",
            "                    raise self._refuse(incoming.take(80))\n                raise self._without_last_chunk()\n",
            '                    raise self._refuse(incoming.take(80))\n                return _match_size(b"0\\r\\n")\n',
        ),
        (
            "http1/body_reader.py",
            "                self.keep = False\n                self._end()\n                return\n",
            "                self._end()\n                return\n",
        ),
        (
            "http1/body_reader.py",
            "                self.keep = False\n                self._end()\n                return\n",
            "                raise self._cut_short(None)\n",
        ),
    ),
    *_mutants(
        "kept apart; at most 1,000 lines and 64 KiB",
        ("http1/body_reader.py", "                self.trailers, end = found\n", "                _, end = found\n"),
        ("http1/response_head.py", "if lines > limits.trailer_lines:", "if False:"),
        (
            "http1/response_head.py",
            "    match = _is_field_line(line)\n    if match is None:\n        raise",
            "    match = _is_field_line(line) or re.match(b'(.*)(.*)', line)\n    if match is None:\n        raise",
        ),
    ),
    *_mutants(
        "interim responses | 9110 15.2",
        (
            "connection.py",
            "            while head.status < 200 and head.status != 101:",
            "            while head.status == 100:",
        ),
        (
            "connection.py",
            "            response.interim, self._interim = tuple(self._interim.kept), None\n",
            "            self._interim = None\n",
        ),
        (
            "http1/interim_responses.py",
            "        if self._count > most + (now - self._since) * INTERIM_PER_S:",
            "        if False:",
        ),
    ),
    *_mutants(
        "101 unasked",
        ("connection.py", "        if head.status == 101 and not self._wants_upgrade:", "        if False:"),
    ),
    *_mutants(
        "HEAD, 204, 304",
        ("http1/response_head.py", 'if method == "HEAD" or status == 304', "if status == 304"),
        ("http1/response_head.py", "or status == 304 or status == 204", "or status == 204"),
        ("http1/response_head.py", "or status == 304 or status == 204", "or status == 304"),
        (
            "http1/response_head.py",
            '                        connection = b"close" if connection is None else _as_list(connection, b"close")\n',
            "                        pass\n",
        ),
    ),
    *_mutants(
        "gives the socket to the caller whatever the fields say",
        ("connection.py", '        if method == "CONNECT":\n            self._close_asked = True\n', ""),
        (
            "connection.py",
            'not (method == "CONNECT" and head.status < 300):',
            'not (method == "CONNECT" and head.status < 200):',
        ),
        ("http1/response_head.py", '        if method == "CONNECT" and status < 300:\n            return 0\n', ""),
    ),
    *_mutants(
        "an early answer",
        ("exchange/request_sender.py", "lambda: self._receive_early(0.0))", "lambda: False)"),
        (
            "exchange/request_sender.py",
            "        except AnsweredEarly:\n            self._close_asked = True\n",
            "        except AnsweredEarly:\n            pass\n",
        ),
    ),
    *_mutants(
        "all lines and both sides count",
        (
            "http1/response_head.py",
            "                connection = value if connection is None else _as_list(connection, value)",
            "                connection = value",
        ),
        (
            "connection.py",
            "keep = head.keep_alive and not self._close_asked and head.requests_left != 0",
            "keep = head.keep_alive and head.requests_left != 0",
        ),
        (
            "connection.py",
            "keep = head.keep_alive and not self._close_asked and head.requests_left != 0",
            "keep = not self._close_asked and head.requests_left != 0",
        ),
        (
            "connection.py",
            "keep = head.keep_alive and not self._close_asked and head.requests_left != 0",
            "keep = head.keep_alive and not self._close_asked",
        ),
        ("connection.py", "        self.idle_limit_s = head.idle_limit_s\n", ""),
    ),
    *_mutants(
        "an end that comes with the answer, or later",
        (
            "net/socket_state.py",
            "is_open: bool = ask(_IPPROTO_TCP, _TCP_INFO, 1) == _ESTABLISHED",
            "is_open: bool = True",
        ),
    ),
    *_mutants(
        "reach nobody; the connection closes",
        (
            "http1/body_reader.py",
            "        clean = self.keep and not self.incoming.unread()\n",
            "        clean = self.keep\n",
        ),
        (
            "connection.py",
            "        if len(data) - end == length and limit",
            "        if len(data) - end >= length >= 0 and limit",
        ),
    ),
    *_mutants(
        "the end within a body, a reset",
        (
            "http1/body_reader.py",
            "            if not piece:\n                raise self._cut_short(left)\n        n = len(piece)\n        self.received += n\n",
            '            if not piece:\n                self.state = BodyState.CLOSE\n                return b""\n        n = len(piece)\n        self.received += n\n',
        ),
        (
            "http1/body_reader.py",
            "        n = len(piece)\n        if not n:\n            raise self._cut_short(left)\n",
            '        n = len(piece)\n        if not n:\n            return b""\n',
        ),
        (
            "http1/body_reader.py",
            "        if not incoming.data and not incoming.more():\n            raise self._cut_short(left)\n",
            '        if not incoming.data and not incoming.more():\n            self.state = BodyState.CLOSE\n            return b""\n',
        ),
    ),
    *_mutants(
        "TLS without close_notify",
        (
            "net/tls.py",
            "server_hostname=name, suppress_ragged_eofs=False)",
            "server_hostname=name, suppress_ragged_eofs=True)",
        ),
    ),
    *_mutants(
        "a gzip stream that is cut short",
        ("http1/decoders.py", "        if self._midway and not self.has_unconsumed_tail:", "        if False:"),
        ("http1/response_body_sources.py", "                piece = self._flush()\n", '                piece = b""\n'),
    ),
    *_mutants(
        "combining parts",
        ("extras/download.py", "shown.validator == version.validator and ", ""),
        ("extras/download.py", " and shown.source == version.source", ""),
        ("extras/download.py", "        if not _is_plain(response.headers):\n            return _Version()\n", ""),
        ("extras/download.py", '    if "etag" not in headers:', "    if not _strong_tag(etag):"),
        ("extras/download.py", 'return etag if _strong_tag(etag) else ""', "return etag"),
        ("extras/download.py", "_length(response) not in (None, end - target.size) or ", ""),
        ("extras/download.py", "status == 200 and _is_whole_file(response.headers)", "status == 200"),
    ),
    *_mutants(
        "idempotent, whole and within the budget",
        (
            "client/request_loop.py",
            "is_repeatable = request.retries.may_repeat_seen(request.method) and not _is_body_consumed(request)",
            "is_repeatable = not _is_body_consumed(request)",
        ),
        (
            "client/request_loop.py",
            "    if _is_body_consumed(request):\n        return False\n    if verdict:",
            "    if verdict:",
        ),
        (
            "client/request_loop.py",
            "    if retries.budget is not None and not retries.budget.draw():\n        return None\n",
            "",
        ),
        ("policy/retry_budget.py", "                self._tokens -= 1.0\n", "                pass\n"),
    ),
    *_mutants(
        "never both framings, no fold, the right length",
        ("http1/request_head.py", "    if length is not None and coding is not None:", "    if False:"),
        (
            "exchange/upload.py",
            "    if announced is not None and length is not None and announced != length:",
            "    if False:",
        ),
        (
            "exchange/upload.py",
            "    if fields.content_length is not None and (chunked or trailers is not None):",
            "    if False:",
        ),
        (
            "exchange/upload.py",
            '        if left:\n            raise ValueError(f"the body is {left} bytes shorter',
            '        if False:\n            raise ValueError(f"the body is {left} bytes shorter',
        ),
    ),
    # -- what other systems test --
    *_mutants(
        "HikariCP: pool size against threads",
        (
            "pool/state.py",
            "        if self._settings.block and (len(self.leases) >= self._maxsize or self._total_locked() >= self._maxsize):",
            "        if self._settings.block and len(self.leases) >= self._maxsize + 1:",
        ),
        (
            "pool/acquire_slow_path.py",
            "                self._lease_new_locked(waiter, permit, entry)\n                if len",
            "                self._lease_new_locked(waiter, permit, entry)\n                self._opening += 1\n                if len",
        ),
    ),
    *_mutants(
        "HikariCP: one connection given back by many threads",
        (
            "pool/endpoint_pool.py",
            "            self.reclaim(connection, lease)\n            raise\n        if entry is None:\n            self._raise_not_leased(connection)\n\n    def discard",
            "            self.reclaim(connection, lease)\n            raise\n\n    def discard",
        ),
    ),
    *_mutants(
        "HikariCP: a factory that fails and recovers",
        ("pool/acquire_slow_path.py", "                self._cancel_permit_locked(grant)\n", "                pass\n"),
        (
            "pool/acquire_slow_path.py",
            "            self._warm_pause_s = min(2 * self._warm_pause_s, WARM_LONGEST_PAUSE_S)\n",
            "",
        ),
    ),
    *_mutants(
        "psycopg_pool: a waiter that is gone",
        (
            "pool/acquire_slow_path.py",
            "            self._remove_waiter_locked(waiter)\n            grant",
            "            grant",
        ),
        (
            "pool/endpoint_pool.py",
            '        if is_held():\n            raise RuntimeError(f"acquire from',
            '        if False:\n            raise RuntimeError(f"acquire from',
        ),
    ),
    *_mutants(
        "psycopg_pool: a network that is cut",
        ("connection.py", "getdefaulttimeout() if read is _DEFAULT_TIMEOUT else read\n", "read and 40 * read\n"),
    ),
    *_mutants(
        "Go: a server that closes by surprise",
        (
            "pool/connection_lifecycle.py",
            "            return usable(entry.connection)\n",
            "            return True\n",
        ),
    ),
    *_mutants(
        "Go: repeating after a write error",
        (
            "exchange/request_sender.py",
            "refused = error.errno in (errno.EPIPE, errno.ECONNRESET) and len(data) <= ALL_OR_NOTHING_BYTES",
            "refused = True",
        ),
        (
            "client/request_loop.py",
            "is_repeatable = request.retries.may_repeat_seen(request.method) and not _is_body_consumed(request)",
            "is_repeatable = not _is_body_consumed(request)",
        ),
    ),
    *_mutants(
        "Go: connections that leak with bodies unread",
        (
            "response.py",
            "        if self._connection is not None:  # nobody reads on",
            "        if self._connection is not None:  # nobody reads on\n            return\n        if self._connection is not None:",
        ),
        (
            "response.py",
            "                source.close()\n        self._drop_connection()\n",
            "                source.close()\n",
        ),
    ),
    *_mutants(
        "Go: 408 on an idle connection",
        (
            "net/socket_state.py",
            "            if ask(_SOL_SOCKET, _SO_MEMINFO, 4) != _NOTHING:\n                return False\n",
            "",
        ),
    ),
    *_mutants(
        "Go, curl: a server that ends in the TLS handshake",
        (
            "net/tls.py",
            '        return ProtocolError(f"Connection to {host} broke in the TLS handshake.", err)',
            "        return err",
        ),
        (
            "net/tls.py",
            "        stream.close()\n        sock.close()\n        raised = _translated(err, host, timeout_s, settings)",
            "        raised = _translated(err, host, timeout_s, settings)",
        ),
    ),
    *_mutants(
        "Go: the body's own error",
        (
            "http1/request_body.py",
            "        if isinstance(error, Exception):\n            mark_from_body(error)",
            "        if False:\n            mark_from_body(error)",
        ),
        (
            "exchange/request_sender.py",
            "            if is_from_body(error):\n                raise\n            self._sending_failed(error)",
            "            self._sending_failed(error)",
        ),
    ),
    *_mutants(
        "curl: torture, the n-th call fails for every n",
        (
            "connectionpool.py",
            "            conn.close()\n            self._put_conn(conn)\n            self._note",
            "            self._note",
        ),
        (
            "exchange/transport.py",
            "        except OSError:  # the descriptor is gone all the same",
            "        except ZeroDivisionError:  # the descriptor is gone all the same",
        ),
    ),
    *_mutants(
        "curl: stuttering answers",
        ("http1/response_head.py", "_LINE_END.search(data, max(0, before - 3))", "_LINE_END.search(data, before)"),
        (
            "http1/body_reader.py",
            "            if incoming.unread() and incoming.data[incoming.at] != 13:\n                break\n",
            "            if incoming.unread():\n                break\n",
        ),
    ),
    *_mutants(
        "curl: client certificates and TLS settings in the reuse",
        ("base/endpoint.py", "            _pem_or_path(cert_file),\n", "            None,\n"),
        (
            "net/tls_contexts.py",
            "    _load_client_certificate(context, settings)\n    return context",
            "    return context",
        ),
    ),
    *_mutants(
        "hyper, undici: responses that nobody asked for",
        (
            "http1/body_reader.py",
            "        clean = self.keep and not self.incoming.unread()\n",
            "        clean = self.keep\n",
        ),
    ),
    *_mutants(
        "pipelining: an answer that may be another request's is not given out",
        ("pipeline/batch.py", "surplus = buffer.unread() > 0", "surplus = False"),
        ("pipeline/batch.py", "        del self.answers[1:]\n", ""),
        ("pipeline/batch.py", "if length == UNTIL_CLOSE and self.answers:", "if False:"),
        (
            "pipeline/batch.py",
            "if self._buffer.ended or not isinstance(error, (ProtocolError, InvalidHeader)):",
            "if True:",
        ),
    ),
    *_mutants(
        "pipelining: requests that lost their connection go out again",
        ("pipeline/batch.py", "1 if self.alone and not was_kept else len(self.requests)", "len(self.requests)"),
        ("pipeline/server_support.py", "            self._failures += 1\n", "            pass\n"),
        ("pipeline/pipeline.py", "again = self._resent if is_free else self._charged", "again = lambda r, e: r"),
    ),
    *_mutants(
        "pipelining: a request is sent with the fields that its own item had",
        ("pipeline/requests.py", "            headers = _copied(headers)\n", ""),
    ),
    *_mutants(
        "a circuit breaker opens, and its probe ends",
        (
            "policy/circuit_breaker.py",
            "            return was_answered\n",
            "            return self.got_through() or True\n",
        ),
        (
            "connectionpool.py",
            "                    attempt, circuit = guarded(attempt, self, circuit), None\n",
            "                    pass\n",
        ),
        ("client/request_loop.py", "unseen=(StaleConnection,)", "unseen=()"),
        ("policy/circuit_breaker.py", " and self._prober == threading.get_ident():", ":"),
    ),
    *_mutants(
        "urllib3: recovery after closed sockets",
        ("response.py", "connection.cap_read_timeout(DRAIN_LIMIT_S) if", "connection.cap_read_timeout(9.0) if"),
    ),
    *_mutants(
        "urllib3: memory of large bodies",
        (
            "http1/body_reader.py",
            "        before = self.received\n",
            '        before, hog = self.received, b"x" * size\n',
        ),
    ),
    *_mutants(
        "answers read as h11 and llhttp read them",
        (
            "http1/response_head.py",
            '        if codings == [b"chunked"]:\n            self.length = CHUNKED\n',
            '        if codings == [b"chunked"]:\n            self.length = self.length if self.length >= 0 else CHUNKED\n',
        ),
        (
            "http1/body_reader.py",
            "        size = int(match[1], 16)\n        if match[2]:",
            "        size = int(match[1][:1], 16)\n        if match[2]:",
        ),
    ),
    *_mutants(
        "overload: nobody waits longer than told",
        (
            "pool/acquire_slow_path.py",
            "not waiter.wait(timeout_s) or",
            "not waiter.wait(timeout_s and 4 * timeout_s) or",
        ),
    ),
    *_mutants(
        "interrupts at every point of the pool",
        (
            "pool/endpoint_pool.py",
            "        except BaseException:\n            try:\n                self._undo_acquire(waiter, entry)\n",
            "        except Exception:\n            try:\n                self._undo_acquire(waiter, entry)\n",
        ),
        (
            "pool/endpoint_pool.py",
            "            if shared_limit.deferred or self._to_close or now >= shared_limit.expire_at:\n                self._run_pending(now)\n        except BaseException:\n",
            "            if shared_limit.deferred or self._to_close or now >= shared_limit.expire_at:\n                self._run_pending(now)\n        except Exception:\n",
        ),
        (
            "pool/endpoint_pool.py",
            "            lender.release(connection)\n    except BaseException:\n",
            "            lender.release(connection)\n    except Exception:\n",
        ),
        (
            "pool/endpoint_pool.py",
            "                    self._discard_leased_locked(entry, reason)\n            self._run_pending(-inf)\n        except BaseException:\n",
            "                    self._discard_leased_locked(entry, reason)\n            self._run_pending(-inf)\n        except Exception:\n",
        ),
        (
            "pool/acquire_slow_path.py",
            "            if waiter.grant is permit:\n                self._close_unless_here(entry)\n            raise\n        if self.trace",
            "            raise\n        if self.trace",
        ),
    ),
    *_mutants(
        "returns by finalisers inside the lock",
        (
            "pool/shared_limit.py",
            "        if self.deferred and not self.is_held():\n            self.run_deferred()\n",
            "        pass\n",
        ),
        (
            "pool/endpoint_pool.py",
            "        if owner.lease_of(connection) == lease:\n            lender.release",
            "        if id(connection) in owner.leases:\n            lender.release",
        ),
    ),
    *_mutants(
        "the background thread, whatever a pool raises",
        (
            "pool/housekeeper.py",
            "        pause_s: float | None = PAUSE_AFTER_ERROR_S\n",
            "        pause_s: float | None = None\n",
        ),
        (
            "pool/housekeeper.py",
            '                _log_fault("the timetable of the pools failed")\n',
            '                _log_fault("the timetable of the pools failed")\n                raise\n',
        ),
    ),
    *_mutants(
        "forks by C code, which run no hooks",
        ("pool/endpoint_pool.py", "        if not after_fork.same_process[0]:\n            after_fork.check()\n", ""),
    ),
]
