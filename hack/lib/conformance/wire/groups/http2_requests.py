"""HTTP/2: requests and their answers, by the library h2. Each must reach the application as one of HTTP/1.1 would."""

from __future__ import annotations

from typing import Optional, Sequence

from demo.waiting import expect, expect_equal

from ..case import ADDED_TO_RESPONSES, OK, Case, Stage, answer, chunked, get, same, scripted
from ..connection import shown
from ..http2 import NO_ERROR, Client, Field, fields, pair

TITLE = "HTTP/2: requests and answers"


def open_client(stage: Stage) -> Client:
    return Client(stage.client())


def passes(
    name: str, sends: Sequence[Field], arrives: bytes, body: Optional[bytes] = None, trailers: Sequence[str] = (),
    answers: bytes = OK, returns: Sequence[str] = (":status: 200", "content-length: 2"), returned_body: bytes = b"ok",
    returned_trailers: Optional[Sequence[str]] = None,
) -> Case:
    """A request that passes, and its answer; two on one connection, so that it must be as good as new."""

    def play(stage: Stage) -> None:
        client = open_client(stage)
        for _ in range(2):
            stream = client.request(sends, body, end=not trailers)
            if trailers:
                client.trailers(stream, [pair(line) for line in trailers])
            # Connection's `wait` fails where the client is answered before the application was asked.
            stage.asked(arrives).send(answers)
            got = client.answer(stream)
            plain = [one for one in got.fields or [] if one[0].decode().title() not in ADDED_TO_RESPONSES]
            expect_equal(plain, [pair(line) for line in returns], "the fields at the client")
            expect_equal(got.body, returned_body, "the body at the client")
            expected = None if returned_trailers is None else [pair(line) for line in returned_trailers]
            expect_equal(got.trailers, expected, "the trailers at the client")
        client.connection.close()

    return Case(name, play)


@scripted
def a_hundred_requests_at_once_have_their_own_answers(stage: Stage) -> None:
    client = open_client(stage)
    streams = {client.request(fields(path=f"/{number}")): number for number in range(100)}
    for _ in range(100):
        connection, got, _ = stage.recorder.next()
        text = got.start.split(b" ")[1]
        connection.send(answer("200 OK", f"Content-Length: {len(text)}", body=text))
    for stream, number in streams.items():
        expect_equal(client.answer(stream).body, f"/{number}".encode(), f"the answer to request {number}")


@scripted
def informational_answers_pass(stage: Stage) -> None:
    client = open_client(stage)
    stream = client.request(fields())
    stage.asked(get()).send(answer("103 Early Hints", "Link: </a>") + OK)
    got = client.answer(stream)
    expect_equal(got.informational, [[(b":status", b"103"), (b"link", b"</a>")]], "the informational heads")


@scripted
def a_client_that_waits_for_100_gets_it_and_sends_its_body(stage: Stage) -> None:
    client = open_client(stage)
    stream = client.request(fields("content-length: 4", "expect: 100-continue", method="POST"), end=False)
    application = stage.recorder.accept()
    application.wait("the head", lambda: b"\r\n\r\n" in application.rest)
    expect(b"expect: 100-continue" in application.rest, f"the application got {shown(application.rest)}")
    application.send(answer("100 Continue"))
    client.wait("100", lambda: client.answers[stream].informational)
    client.send(stream, b"body", end=True)
    application.wait("the body", lambda: application.rest.endswith(b"\r\n\r\nbody"))
    application.send(OK)
    expect_equal(client.answer(stream).status, 200, "the status")


@scripted
def an_answer_before_the_request_s_end_is_whole_and_the_rest_not_wanted(stage: Stage) -> None:
    client = open_client(stage)
    stream = client.request(fields(method="POST"), b"begin", end=False)
    application = stage.recorder.accept()
    application.wait("the head", lambda: b"\r\n\r\n" in application.rest)
    application.send(answer("403 Forbidden", "Content-Length: 2", body=b"no"))
    got = client.answer(stream)
    expect_equal((got.status, got.body), (403, b"no"), "the answer")
    client.wait("RST_STREAM", lambda: got.reset is not None)
    expect_equal(got.reset, NO_ERROR, "the code of RST_STREAM")
    application.wait_until_ended()
    _goes_on(stage, client)


@scripted
def a_client_that_resets_a_stream_cancels_the_application_s_work(stage: Stage) -> None:
    client = open_client(stage)
    stream = client.request(fields())
    application = stage.asked(get())
    application.send(answer("200 OK", "Content-Length: 100", body=b"begin"))
    client.wait("the beginning", lambda: client.answers[stream].body == b"begin")
    client.reset(stream)
    application.wait_until_ended(1)
    _goes_on(stage, client)


