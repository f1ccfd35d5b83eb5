"""How the request came: said by the gateway, and by a proxy that it trusts; by nobody else.

Applications that read fields as CGI variables cannot tell `X_Forwarded_For` from `X-Forwarded-For`: the gateway removes
every field that equals one of those it removes or writes itself once `_` is read as `-`.
"""

from __future__ import annotations

from ..case import CLIENT, HOST, TRUSTED, chunked, get, passes

TITLE = "Forwarding fields"

FOR, PROTO, FORWARDED_HOST = f"X-Forwarded-For: {CLIENT}", "X-Forwarded-Proto: http", f"X-Forwarded-Host: {HOST}"
OWN = (FOR, PROTO, FORWARDED_HOST)
SPOOFED = "X-Forwarded-For: 1.1.1.1"


def _replaced(name: str, *fields: str, kept: tuple[str, ...] = ()) -> object:
    return passes(name, get("/", *fields), get("/", *kept, *OWN), whole=True)


def _trusted(name: str, *fields: str, arrives: tuple[str, ...]) -> object:
    return passes(name, get("/", *fields), get("/", *arrives), whole=True, source=TRUSTED)


def _look_alike(field: str) -> object:
    return _replaced(f"look-alike-{field.lower()}", f"{field}: 1")


CASES = [
    _replaced("gateway-says-how-the-request-came"),
    passes("host-is-forwarded-as-it-was-sent", get(host=f"App.Example.com:8080"), get(
        "/", FOR, PROTO, "X-Forwarded-Host: App.Example.com:8080", host="App.Example.com:8080"), whole=True),
    passes("host-of-an-absolute-target-is-forwarded", get(f"http://{HOST}/", host="b"), get("/", *OWN), whole=True),
    _replaced("forwarded-for-is-replaced", SPOOFED),
    _replaced("forwarded-for-twice-is-replaced", SPOOFED, "x-forwarded-for: 2.2.2.2"),
    # The ancestor dialled TLS on the same port because of such a field, and verified nothing (17).
    _replaced("17-forwarded-proto-is-replaced", "X-Forwarded-Proto: https"),
    _replaced("forwarded-host-is-replaced", "X-Forwarded-Host: evil.example.com"),
    _replaced("forwarded-is-removed", "Forwarded: for=1.1.1.1;host=evil"),
    _replaced("real-ip-is-removed", "X-Real-IP: 1.1.1.1"),
    _replaced("other-x-forwarded-fields-are-removed", "X-Forwarded-Port: 1", "X-Forwarded-Server: a",
              "X-Forwarded-Prefix: /b", "X-Forwarded-Client-Cert: c", "X-FORWARDED-Ssl: on"),
    _replaced("names-that-only-begin-alike-pass", "X-Forward: a", "X-Realm: b", kept=("X-Forward: a", "X-Realm: b")),
    _replaced("forwarded-for-named-by-connection-is-written-all-the-same", "Connection: X-Forwarded-For", SPOOFED),
    passes("forwarding-fields-in-trailers-are-removed",
           chunked(b"0\r\nX-Forwarded-For: 1.1.1.1\r\nX_Real_IP: 2\r\nForwarded: x\r\nX-Sum: 1\r\n\r\n"),
           chunked(b"0\r\nX-Sum: 1\r\n\r\n")),
    # A proxy that the gateway trusts.
    _trusted("trusted-proxy-without-fields",
             arrives=(f"X-Forwarded-For: {TRUSTED}", PROTO, FORWARDED_HOST)),
    _trusted("trusted-proxys-chain-is-continued", SPOOFED, "X-Forwarded-For: 2.2.2.2, 3.3.3.3",
             arrives=(f"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, {TRUSTED}", PROTO, FORWARDED_HOST)),
    _trusted("trusted-proxy-is-believed", "X-Forwarded-Proto: https", "X-Forwarded-Host: public.example.com",
             "X-Forwarded-Port: 443", "Forwarded: for=1.1.1.1", "X-Real-IP: 1.1.1.1",
             arrives=("X-Forwarded-Proto: https", "X-Forwarded-Host: public.example.com", "X-Forwarded-Port: 443",
                      "Forwarded: for=1.1.1.1", "X-Real-IP: 1.1.1.1", f"X-Forwarded-For: {TRUSTED}")),
    _trusted("trusted-proxys-look-alikes-are-removed", "X_Forwarded_For: 1", "X_Real_IP: 2",
             arrives=(f"X-Forwarded-For: {TRUSTED}", PROTO, FORWARDED_HOST)),
    # Underscores.
    *map(_look_alike, (
        "X_Forwarded_For", "X_Forwarded-For", "X-Forwarded_For", "x_forwarded_proto", "X_FORWARDED_HOST",
        "X_Forwarded_Port", "X_Real_IP", "X-Real_IP", "Content_Length", "Transfer_Encoding", "Proxy_Authorization",
        "Proxy_Connection", "Keep_Alive", "X_Request_Id")),
    _replaced("look-alike-of-a-field-named-by-connection", "Connection: X-Hop", "X_Hop: 1", "X-Hop: 2"),
    _replaced("other-names-with-underscores-pass", "X_Custom_Field: 1", "_: 2", kept=("X_Custom_Field: 1", "_: 2")),
]
