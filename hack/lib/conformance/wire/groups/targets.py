"""Where a request goes: its path and query are the application's business, and reach it as they came."""

from __future__ import annotations

from ..case import HOST, PATH_HOST, get, message, passes, refuses

TITLE = "Targets"


def _same(name: str, target: str) -> object:
    return passes(name, get(target))


def _absolute(name: str, target: str, authority: str, path: str, host: str = "other.example.com") -> object:
    return passes(name, get(target, host=host), get(path, host=authority))


CASES = [
    # The ancestor refused any path with `..` or `://`, decoded it, and sorted the query (16).
    _same("16-two-dots-inside-a-segment", "/compare/a...b"),
    _same("16-two-dots-as-a-segment", "/a/../b"),
    _same("16-url-in-the-path", "/fetch/https://example.org/x"),
    _same("16-encoded-slash", "/a%2Fb%2fc"),
    _same("16-query-keys-repeated-and-in-order", "/?z=1&a=2&z=3&a=4"),
    _same("16-query-not-re-encoded", "/?a=%41+b%20c&d=[e]&f={g}|h^i`"),
    _same("two-dots-encoded", "/a/%2e%2e/b"),
    _same("two-dots-at-the-beginning", "/../../etc/passwd"),
    _same("single-dots", "/./a/./b/."),
    _same("two-slashes", "//a//b//"),
    _same("two-slashes-and-a-host", "//evil.example.com/a"),
    _same("encoded-nul", "/a%00b"),
    _same("encoded-line-break", "/a%0d%0aHost:%20evil"),
    _same("percent-without-digits", "/100%/%zz"),
    _same("encoded-letters-stay-encoded", "/%41%62"),
    _same("semicolons", "/a;b=c/..;/d"),
    _same("backslash", "/a\\..\\b"),
    _same("quotes-and-angle-brackets", "/a\"b<c>'d"),
    _same("plus-and-space", "/a+b%20c"),
    _same("colon-and-at", "/user:name@host/x"),
    _same("trailing-slash", "/a/"),
    _same("query-empty", "/a?"),
    _same("query-at-the-root", "/?"),
    _same("query-without-values", "/?a&b=&=c&&"),
    _same("query-with-question-marks", "/?a?b??c"),
    _same("query-with-a-url", "/?u=https://example.org/?x=1&y=2"),
    _same("query-of-8-KiB", "/?" + "a=b&" * 2048),
    # The ancestor sent these to the Kubernetes API server, with the caller's credentials (15).
    *(passes(f"15-{path.strip('/').replace('/', '-')}-is-the-applications", get(path, "Authorization: Bearer user"))
      for path in ("/api/v1/secrets", "/apis/apps/v1", "/healthz", "/readyz", "/livez", "/version", "/openapi/v2")),
    # The ancestor let any service be dialled (20).
    refuses("20-localhost-is-not-served", get(host="localhost"), 404, closes=False),
    refuses("20-kubernetes-service-is-not-served", get(host="kubernetes.default.svc"), 404, closes=False),
    refuses("20-service-of-the-cluster-is-not-served", get(host="recorder.default.svc.cluster.local"), 404,
            closes=False),
    refuses("20-metadata-address-is-not-served", get(host="169.254.169.254"), 404, closes=False),
    refuses("20-host-by-an-absolute-target-is-not-served", get("http://127.0.0.1:6443/api"), 404, closes=False),
    refuses("path-that-is-not-served", get("/other", host=PATH_HOST), 404, closes=False),
    refuses("path-that-only-begins-like-a-served-one", get("/onlyx", host=PATH_HOST), 404, closes=False),
    passes("path-below-a-served-one", get("/only/a?b", host=PATH_HOST)),
    # Forms of a target.
    _absolute("absolute-form-decides-over-host", f"http://{HOST}/a?b=c", HOST, "/a?b=c"),
    _absolute("absolute-form-with-a-port", f"http://{HOST}:8080/a", f"{HOST}:8080", "/a"),
    _absolute("absolute-form-without-a-path", f"http://{HOST}", HOST, "/"),
    _absolute("absolute-form-with-a-query-alone", f"http://{HOST}?a", HOST, "/?a"),
    _absolute("absolute-form-in-capitals", f"HTTP://{HOST.upper()}/A", HOST.upper(), "/A"),
    _absolute("absolute-form-of-https", f"https://{HOST}/a", HOST, "/a", HOST),
    refuses("absolute-form-without-host-field", message(f"GET http://{HOST}/ HTTP/1.1")),
    refuses("absolute-form-with-two-host-fields", message(f"GET http://{HOST}/ HTTP/1.1", f"Host: {HOST}", "Host: b")),
    refuses("absolute-form-of-another-scheme", get(f"ftp://{HOST}/")),
    refuses("absolute-form-behind-a-path", get(f"a?b://{HOST}/")),
    refuses("absolute-form-with-user-information", get(f"http://user:secret@{HOST}/")),
    refuses("absolute-form-with-a-backslash", get(f"http://{HOST}\\@evil.example.com/")),
    refuses("absolute-form-without-an-authority", get("http:///a")),
    refuses("path-without-a-slash", get("a/b")),
    refuses("authority-form-without-connect", get(f"{HOST}:80")),
    passes("asterisk-with-options", get("*", method="OPTIONS")),
    refuses("asterisk-with-another-method", get("*")),
    refuses("connect-to-an-authority", get(f"{HOST}:443", method="CONNECT")),
    refuses("connect-to-a-path", get("/", method="CONNECT")),
]