@scripted
def an_answer_that_breaks_off_is_seen_to(stage: Stage) -> None:
    client = open_client(stage)
    stream = client.request(fields())
    application = stage.asked(get())
    application.send(answer("200 OK", "Content-Length: 100", body=b"begin"))
    client.wait("the beginning", lambda: client.answers[stream].body == b"begin")
    application.end_output()
    client.wait("RST_STREAM", lambda: client.answers[stream].reset is not None)
    expect(not client.answers[stream].has_ended, "the client takes it for whole")
    _goes_on(stage, client)


@scripted
def an_answer_to_a_client_that_takes_nothing_waits_and_others_do_not(stage: Stage) -> None:
    client = open_client(stage)
    client.credits = False
    # The connection's window is as small at first: room for others.
    client.state.increment_flow_control_window(1 << 20)
    client.flush()
    stream = client.request(fields(path="/large"))
    body = bytes(300_000)
    stage.asked(get("/large")).send(answer("200 OK", f"Content-Length: {len(body)}", body=body))
    client.wait("all there is credit for", lambda: len(client.answers[stream].body) == 65_535)
    _goes_on(stage, client)
    expect_equal(len(client.answers[stream].body), 65_535, "the bytes sent without credit for more")
    client.state.increment_flow_control_window(1 << 20, stream)
    client.flush()
    expect_equal(client.answer(stream).body, body, "the body")


@scripted
def an_upload_that_the_application_does_not_take_waits_and_others_do_not(stage: Stage) -> None:
    client = open_client(stage)
    held = client.request(fields(path="/held", method="PUT"), end=False)
    application = stage.recorder.accept()
    # Larger than all that takes it on the way.
    sent = 0
    while sent < 64 << 20:
        size = min(client.state.local_flow_control_window(held), client.state.max_outbound_frame_size)
        if size <= 0:
            try:
                client.wait("credit", lambda: client.state.local_flow_control_window(held) > 0, 1)
            except Exception:  # pylint: disable=broad-except
                break
            continue
        client.state.send_data(held, bytes(size))
        client.flush()
        sent += size
    expect(sent < 64 << 20, "nothing holds the upload")
    other = client.request(fields(path="/other"))
    second = stage.recorder.accept()
    second.wait_for(b"GET /other HTTP/1.1\r\n")
    second.send(OK)
    expect_equal(client.answer(other).status, 200, "the other's status")
    client.reset(held)
    application.wait_until_ended()


def _goes_on(stage: Stage, client: Client) -> None:
    stream = client.request(fields(path="/next"))
    stage.asked(get("/next")).send(OK)
    expect_equal(client.answer(stream).status, 200, "another request on the connection")


@scripted
def failures_have_the_same_bodies_as_by_http_1_1(stage: Stage) -> None:
    client = open_client(stage)
    for accept in ("*/*", "text/html"):
        stream = client.request(fields(f"accept: {accept}", "x-request-id: one", host="nobody.example.com"))
        plain = stage.client(get("/", f"Accept: {accept}", "X-Request-Id: one", host="nobody.example.com"))
        got, expected = client.answer(stream), plain.response()
        expect_equal(got.status, expected.status, "the status")
        same("at the client", expected.body, got.body, got.body)
        expect_equal(
            [value for name, value in got.fields or [] if not name.startswith(b":")],
            [value for _, value in expected.fields], "the fields' values")


@scripted
def an_answer_whose_fields_do_not_fit_a_frame_is_502_and_others_go_on(stage: Stage) -> None:
    client = open_client(stage)
    for value in ("\xff" * 2_000, "\xff" * 5_000, "~" * 20_000, "X" * 16_250):
        stream = client.request(fields())
        stage.asked(get()).send(answer("200 OK", f"X-A: {value}", "Content-Length: 2", body=b"ok"))
        got = client.answers[stream]
        client.wait("an answer", lambda got=got: got.is_over)
        expect(got.has_ended and got.status in (200, 502), f"the answer to {len(value)} bytes of {value[0]!r} is {got}")
    _goes_on(stage, client)


@scripted
def trailers_that_do_not_fit_a_frame_break_the_answer_off(stage: Stage) -> None:
    client = open_client(stage)
    stream = client.request(fields())
    trailers = b"X-Sum: " + b"~" * 20_000
    stage.asked(get()).send(
        answer("200 OK", "Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n" + trailers + b"\r\n\r\n"))
    client.wait("the end", lambda: client.answers[stream].is_over)
    expect(not client.answers[stream].has_ended, "the client takes it for whole")
    _goes_on(stage, client)


