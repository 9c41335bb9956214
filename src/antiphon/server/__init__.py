"""The HTTP server: configuration, keys, one router a resource."""
