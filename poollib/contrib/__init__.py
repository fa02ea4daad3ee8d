"""urllib3's package of this name; it has `socks`."""
