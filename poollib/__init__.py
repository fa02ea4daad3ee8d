"""poollib: a thread-safe HTTP/1.1 client with connection pools, in pure standard library."""
