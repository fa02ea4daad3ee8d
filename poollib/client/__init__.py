"""What connection pools and managers are made of: the request loop, options, health, statistics."""
