"""What pooling saves, shown on loopback, and a server to try the pages on."""
