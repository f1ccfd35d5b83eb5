"""Reading a kubeconfig with the standard library alone.

With kubectl installed, kubectl reads the file and gives it as JSON. Without, the block style in which kubeconfigs are
written is understood: mappings, lists and plain or quoted scalars.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional
from urllib.parse import urlsplit


class KubeconfigError(Exception):
    """The file cannot be used; the text says why."""


@dataclass(frozen=True)
class Access:
    """Where an API server is, and how to speak to it."""

    host: str
    port: int
    base_path: str
    tls: Optional[ssl.SSLContext]
    headers: dict[str, str]


def load(path: Path, kubectl: Optional[str]) -> Access:
    """The access of the file's current context."""
    if kubectl:
        command = [kubectl, "config", "view", "--raw", "--flatten", "--minify", "-o", "json", "--kubeconfig", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise KubeconfigError(f"{path}: {result.stderr.strip()}")
        config = json.loads(result.stdout)
    else:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text) if text.lstrip().startswith("{") else parse_block_yaml(text)
    return _access(config, path)


def _access(config: dict[str, Any], path: Path) -> Access:
    context = _named(config, "contexts", config.get("current-context"), path)["context"]
    cluster = _named(config, "clusters", context.get("cluster"), path)["cluster"]
    user = _named(config, "users", context.get("user"), path)["user"] or {}
    server = urlsplit(str(cluster["server"]))
    tls = None
    if server.scheme == "https":
        tls = ssl.create_default_context()
        authority = _content(cluster, "certificate-authority", path)
        if authority:
            tls = ssl.create_default_context(cadata=authority.decode("ascii"))
        if cluster.get("insecure-skip-tls-verify") in (True, "true"):
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        _load_client_certificate(tls, user, path)
    headers = {}
    token = user.get("token") or (_content(user, "tokenFile", path) or b"").decode("ascii").strip()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if "exec" in user or "auth-provider" in user:
        raise KubeconfigError(f"{path}: users with 'exec' or 'auth-provider' are not supported here; use a token")
    port = server.port or (443 if tls else 80)
    return Access(server.hostname or "", port, server.path.rstrip("/"), tls, headers)


def _named(config: dict[str, Any], section: str, name: object, path: Path) -> dict[str, Any]:
    for item in config.get(section) or []:
        if item.get("name") == name:
            return dict(item)
    raise KubeconfigError(f"{path}: no entry {name!r} in {section}")


def _content(section: dict[str, Any], field: str, path: Path) -> Optional[bytes]:
    """What `field-data` holds, or the content of the file that `field` names."""
    if section.get(f"{field}-data"):
        return base64.b64decode(section[f"{field}-data"])
    if section.get(field):
        return (path.parent / str(section[field])).read_bytes()
    return None


def _load_client_certificate(tls: ssl.SSLContext, user: dict[str, Any], path: Path) -> None:
    certificate = _content(user, "client-certificate", path)
    key = _content(user, "client-key", path)
    if not certificate or not key:
        return
    # The ssl module reads key pairs from files only. The temporary file is readable by this user alone.
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        tls.load_cert_chain(file.name)


_PAIR = re.compile(r"^(?P<key>[^\s:#'\"{\[][^:]*|\"[^\"]*\"|'[^']*'):(?: +(?P<value>.*))?$")


def parse_block_yaml(text: str) -> Any:
    """Reads block mappings and lists of scalars: what kubeconfigs are made of. Anything else is refused."""
    lines: list[tuple[int, str]] = []
    for raw in text.splitlines():
        if not raw.strip() or raw.lstrip().startswith("#") or raw.strip() == "---":
            continue
        indent = len(raw) - len(raw.lstrip(" "))
        content = raw.strip()
        # "- a: b" is a list item that begins on the dash's line: it becomes a dash and a deeper line.
        while content.startswith("- "):
            lines.append((indent, "-"))
            inner = content[1:].lstrip(" ")
            indent += len(content) - len(inner)
            content = inner
        lines.append((indent, content))
    value, rest = _block(lines, 0)
    if rest != len(lines):
        raise KubeconfigError(f"cannot read the line {lines[rest][1]!r}")
    return value


def _block(lines: list[tuple[int, str]], start: int) -> tuple[Any, int]:
    """The value whose first line is at `start`, and the index of the line after it."""
    if start >= len(lines):
        return None, start
    indent, content = lines[start]
    if content == "-":
        return _list(lines, start, indent)
    if not _PAIR.match(content):
        return _scalar(content), start + 1
    mapping: dict[str, Any] = {}
    position = start
    while position < len(lines) and lines[position][0] == indent and lines[position][1] != "-":
        pair = _PAIR.match(lines[position][1])
        if not pair:
            raise KubeconfigError(f"cannot read the line {lines[position][1]!r}")
        key = _scalar(pair["key"])
        position += 1
        if pair["value"]:
            mapping[key] = _scalar(pair["value"])
        elif position < len(lines) and _belongs(lines[position], indent):
            mapping[key], position = _block(lines, position)
        else:
            mapping[key] = None
    return mapping, position


def _belongs(line: tuple[int, str], indent: int) -> bool:
    """Whether a line is part of the value of a key at `indent`; the dashes of a list may stand right below the key."""
    return line[0] > indent or (line[0] == indent and line[1] == "-")


def _list(lines: list[tuple[int, str]], start: int, indent: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    position = start
    while position < len(lines) and lines[position] == (indent, "-"):
        position += 1
        if position < len(lines) and lines[position][0] > indent:
            item, position = _block(lines, position)
            items.append(item)
        else:
            items.append(None)
    return items, position


def _scalar(text: str) -> Any:
    if text[:1] in ("'", '"'):
        return text[1:-1]
    if text in ("{}", "[]"):
        return {} if text == "{}" else []
    if text[:1] in ("|", ">", "{", "[", "&", "*", "!"):
        raise KubeconfigError(f"cannot read the value {text!r}; install kubectl, or write it in block style")
    if text in ("null", "~"):
        return None
    return text
