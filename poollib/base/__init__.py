"""Values that every layer uses: headers, URLs, timeouts, endpoints, trace events; no I/O, no other layer."""
