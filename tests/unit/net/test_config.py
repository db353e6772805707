"""Proxies, origins and certificates."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from hubferry.errors import UsageError
from hubferry.net.config import (
    HttpConfig,
    bypasses,
    origin_of,
    proxy_for,
    show_origin,
    tls_context,
)
from hubferry.net.http import HttpClient

HUB = ("https", "hub.example", 443)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE",
                 "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("HTTPS://Hub.Example/a?b") == HUB
    assert origin_of("http://h:8080/") == ("http", "h", 8080)
    assert (show_origin(HUB), show_origin(("http", "h", 8080))) == ("hub.example", "h:8080")
    for bad in ("ftp://h/", "/path", "https:///x", "h/x"):
        with pytest.raises(ValueError, match="http"):
            origin_of(bad)


def test_the_environment_chooses_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_for(HttpConfig(), HUB) is None
    monkeypatch.setenv("ALL_PROXY", "http://all:1")
    assert proxy_for(HttpConfig(), HUB) == "http://all:1"
    monkeypatch.setenv("HTTPS_PROXY", "secure:2")
    assert proxy_for(HttpConfig(), HUB) == "http://secure:2"
    monkeypatch.setenv("NO_PROXY", "other.example, .example")
    assert proxy_for(HttpConfig(), HUB) is None


def test_an_explicit_proxy_wins_and_direct_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://env:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxy_for(HttpConfig(proxy="http://mine:2"), HUB) == "http://mine:2"
    assert proxy_for(HttpConfig(proxy="direct"), HUB) is None
    assert proxy_for(HttpConfig(proxy=""), HUB) is None


@pytest.mark.parametrize(
    ("rule", "host", "expected"),
    [
        ("*", "a.b", True),
        ("a.b", "a.b", True),
        ("a.b", "x.a.b", True),
        (".a.b", "x.a.b", True),
        ("*.a.b", "x.a.b", True),
        ("a.b:443", "a.b", True),
        ("a.b:80", "a.b", False),
        ("a.b", "xa.b", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("", "a.b", False),
    ],
)
def test_no_proxy_names_hosts_domains_and_networks(rule: str, host: str, expected: bool) -> None:
    assert bypasses(f"zzz,{rule}", host, 443) is expected


def test_a_missing_certificate_bundle_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert tls_context(HttpConfig()).verify_mode is ssl.CERT_REQUIRED
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match=r"none\.pem"):
        tls_context(HttpConfig())


def test_a_proxy_of_a_kind_we_do_not_speak_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        HttpClient(HttpConfig(proxy="gopher://h:1")).get("http://h/")


@pytest.mark.parametrize("proxy", ["garbage", "ftp://a.b:1", "http://", "http://a.b:port", "a b"])
def test_a_proxy_that_is_no_address_is_refused_at_once(proxy: str) -> None:
    with pytest.raises(UsageError):
        HttpConfig(proxy=proxy)


@pytest.mark.parametrize(
    "proxy", ["", "direct", "127.0.0.1:7890", "http://proxy:3128", "socks5h://u:p@host.name:1080"]
)
def test_a_proxy_is_taken_in_every_usual_form(proxy: str) -> None:
    assert HttpConfig(proxy=proxy).proxy == proxy
