"""Methods and statuses that say something about a body, and answers before the answer."""

from __future__ import annotations

from demo.waiting import expect

from ..case import HOST, OK, SECRET, Case, Stage, answer, bad_answer, get, message, passes, post, scripted
from ..connection import shown

TITLE = "Methods, statuses and 1xx"

HINT = answer("103 Early Hints", "Link: </a.css>; rel=preload", "Link: </b.js>; rel=preload")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _method(method: str) -> Case:
    return passes(f"method-{method.lower()}", get("/a", method=method))


def _status(status: str) -> Case:
    reply = answer(status, "Content-Length: 2", body=b"no")
    return passes(f"status-{status.split()[0]}", get(), answers=reply)


@scripted
def continue_reaches_the_client_before_its_body_is_sent(stage: Stage) -> None:
    head, body = get("/", "Expect: 100-continue", "Content-Length: 5", method="PUT"), b"hello"
    client = stage.client(head)
    application = stage.recorder.accept()
    application.wait("the head", lambda: b"\r\n\r\n" in application.rest)
    expect(b"Expect: 100-continue\r\n" in application.rest, f"no Expect: {shown(application.rest)}")
    application.send(CONTINUE)
    expect(client.response().canonical == CONTINUE, "the client got no 100")
    client.send(body)
    stage.asked(head + body, client).send(OK)
    expect(client.response().status == 200, "no final answer")


@scripted
def expectation_may_be_refused_without_a_body(stage: Stage) -> None:
    client = stage.client(get("/", "Expect: 100-continue", "Content-Length: 5", method="PUT"))
    application = stage.recorder.accept()
    application.wait("the head", lambda: b"\r\n\r\n" in application.rest)
    application.send(answer("413 Content Too Large", "Content-Length: 0"))
    expect(client.response().status == 413, "the refusal did not reach the client")
    # Its body could still come, or not: the connection is of no use.
    client.wait_until_ended()


@scripted
def client_whose_expectation_is_refused_is_told_that_the_connection_ends(stage: Stage) -> None:
    """One that sends its next request in place of the body would have it taken for that."""
    client = stage.client(get("/", "Expect: 100-continue", "Content-Length: 5", method="PUT"))
    application = stage.recorder.accept()
    application.wait("the head", lambda: b"\r\n\r\n" in application.rest)
    # The answer's end is still to come when its head passes.
    application.send(answer("417 Expectation Failed", "Content-Length: 2"))
    client.wait("the answer's head", lambda: b"\r\n\r\n" in client.rest)
    application.send(b"no")
    refusal = client.response()
    expect(refusal.status == 417, "the refusal did not reach the client")
    expect(refusal.values("Connection") == [b"close"], f"its Connection is {refusal.values('Connection')}")
    client.wait_until_ended()


@scripted
def early_hints_arrive_before_the_answer_is_made(stage: Stage) -> None:
    client = stage.client(get())
    application = stage.asked(client=client)
    application.send(HINT)
    expect(client.response().canonical == HINT, "the hint did not arrive by itself")
    application.send(OK)
    expect(client.response().status == 200, "no final answer")


@scripted
def informational_answers_without_end_do_not_reach_the_client(stage: Stage) -> None:
    client = stage.client(get())
    application = stage.asked(client=client)
    application.send(HINT * 200 + OK)
    count = 0
    while (got := client.response()).status == 103:
        count += 1
    expect(got.status == 200, "no final answer")
    expect(0 < count < 100, f"{count} informational answers reached the client")


