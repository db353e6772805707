"""How to reach the network: proxy, certificates, time limits."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from hubferry import __version__
from hubferry.errors import UsageError
from hubferry.net import redact
from hubferry.text import T

Origin = tuple[str, str, int]
"""Scheme, host and port: what a browser means by "the same site"."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
# The first three in the order of `requests`, the last two as OpenSSL and httpx read them.
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """Settings of one client.

    ``proxy`` None: as the environment says (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY,
    NO_PROXY); "" or "direct": no proxy whatever the environment says.
    ``read_timeout_seconds`` bounds any silence of the other end, so a stall too.
    """

    proxy: str | None = None
    ca_bundle: str | None = None
    connect_timeout_seconds: float = 15.0
    read_timeout_seconds: float = 30.0
    user_agent: str = f"hubferry/{__version__}"
    max_connections: int = 64
    """Idle connections kept for each host; more may be open at once."""

    def __post_init__(self) -> None:
        if self.proxy and self.proxy.lower() != "direct" and not _is_proxy(self.proxy):
            # Not quoted: it may hold a password.
            raise UsageError(
                T("the proxy that was given is not an address"),
                hint=T("write it like http://host:port, or 'direct' for none"),
            )


_PROXY_SCHEMES = frozenset({"http", "https", "socks4", "socks4a", "socks5", "socks5h"})


def _is_proxy(text: str) -> bool:
    """True for ``[scheme://]host:port``, or a host that is more than a bare word."""
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    is_host = port is not None or "." in host or ":" in host or host == "localhost"
    return parts.scheme.lower() in _PROXY_SCHEMES and bool(host) and is_host


def origin_of(url: str) -> Origin:
    """The origin of an absolute http(s) URL.

    Raises:
        ValueError: not an http(s) URL.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an http(s) URL")
    return scheme, parts.hostname.lower(), parts.port or _DEFAULT_PORTS[scheme]


def show_origin(origin: Origin) -> str:
    """``host`` or ``host:port``, for messages."""
    scheme, host, port = origin
    return host if port == _DEFAULT_PORTS.get(scheme) else f"{host}:{port}"


def proxy_for(config: HttpConfig, origin: Origin) -> str | None:
    """The proxy URL to use for ``origin``, or None for a direct connection."""
    if config.proxy is not None:
        proxy = "" if config.proxy.lower() == "direct" else config.proxy
    else:
        scheme, host, port = origin
        found = getproxies()
        if bypasses(found.get("no", ""), host, port):
            return None
        proxy = found.get(scheme) or found.get("all") or ""
    if not proxy:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    password = urlsplit(proxy).password
    if password:
        redact.register(password)
        redact.register(unquote(password))
    return proxy


def bypasses(no_proxy: str, host: str, port: int) -> bool:
    """True if NO_PROXY names the host: exactly, as a domain suffix, as a network, or ``*``."""
    for raw in no_proxy.replace(" ", "").lower().split(","):
        if raw and (raw == "*" or _names(raw, host, port)):
            return True
    return False


def _names(rule: str, host: str, port: int) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        bare = rule.removesuffix(f":{port}").removeprefix("*").lstrip(".")
        return host == bare or host.endswith("." + bare)
    try:
        return address in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return rule in (f"{host}:{port}", f"[{host}]:{port}")


def tls_context(config: HttpConfig) -> ssl.SSLContext:
    """A verifying TLS context with the configured, the environment's or the usual certificates.

    Raises:
        UsageError: the named file or folder does not exist or holds no certificates.
    """
    named = config.ca_bundle or next(filter(None, map(os.environ.get, _CA_VARIABLES)), None)
    return _context(named)


@lru_cache(maxsize=4)
def _context(named: str | None) -> ssl.SSLContext:
    # Kept: reading the bundle takes longer than a request, and every client needs it.
    if named is None:
        return ssl.create_default_context(cafile=_certifi())
    place = Path(named)
    try:
        if place.is_dir():
            return ssl.create_default_context(capath=named)
        return ssl.create_default_context(cafile=named)
    except OSError as error:
        raise UsageError(
            T("cannot use the certificate bundle {path}: {reason}", path=named, reason=str(error)),
            hint=T("check REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE"),
        ) from error


def _certifi() -> str | None:
    # Python on macOS and in slim images often finds no system certificates;
    # both official clients fall back to certifi, so it is there whenever they are.
    try:
        import certifi
    except ImportError:
        return None
    return certifi.where()
