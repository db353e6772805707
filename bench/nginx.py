"""nginx as CDN and store, where the lab's one Python thread would be what is measured.

Files go out by ``sendfile`` from memory (tmpfs); an upload is a PUT that nginx writes to a file of
the same tmpfs and renames when it is whole. Both sides optionally over TLS, with a certificate of a
CA made for the occasion: every tool checks it.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.measure import children, cpu_seconds

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_START_SECONDS = 10

_CONFIG = """\
daemon off;
worker_processes 2;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  log_format counts '$server_port $body_bytes_sent $request_length';
  access_log {folder}/access.log counts;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/unused;
  fastcgi_temp_path {folder}/unused;
  scgi_temp_path {folder}/unused;
  uwsgi_temp_path {folder}/unused;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  {tls}
  server {{
    listen 127.0.0.1:{cdn_port}{ssl};
    root {folder}/cdn;
    default_type application/octet-stream;
  }}
  server {{
    listen 127.0.0.1:{store_port}{ssl};
    root {folder}/store;
    location / {{ dav_methods PUT; }}
  }}
}}
"""


@dataclass(frozen=True)
class Seen:
    """What went through: requests and bytes at the CDN (bodies) and at the store (with heads)."""

    cdn_requests: int
    store_requests: int
    cdn_bytes: int
    store_bytes: int


class Nginx:
    """A master and two workers on two ports of 127.0.0.1; a ``with`` block."""

    def __init__(self, folder: Path, *, is_tls: bool) -> None:
        """``folder`` is where everything is kept; it should be in memory.

        Raises:
            RuntimeError: nginx is not installed, or does not start.
        """
        if PROGRAM is None:
            raise RuntimeError("nginx is missing; on Debian: apt-get install nginx-light")
        self._folder = folder
        self._log = folder / "access.log"
        self._ports = _free_ports()
        self.cdn_folder, self.store_folder = folder / "cdn", folder / "store"
        for name in ("cdn", "store", "bodies", "unused"):
            (folder / name).mkdir()
        scheme = "https" if is_tls else "http"
        self.cdn_url, self.store_url = (f"{scheme}://127.0.0.1:{port}" for port in self._ports)
        self.ca_file = make_certificates(folder) if is_tls else None
        (folder / "nginx.conf").write_text(self._config())
        command = [PROGRAM, "-p", str(folder), "-e", str(folder / "error.log")]
        self._process = subprocess.Popen([*command, "-c", str(folder / "nginx.conf")])
        try:
            self._await_start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the master, which ends its workers."""
        self._process.terminate()
        self._process.wait(30)

    def cpu_seconds(self) -> float:
        """Time all its processes have used so far."""
        workers = children(self._process.pid)
        return sum(cpu_seconds(pid) for pid in (self._process.pid, *workers))

    def reset_counters(self) -> None:
        """Count from nothing. The workers append, so cutting the log short is safe."""
        os.truncate(self._log, 0)

    def seen(self) -> Seen:
        """What was counted since the last reset; requests are counted when they end."""
        # A line is written after the client has its answer.
        time.sleep(0.05)
        lines = [
            tuple(int(word) for word in line.split()) for line in self._log.read_text().splitlines()
        ]
        cdn_port, store_port = self._ports
        sent = [body for port, body, _ in lines if port == cdn_port]
        received = [length for port, _, length in lines if port == store_port]
        return Seen(len(sent), len(received), sum(sent), sum(received))

    def _config(self) -> str:
        tls = ""
        if self.ca_file:
            tls = (
                f"ssl_certificate {self._folder}/server.pem; "
                f"ssl_certificate_key {self._folder}/server.key; ssl_protocols TLSv1.3;"
            )
        return _CONFIG.format(
            folder=self._folder,
            user="user root;" if os.geteuid() == 0 else "",
            tls=tls,
            ssl=" ssl" if tls else "",
            cdn_port=self._ports[0],
            store_port=self._ports[1],
        )

    def _await_start(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self._ports[1]), 1):
                    return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = self._folder / "error.log"
                    text = log.read_text() if log.exists() else ""
                    raise RuntimeError(f"nginx did not start: {text}") from None
                time.sleep(0.05)


def make_certificates(folder: Path) -> Path:
    """Make a CA and a certificate for 127.0.0.1 (``server.pem``, ``.key``); return the CA's."""
    ca, key = folder / "ca.pem", folder / "ca.key"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl(
        *("req", "-x509", *curve, "-days", "2", "-subj", "/CN=hubferry bench CA"),
        *("-addext", "keyUsage=critical,keyCertSign"),
        *("-keyout", str(key), "-out", str(ca)),
    )
    _openssl(
        *("req", "-new", *curve, "-subj", "/CN=127.0.0.1"),
        *("-keyout", str(folder / "server.key"), "-out", str(folder / "server.csr")),
    )
    extensions = folder / "server.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    _openssl(
        *("x509", "-req", "-days", "2", "-in", str(folder / "server.csr")),
        *("-CA", str(ca), "-CAkey", str(key), "-CAcreateserial"),
        *("-extfile", str(extensions), "-out", str(folder / "server.pem")),
    )
    return ca


def trusting(ca_file: Path | None, folder: Path) -> dict[str, str]:
    """Environment by which Python, requests, rustls and curl trust the usual CAs and ours."""
    if ca_file is None:
        return {}
    bundle = folder / "bundle.pem"
    usual = ssl.get_default_verify_paths().cafile
    bundle.write_text((Path(usual).read_text() if usual else "") + ca_file.read_text())
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    return dict.fromkeys(names, str(bundle))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _free_ports() -> tuple[int, int]:
    """Two ports nobody has just now; the system does not give the same ones out again soon."""
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]