CASES = [
    *map(_method, ("OPTIONS", "DELETE", "PATCH", "TRACE", "PROPFIND", "M-SEARCH", "PURGE", "get")),
    passes("method-unknown-with-a-body", get("/", "Content-Length: 2", method="FROB!", body=b"hi")),
    passes("delete-with-a-body", get("/", "Content-Length: 2", method="DELETE", body=b"hi")),
    passes("get-with-a-body", get("/", "Content-Length: 2", body=b"hi")),
    passes("get-with-an-empty-body", get("/", "Content-Length: 0")),
    passes("post-without-a-body", get("/", method="POST")),
    passes("head-with-a-length", get(method="HEAD"), answers=answer("200 OK", "Content-Length: 1000"), stays_open=True),
    passes("head-without-a-length", get(method="HEAD"), answers=answer("200 OK", "ETag: x"), stays_open=True),
    passes("head-with-a-coding", get(method="HEAD"), answers=answer("200 OK", "Transfer-Encoding: chunked"),
           returns=answer("200 OK"), stays_open=True),
    passes("head-not-found", get(method="HEAD"), answers=answer("404 Not Found", "Content-Length: 9"), stays_open=True),
    passes("status-204", get(), answers=answer("204 No Content", "ETag: x"), stays_open=True),
    passes("status-204-loses-a-length", get(), answers=answer("204 No Content", "Content-Length: 0"),
           returns=answer("204 No Content"), stays_open=True),
    passes("status-204-loses-a-coding", get(), answers=answer("204 No Content", "Transfer-Encoding: chunked"),
           returns=answer("204 No Content"), stays_open=True),
    passes("status-204-has-no-body", get(), answers=answer("204 No Content", body=SECRET),
           returns=answer("204 No Content")),
    passes("status-304", get("/", "If-None-Match: x"), answers=answer("304 Not Modified", "ETag: x"), stays_open=True),
    passes("status-304-keeps-the-length-of-the-other-answer", get(),
           answers=answer("304 Not Modified", "Content-Length: 1000"), stays_open=True),
    passes("status-205", get(), answers=answer("205 Reset Content", "Content-Length: 0"), stays_open=True),
    *map(_status, ("201 Created", "206 Partial Content", "302 Found", "401 Unauthorized", "404 Not Found",
                   "418 I'm a teapot", "429 Too Many Requests", "500 Internal Server Error", "502 Bad Gateway",
                   "503 Service Unavailable")),
    passes("status-without-a-name-of-its-own", get(), answers=answer("299 ", "Content-Length: 0")),
    passes("reason-is-replaced", get(), answers=answer("200 Fine, thank you", "Content-Length: 0"),
           returns=answer("200 OK", "Content-Length: 0")),
    passes("reason-and-its-space-missing", get(), answers=b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
           returns=answer("200 OK", "Content-Length: 0")),
    # The ancestor knew no 1xx (18).
    passes("18-early-hints", get(), answers=HINT + OK, returns=[HINT, OK]),
    passes("18-several-informational-answers", get(), answers=CONTINUE + HINT + HINT + OK,
           returns=[CONTINUE, HINT, HINT, OK]),
    passes("informational-answer-loses-a-length", get(),
           answers=answer("103 Early Hints", "Content-Length: 5", "A: b") + OK,
           returns=[answer("103 Early Hints", "A: b"), OK]),
    passes("informational-answers-are-not-for-http-1.0", message("GET / HTTP/1.0", f"Host: {HOST}"), get(),
           answers=HINT + OK, returns=answer("200 OK", "Content-Length: 2", "Connection: close", body=b"ok")),
    passes("expectation-with-the-body-sent-at-once", get("/", "Expect: 100-continue", "Content-Length: 5",
                                                         method="PUT", body=b"hello"),
           answers=CONTINUE + OK, returns=[CONTINUE, OK], stays_open=True),
    passes("expectation-that-the-application-ignores", post(b"hello", "Expect: 100-continue"), stays_open=True),
    continue_reaches_the_client_before_its_body_is_sent,
    client_whose_expectation_is_refused_is_told_that_the_connection_ends,
    expectation_may_be_refused_without_a_body,
    early_hints_arrive_before_the_answer_is_made,
    informational_answers_without_end_do_not_reach_the_client,
    bad_answer("status-101-unasked", answer(
        "101 Switching Protocols", "Connection: upgrade", "Upgrade: x", body=SECRET)),
]
