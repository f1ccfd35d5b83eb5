"""nginx with configurations of our own: a backend, and the two chained proxies that the tunnel is compared with.

Every nginx that is started here has a folder of its own for all its files, listens on a loopback address and ends with
the run. One that the system has is never touched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from demo.ports import Ports, accepts
from demo.processes import Processes, Program
from demo.waiting import wait_until

START_SECONDS = 10.0
# What a small answer is: as long as this, and no more than its head beside it.
SMALL_BYTES = 1024
SMALL_PATH = "/small"
UPLOAD_PATH = "/upload"
# A connection that steady load uses is never closed.
FOR_EVER = "1000000000"
WITHOUT_FILES = "proxy_max_temp_file_size 0; client_body_buffer_size 128k;"


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Tuning:
    """How two chained proxies differ from others."""

    # Whether the first logs every request, as the gateway does.
    logs_requests: bool = False
    # Whether nothing of a download is put into a file on its way, and uploads are read in pieces as large as those of
    # downloads. Without the first a download costs half as much again, without the second an upload twice as much.
    avoids_files: bool = True
    # TLS between the client and the first, and between the two; both verify what they dial. Needs certificates.
    front_tls: bool = False
    inner_tls: bool = False
    # HTTP/2 from the client, by ALPN.
    http2: bool = False
    # A folder with `tls.crt`, `tls.key` and their authority's `ca.crt`, for localhost.
    certificates: Optional[Path] = None


class NginxFolder:
    """Where the files of every nginx of a run are."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        self._directory = directory
        self._processes = processes

    def start(self, name: str, address: Address, servers: str, logs_requests: bool = False) -> Program:
        """Starts one nginx with one worker; `servers` is the content of its `http` block."""
        folder = self._directory / name
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "nginx.conf"
        configuration.write_text(_configuration(folder, servers, logs_requests), encoding="utf-8")
        program = self._processes.start(
            name, ["nginx", "-p", str(folder), "-c", str(configuration), "-e", "stderr", "-g", "daemon off;"])

        def is_up() -> bool:
            status = program.exit_status()
            if status is not None:
                raise RuntimeError(f"{name} ended with status {status}:\n{program.log.tail(5)}")
            return accepts(address.host, address.port)

        wait_until(f"{name} listens on {address}", START_SECONDS, is_up)
        return program

    def start_backend(self, address: Address, files: Path) -> Program:
        """Answers `SMALL_PATH` from memory and everything else from a folder."""
        return self.start("nginx-backend", address, f"""
    server {{
        listen {address} backlog=4096;
        open_file_cache max=100;
        location = {SMALL_PATH} {{ return 200 "{'x' * SMALL_BYTES}"; }}
        location / {{ root {files}; }}
    }}""")

    def start_chain(
        self, name: str, ports: Ports, backend: Address, sink: Address, tuning: Tuning
    ) -> tuple[Address, list[Program]]:
        """Starts two proxies, one behind the other, and returns where they are asked."""
        front, inner = (Address("127.0.0.1", ports.free(0)) for _ in range(2))
        second = self.start(f"{name}-inner", inner, _proxy(
            inner, {"/": backend, UPLOAD_PATH: sink}, tuning, _listening(tuning, tuning.inner_tls, http2=False)))
        first = self.start(f"{name}-front", front, _proxy(
            front, {"/": inner}, tuning, _listening(tuning, tuning.front_tls, tuning.http2),
            _dialling(tuning) if tuning.inner_tls else ""), tuning.logs_requests)
        return front, [first, second]


def _configuration(folder: Path, servers: str, logs_requests: bool) -> str:
    # A worker of root's would otherwise be a user that may not read these folders.
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "\n".join(
        f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""{user}
worker_processes 1;
pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
    access_log {f"{folder}/access.log" if logs_requests else "off"};
    default_type text/plain;
    sendfile on;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests {FOR_EVER};
    client_max_body_size 0;
{temporary}
{servers}
}}
"""


def _listening(tuning: Tuning, tls: bool, http2: bool) -> tuple[str, str]:
    """What a server says behind `listen`, and beside it."""
    if not tls:
        return "", ""
    return " ssl" + (" http2" if http2 else ""), f"""
        ssl_certificate {tuning.certificates}/tls.crt;
        ssl_certificate_key {tuning.certificates}/tls.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:sessions:1m;"""


def _dialling(tuning: Tuning) -> str:
    """What makes a proxy dial by TLS, and verify it as the agent does."""
    return f"""
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate {tuning.certificates}/ca.crt;
        proxy_ssl_name localhost;
        proxy_ssl_protocols TLSv1.2 TLSv1.3;"""


def _proxy(
    address: Address, targets: dict[str, Address], tuning: Tuning, listening: tuple[str, str], dialling: str = ""
) -> str:
    """A server that passes paths on, each to its target.

    It has what a good operator would give it: connections that are kept open, bodies that pass without waiting for
    their end, and large buffers.
    """
    upstreams, locations = "", ""
    for number, (path, target) in enumerate(targets.items()):
        upstreams += f"""
    upstream target{number} {{
        server {target};
        keepalive 256;
        keepalive_requests {FOR_EVER};
        keepalive_timeout 1h;
    }}"""
        locations += f"""
        location {path} {{ proxy_pass {"https" if dialling else "http"}://target{number}; }}"""
    return f"""{upstreams}
    server {{
        listen {address}{listening[0]} backlog=4096;{listening[1]}{dialling}
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_request_buffering off;
        proxy_buffering on;
        proxy_buffer_size 128k;
        proxy_buffers 8 128k;
        proxy_busy_buffers_size 256k;
        {WITHOUT_FILES if tuning.avoids_files else ""}{locations}
    }}"""
