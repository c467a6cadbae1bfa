"""Addresses on which a server may listen."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Say whether only programs of this machine reach a host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
