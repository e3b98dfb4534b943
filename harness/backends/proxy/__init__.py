"""Proxies between clients and servers: what `local` can do to clients' links."""