CASES: list[Case] = [
    an_answer_whose_fields_do_not_fit_a_frame_is_502_and_others_go_on,
    trailers_that_do_not_fit_a_frame_break_the_answer_off,
    passes("a-request-has-its-host-first", fields("x-a: b"), get("/", "x-a: b")),
    passes("host-stands-for-authority", fields("host: app.example.com", "x-a: b", host=None), get("/", "x-a: b")),
    passes("host-beside-the-same-authority", fields("host: app.example.com"), get()),
    passes("path-and-query-are-untouched", fields(path="/a%2Fb/../c//d?b=2&a=1&b=%20"),
           get("/a%2Fb/../c//d?b=2&a=1&b=%20")),
    passes("the-server-as-a-whole", fields(path="*", method="OPTIONS"), get("*", method="OPTIONS")),
    passes("a-method-that-nobody-knows", fields(method="BREW"), get(method="BREW")),
    passes("repeated-fields-keep-their-order-in-http-2", fields("x-a: 1", "x-b: 2", "x-a: 3"),
           get("/", "x-a: 1", "x-b: 2", "x-a: 3")),
    passes("crumbs-of-a-cookie-are-put-together", fields("cookie: a=1", "x-a: b", "cookie: b=2", "cookie: c=3"),
           get("/", "x-a: b", "cookie: a=1; b=2; c=3")),
    passes("te-trailers-passes", fields("te: trailers"), get("/", "TE: trailers")),
    passes("a-body-with-a-length", fields("content-length: 4", method="POST"),
           get("/", "content-length: 4", method="POST", body=b"body"), b"body"),
    passes("a-body-without-a-length-goes-in-chunks", fields(method="POST"), chunked(b"4\r\nbody\r\n0\r\n\r\n"),
           b"body"),
    passes("an-empty-body-without-a-length", fields(method="POST"), chunked(b"0\r\n\r\n"), b""),
    passes("trailers-of-a-request", fields(method="POST"), chunked(b"4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n"), b"body",
           ["x-sum: 1"]),
    passes("trailers-that-mean-something-before-a-body-only-go", fields(method="POST"),
           chunked(b"4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n"), b"body", ["content-length: 4", "x-sum: 1",
                   "authorization: no"]),
    passes("what-a-client-says-of-how-it-came-goes", fields("x-forwarded-for: 1.2.3.4", "forwarded: for=1.2.3.4",
                                                            "x-real-ip: 1.2.3.4"), get()),
    passes("fields-of-an-answer-are-in-lower-case", fields(), get(),
           answers=answer("200 OK", "X-A: b", "Content-Length: 2", "x-B: C", body=b"ok"),
           returns=(":status: 200", "x-a: b", "content-length: 2", "x-b: C")),
    passes("fields-of-one-connection-go", fields(), get(),
           answers=answer("200 OK", "Connection: X-Hop", "X-Hop: no", "Keep-Alive: timeout=5", "Upgrade: h2c",
                          "Proxy-Connection: close", "Content-Length: 2", body=b"ok")),
    passes("an-answer-in-chunks", fields(), get(),
           answers=answer("200 OK", "Transfer-Encoding: chunked", body=b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n"),
           returns=(":status: 200",)),
    passes("trailers-of-an-answer", fields("te: trailers"), get("/", "TE: trailers"),
           answers=answer("200 OK", "Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"),
           returns=(":status: 200",), returned_trailers=["x-sum: 1"]),
    passes("trailers-behind-no-body", fields(), get(),
           answers=answer("200 OK", "Transfer-Encoding: chunked", body=b"0\r\nX-Sum: 1\r\n\r\n"),
           returns=(":status: 200",), returned_body=b"", returned_trailers=["x-sum: 1"]),
    passes("head-has-a-length-and-no-body", fields(method="HEAD"), get(method="HEAD"),
           answers=answer("200 OK", "Content-Length: 5"), returns=(":status: 200", "content-length: 5"),
           returned_body=b""),
    passes("204-has-neither", fields(), get(), answers=answer("204 No Content"), returns=(":status: 204",),
           returned_body=b""),
    passes("304-has-a-length-and-no-body", fields(), get(), answers=answer("304 Not Modified", "Content-Length: 5"),
           returns=(":status: 304", "content-length: 5"), returned_body=b""),
    passes("upgrade-required-is-not-told-by-a-field", fields(), get(),
           answers=answer("426 Upgrade Required", "Connection: upgrade", "Upgrade: websocket", "Content-Length: 0"),
           returns=(":status: 426", "content-length: 0"), returned_body=b""),
    a_hundred_requests_at_once_have_their_own_answers,
    informational_answers_pass,
    a_client_that_waits_for_100_gets_it_and_sends_its_body,
    an_answer_before_the_request_s_end_is_whole_and_the_rest_not_wanted,
    a_client_that_resets_a_stream_cancels_the_application_s_work,
    an_answer_that_breaks_off_is_seen_to,
    an_answer_to_a_client_that_takes_nothing_waits_and_others_do_not,
    an_upload_that_the_application_does_not_take_waits_and_others_do_not,
    failures_have_the_same_bodies_as_by_http_1_1,
]
