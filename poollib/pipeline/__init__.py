"""Several requests in one send, their answers read one behind the other (RFC 9112 section 9.3.2)."""
