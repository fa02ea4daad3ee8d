"""One request and one response on one connection: its transport, the upload, what a response is."""
