"""Connections: kept, closed, and used for several requests."""

from __future__ import annotations

from demo.waiting import expect

from ..case import HOST, OK, Case, Stage, answer, get, message, own_answer, passes, post, refuses, scripted

TITLE = "Connections and pipelining"

CLOSING = answer("200 OK", "Content-Length: 2", "Connection: close", body=b"ok")
KEEPING = answer("200 OK", "Content-Length: 2", "Connection: keep-alive", body=b"ok")


def _old(*fields: str) -> bytes:
    return message("GET / HTTP/1.0", f"Host: {HOST}", *fields)


@scripted
def pipelined_request_waits_for_the_answer_before_it(stage: Stage) -> None:
    client = stage.client(get("/1") + get("/2"))
    application = stage.asked(get("/1"), client)
    stage.exchange(get("/other"))
    expect(not any(connection.rest for connection in stage.recorder.connections), "the second request did not wait")
    application.send(answer("200 OK", "Content-Length: 1", body=b"1"))
    expect(client.response().body == b"1", "the first answer is another")
    stage.asked(get("/2"), client).send(answer("200 OK", "Content-Length: 1", body=b"2"))
    expect(client.response().body == b"2", "the second answer is another")


@scripted
def pipelined_request_behind_a_bad_answer_is_served(stage: Stage) -> None:
    client = stage.client(get("/1") + get("/2"))
    stage.asked(get("/1"), client).send(b"nonsense\r\n\r\n")
    own_answer(client, 502)
    stage.asked(get("/2"), client).send(OK)
    expect(client.response().status == 200, "the second request is not answered")


@scripted
def bad_request_behind_a_good_one_does_not_harm_its_answer(stage: Stage) -> None:
    client = stage.client(get("/1") + b"NONSENSE\r\n\r\n")
    stage.asked(get("/1"), client).send(OK)
    expect(client.response().status == 200, "the good request is not answered")
    own_answer(client, 400)
    client.wait_until_ended()


@scripted
def requests_behind_a_refused_one_are_not_served(stage: Stage) -> None:
    client = stage.client(b"BAD LINE HERE HTTP/1.1\r\nHost: app.example.com\r\n\r\n" + get("/2"))
    own_answer(client, 400)
    client.wait_until_ended()
    expect(not client.rest, "more came behind the refusal")
    stage.nothing_arrived()


@scripted
def hundred_requests_on_one_connection(stage: Stage) -> None:
    client = stage.client()
    for number in range(100):
        client.send(get(f"/{number}"))
        stage.asked(get(f"/{number}"), client).send(
            answer("200 OK", f"Content-Length: {len(str(number))}", body=str(number).encode()))
        expect(client.response().body == str(number).encode(), f"answer {number} is another")


@scripted
def application_connection_that_closed_while_idle_is_not_used(stage: Stage) -> None:
    client = stage.client(get("/1"))
    application = stage.asked(get("/1"), client)
    application.send(OK)
    expect(client.response().status == 200, "no answer")
    application.close()
    client.send(get("/2"))
    stage.asked(get("/2"), client).send(OK)
    expect(client.response().status == 200, "no answer on a new connection")


@scripted
def answer_that_nobody_asked_for_is_never_the_next_requests(stage: Stage) -> None:
    """Where an application is made to send two answers for one request, the second is nobody's."""
    client = stage.client(get("/1"))
    stage.asked(get("/1"), client).send(OK + answer("200 OK", "Content-Length: 4", body=b"evil"))
    expect(client.response().body == b"ok", "the answer is another")
    client.send(get("/2"))
    stage.asked(get("/2"), client).send(OK)
    expect(client.response().body == b"ok", "the unasked answer was given to the next request")


@scripted
def bytes_behind_a_head_answer_are_never_the_next_requests(stage: Stage) -> None:
    client = stage.client(get("/1", method="HEAD"))
    stage.asked(get("/1", method="HEAD"), client).send(answer("200 OK", "Content-Length: 4", body=b"evil"))
    expect(client.response(b"HEAD").status == 200, "no answer")
    client.send(get("/2"))
    stage.asked(get("/2"), client).send(OK)
    expect(client.response().body == b"ok", "the unasked body was given to the next request")


