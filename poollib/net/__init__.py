"""A host name in, a connected and verified socket out: lookup, dialling, proxy tunnels, TLS."""
