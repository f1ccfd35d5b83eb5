"""Fields: those of the two ends pass as they are, those of one connection do not."""

from __future__ import annotations

from ..case import OK, STRIPPED_HOST, answer, chunked, get, passes, post

TITLE = "Fields and hop-by-hop"

REPEATED = ("A: 1", "B: 2", "a: 3", "A: 4, 5", "B:", "Cookie: x=1", "Cookie: y=2")


def _removed(name: str, *fields: str, kept: tuple[str, ...] = ()) -> object:
    return passes(name, get("/", *fields), get("/", *kept), stays_open=True)


def _kept(name: str, *fields: str) -> object:
    return passes(name, get("/", *fields))


CASES = [
    _kept("repeated-fields-keep-their-order", *REPEATED),
    passes("repeated-fields-of-an-answer-keep-their-order", get(), answers=answer(
        "200 OK", "Set-Cookie: a=1; Path=/", "Via: x", "Set-Cookie: b=2, c", "set-cookie: d=3", "Content-Length: 0")),
    _kept("names-keep-their-spelling", "x-lower: 1", "X-UPPER: 2", "x-MiXeD: 3"),
    _kept("credentials-and-cookies-pass", "Authorization: Bearer x", "Cookie: a=b", "X-Auth-Token: y"),
    _kept("commas-and-quotes-stay", 'Accept: "a,b", c;q=0.5 ,d', "If-Match: W/\"x\""),
    passes("content-coding-stays", post(b"\x1f\x8b\x08\x00", "Content-Encoding: gzip", "Accept-Encoding: br"),
           answers=answer("200 OK", "Content-Encoding: br", "Content-Length: 3", body=b"\x00\x01\x02")),
    _kept("ranges-and-conditions-pass", "Range: bytes=0-9", "If-Range: \"x\"", "If-Modified-Since: Thu, 01 Jan 1970"),
    _kept("origin-referer-and-user-agent-pass", "Origin: https://a.example", "Referer: http://b/?c", "User-Agent: d"),
    _kept("max-forwards-and-via-pass", "Max-Forwards: 0", "Via: 1.1 proxy"),
    _kept("priority-and-traces-pass", "Priority: u=1", "Traceparent: 00-" + "1" * 32 + "-" + "2" * 16 + "-01",
          "X-Request-Id: mine"),
    # RFC 9110 §7.6.1; the ancestor kept what Connection names, and took `trailers` for a field (18).
    _removed("keep-alive-is-removed", "Connection: keep-alive", "Keep-Alive: timeout=5, max=100"),
    _removed("proxy-connection-is-removed", "Proxy-Connection: keep-alive"),
    _removed("proxy-authorization-is-removed", "Proxy-Authorization: Basic eDp5", "Proxy-Authenticate: Basic"),
    _removed("upgrade-that-connection-does-not-name-is-removed", "Upgrade: websocket"),
    passes("request-id-passes-though-connection-names-it", get("/", "Connection: x-request-id", "X-Request-Id: mine"),
           get("/", "X-Request-Id: mine")),
    _removed("18-field-named-by-connection-is-removed", "Connection: X-One, x-two", "X-One: 1", "X-Two: 2",
             "X-Three: 3", kept=("X-Three: 3",)),
    _removed("18-field-named-by-a-later-connection-is-removed", "X-One: 1", "A: b", "Connection: x-one",
             "Connection: X-TWO", "x-two: 2", kept=("A: b",)),
    _removed("field-named-by-connection-without-spaces", "Connection: ,X-One,,X-Two,", "X-One: 1", "X-Two: 2"),
    passes("host-named-by-connection-is-kept", get("/", "Connection: Host"), get()),
    passes("length-named-by-connection-still-frames", get("/", "Connection: Content-Length", "Content-Length: 2",
                                                          method="POST", body=b"hi"),
           chunked(b"2\r\nhi\r\n0\r\n\r\n")),
    _kept("18-te-trailers-is-kept", "TE: trailers"),
    _removed("18-te-keeps-trailers-alone", "TE: gzip;q=0.5, trailers", "Connection: TE", kept=("TE: trailers",)),
    _removed("te-without-trailers-is-removed", "TE: gzip", "Connection: TE"),
    passes("18-trailer-field-is-kept", chunked(b"0\r\nX-Sum: 1\r\n\r\n", "Trailer: X-Sum")),
    passes("19-content-length-of-an-upload-is-kept", post(b"hello", "Content-Type: text/plain")),
    passes("hop-by-hop-fields-of-an-answer-are-removed", get(), answers=answer(
        "200 OK", "Connection: keep-alive, X-Hop", "Keep-Alive: timeout=5", "X-Hop: 1", "Proxy-Authenticate: Basic",
        "Upgrade: h2c", "Proxy-Connection: close", "X-End: 2", "Content-Length: 0"),
           returns=answer("200 OK", "X-End: 2", "Content-Length: 0"), stays_open=True),
    passes("trailer-field-of-an-answer-is-kept", get("/", "TE: trailers"), answers=answer(
        "200 OK", "Trailer: X-Sum", "Transfer-Encoding: chunked", body=b"0\r\nX-Sum: 1\r\n\r\n")),
    passes("server-date-and-via-of-an-answer-pass", get(), answers=answer(
        "200 OK", "Server: x/1", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Via: 1.1 y", "Content-Length: 0")),
    passes("fields-of-an-answer-keep-their-bytes", get(), answers=answer(
        "200 OK", "!#$%&'*+-.^_`|~09azAZ: 1", "Empty:", "A: \xe4\xff\tb  c", "X_Forwarded_For: 1",
        "Content-Length: 0")),
    passes("answer-with-100-fields", get(), answers=answer(
        "200 OK", *(f"A-{number}: {'x' * 100}" for number in range(100)), "Content-Length: 0")),
    # What the operator and the route want removed.
    _removed("operators-wish-is-done", "X-Operator-Secret: 1", "A: b", kept=("A: b",)),
    _removed("operators-wish-holds-with-underscores", "X_Operator_Secret: 1", "x-operator_secret: 2"),
    passes("routes-wish-is-done", get("/", "Cookie: a=b", "X-Secret: 1", "cookie: c", "X-Kept: 2", host=STRIPPED_HOST),
           get("/", "X-Kept: 2", host=STRIPPED_HOST), OK),
    passes("routes-wish-holds-with-underscores", get("/", "X_Secret: 1", host=STRIPPED_HOST),
           get(host=STRIPPED_HOST)),
]