@scripted
def get_on_a_kept_connection_that_ends_is_asked_again_once(stage: Stage) -> None:
    client = stage.client(get("/1"))
    application = stage.asked(get("/1"), client)
    application.send(OK)
    expect(client.response().status == 200, "no answer")
    for request, is_last in ((get("/2"), False), (get("/3"), True)):
        client.send(request)
        stage.asked(request, client).close()
        again = stage.asked(request, client)
        expect(again is not application, "it was asked on the connection that had ended")
        if is_last:
            again.close()
            own_answer(client, 502)
            return stage.nothing_arrived()
        again.send(OK)
        expect(client.response().status == 200, "no answer to the second attempt")
    return None


@scripted
def post_on_a_kept_connection_that_ends_is_never_asked_again(stage: Stage) -> None:
    client = stage.client(get("/1"))
    stage.asked(get("/1"), client).send(OK)
    expect(client.response().status == 200, "no answer")
    client.send(post(b"order"))
    stage.asked(post(b"order"), client).close()
    own_answer(client, 502)
    stage.nothing_arrived()


CASES: list[Case] = [
    passes("kept-open-by-default", get(), stays_open=True),
    passes("closed-where-the-client-wants-it", get("/", "Connection: close"), get(), returns=CLOSING, stays_open=False),
    passes("closed-where-close-is-one-of-several", get("/", "Connection: x, Close"), get(), returns=CLOSING,
           stays_open=False),
    passes("http-1.0-is-closed", _old(), get(), returns=CLOSING, stays_open=False),
    passes("http-1.0-keeps-open-on-demand", _old("Connection: keep-alive"), get(), returns=KEEPING, stays_open=True),
    passes("http-1.0-wants-keeping-and-closing", _old("Connection: keep-alive, close"), get(), returns=CLOSING,
           stays_open=False),
    passes("http-1.0-post", message("POST / HTTP/1.0", f"Host: {HOST}", "Content-Length: 2", body=b"hi"),
           post(b"hi"), returns=CLOSING, stays_open=False),
    refuses("http-1.0-without-host", message("GET / HTTP/1.0")),
    passes("application-that-closes-does-not-close-the-client", get(), answers=CLOSING, returns=OK,
           application_closes=True, stays_open=True),
    passes("application-of-http-1.0", get(), answers=b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", returns=OK,
           application_closes=True, stays_open=True),
    passes("pipelined-requests-are-answered-in-order", get("/1") + get("/2") + get("/3"),
           [get("/1"), get("/2"), get("/3")],
           [answer("200 OK", "Content-Length: 1", body=bytes([digit])) for digit in b"123"], stays_open=True),
    passes("pipelined-with-bodies", post(b"one") + post(b"") + post(b"three") + get("/4"),
           [post(b"one"), post(b""), post(b"three"), get("/4")], [OK] * 4, stays_open=True),
    passes("pipelined-behind-chunks", get("/", "Transfer-Encoding: chunked", method="POST",
                                          body=b"2\r\nhi\r\n0\r\n\r\n" + get("/2")),
           [get("/", "Transfer-Encoding: chunked", method="POST", body=b"2\r\nhi\r\n0\r\n\r\n"), get("/2")], [OK] * 2,
           stays_open=True),
    passes("empty-lines-between-requests", get("/1") + b"\r\n\r\n" + get("/2"), [get("/1"), get("/2")], [OK] * 2),
    pipelined_request_waits_for_the_answer_before_it,
    pipelined_request_behind_a_bad_answer_is_served,
    bad_request_behind_a_good_one_does_not_harm_its_answer,
    requests_behind_a_refused_one_are_not_served,
    hundred_requests_on_one_connection,
    application_connection_that_closed_while_idle_is_not_used,
    answer_that_nobody_asked_for_is_never_the_next_requests,
    bytes_behind_a_head_answer_are_never_the_next_requests,
    get_on_a_kept_connection_that_ends_is_asked_again_once,
    post_on_a_kept_connection_that_ends_is_never_asked_again,
]
