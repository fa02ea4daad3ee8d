"""HTTP/1.1 as bytes: what a request looks like, how a response is read, bodies and their codings; no sockets."""
