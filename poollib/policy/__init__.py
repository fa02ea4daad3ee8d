"""Decisions as pure functions and values: retries, redirects, proxies, guards, circuit breakers; no I/O."""
