"""Time: nothing is held back, nothing is lost to a slow reader, and who goes away is told to the other side."""

from __future__ import annotations

import threading
import time
import zlib

from demo.waiting import CheckFailed, expect

from ..case import BRIEF_HOST, OK, Case, Stage, answer, chunked, get, own_answer, post, scripted
from ..connection import Connection, shown
from ..world import BRIEF_SECONDS

TITLE = "Streaming and cancellation"

EVENTS = answer("200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked")
FIRST, SECOND = b"9\r\ndata: 1\n\n\r\n", b"9\r\ndata: 2\n\n\r\n"
# More than a stream's window and the sockets' buffers.
HUGE = b"".join(number.to_bytes(4, "big") for number in range(3 << 20))


def _streams(stage: Stage, head: bytes, pieces: tuple[bytes, ...]) -> Connection:
    """The answer's pieces each arrive before the next one is sent; returns the client."""
    client = stage.client(get("/events"))
    application = stage.asked(client=client)
    application.send(head)
    client.wait("the answer's head", lambda: b"\r\n\r\n" in client.rest)
    for piece in pieces:
        application.send(piece)
        text = piece.split(b"\r\n")[1] if b"\r\n" in piece else piece
        client.wait(shown(text), lambda text=text: text in client.rest)
    return client


@scripted
def first_event_arrives_before_the_second_is_sent(stage: Stage) -> None:
    _streams(stage, EVENTS, (FIRST, SECOND))


@scripted
def events_without_chunks_arrive_one_by_one(stage: Stage) -> None:
    _streams(stage, answer("200 OK", "Content-Type: text/event-stream"), (b"data: 1\n\n", b"data: 2\n\n"))


@scripted
def events_in_answer_to_a_post_arrive_one_by_one(stage: Stage) -> None:
    client = stage.client(post(b"{}", "Accept: text/event-stream"))
    application = stage.asked(client=client)
    application.send(EVENTS)
    for number, event in enumerate((FIRST, SECOND), start=1):
        application.send(event)
        client.wait("the event", lambda number=number: b"data: %d" % number in client.rest)


@scripted
def parts_of_a_compressed_answer_arrive_one_by_one(stage: Stage) -> None:
    """Nothing decompresses them, or waits for more to compress."""
    compressor = zlib.compressobj(wbits=31)
    head = answer("200 OK", "Content-Type: text/event-stream", "Content-Encoding: gzip", "Vary: Accept-Encoding")
    pieces = tuple(
        compressor.compress(b"data: %d\n\n" % number) + compressor.flush(zlib.Z_SYNC_FLUSH) for number in range(3))
    client = stage.client(get("/events", "Accept-Encoding: gzip, br"))
    application = stage.asked(client=client)
    application.send(head)
    for count in range(1, len(pieces) + 1):
        application.send(pieces[count - 1])
        client.wait("the event", lambda count=count: b"".join(pieces[:count]) in _unchunked(client.rest))


def _unchunked(data: bytes) -> bytes:
    """The body so far of an answer that may be in chunks, whose end has not come."""
    head, _, rest = data.partition(b"\r\n\r\n")
    if b"transfer-encoding" not in head.lower():
        return rest
    body = b""
    while b"\r\n" in rest:
        line, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[:int(line, 16)], rest[int(line, 16) + 2:]
    return body


@scripted
def parts_of_a_download_with_a_length_arrive_one_by_one(stage: Stage) -> None:
    _streams(stage, answer("200 OK", "Content-Length: 10"), (b"a", b"b", b"c"))


@scripted
def _2_events_go_on_beyond_the_response_timeout(stage: Stage) -> None:
    """The ancestor cut bodies at its limit for the head (2)."""
    client = stage.client(get("/events", host=BRIEF_HOST))
    application = stage.asked(client=client)
    application.send(EVENTS)
    # The time that passes is what is tried here.
    time.sleep(BRIEF_SECONDS * 1.3)
    application.send(FIRST + b"0\r\n\r\n")
    expect(client.response().body == b"data: 1\n\n", "the event did not arrive")


@scripted
def application_that_does_not_answer_is_504(stage: Stage) -> None:
    client = stage.client(get(host=BRIEF_HOST))
    application = stage.asked(client=client)
    own_answer(client, 504)
    application.wait_until_ended(1)


@scripted
def parts_of_an_upload_arrive_one_by_one(stage: Stage) -> None:
    client = stage.client(chunked(b""))
    application = stage.recorder.accept()
    for part in (b"alpha", b"beta", b"gamma"):
        client.send(b"%x\r\n%s\r\n" % (len(part), part))
        application.wait(shown(part), lambda part=part: part in application.rest)
    client.send(b"0\r\n\r\n")
    stage.asked(chunked(b"e\r\nalphabetagamma\r\n0\r\n\r\n"), client).send(OK)
    expect(client.response().status == 200, "no answer")


@scripted
def request_arrives_a_byte_at_a_time(stage: Stage) -> None:
    request, client = post(b"hello", "A: b"), stage.client()
    for index in range(len(request)):
        client.send(request[index:index + 1])
    stage.asked(request, client).send(OK)
    expect(client.response().status == 200, "no answer")


@scripted
def answer_arrives_a_byte_at_a_time(stage: Stage) -> None:
    client = stage.client(get())
    application = stage.asked(client=client)
    for index in range(len(OK)):
        application.send(OK[index:index + 1])
    expect(client.response().canonical == OK, "the answer is another")


@scripted
def answer_may_come_before_the_upload_has_ended(stage: Stage) -> None:
    client = stage.client(get("/", "Content-Length: 1000", method="POST", body=b"begun"))
    application = stage.recorder.accept()
    application.wait("the beginning", lambda: b"begun" in application.rest)
    application.send(answer("403 Forbidden", "Content-Length: 0"))
    expect(client.response().status == 403, "the early answer did not arrive")
    client.wait_until_ended()
    application.wait_until_ended()


@scripted
def _3_client_that_goes_away_cancels_the_call(stage: Stage) -> None:
    """The ancestor never cancelled one (3)."""
    client = stage.client(get())
    application = stage.asked(client=client)
    client.close()
    application.wait_until_ended(1)


@scripted
def _3_client_that_crashes_in_a_download_cancels_the_call(stage: Stage) -> None:
    client = stage.client(get())
    application = stage.asked(client=client)
    application.send(EVENTS + FIRST)
    client.wait("the first event", lambda: b"data: 1" in client.rest)
    client.reset()
    application.wait_until_ended(1)


@scripted
def _3_client_that_goes_away_in_an_upload_cancels_the_call(stage: Stage) -> None:
    client = stage.client(get("/", "Content-Length: 1000", method="POST", body=b"begun"))
    application = stage.recorder.accept()
    application.wait("the beginning", lambda: b"begun" in application.rest)
    client.close()
    application.wait_until_ended(1)
    expect(application.rest.endswith(b"begun"), "the application got more than was sent")


@scripted
def client_that_ends_its_side_in_a_chunk_does_not_end_the_upload(stage: Stage) -> None:
    client = stage.client(chunked(b"5\r\nbegun\r\n5\r\nhal"))
    application = stage.recorder.accept()
    application.wait("the beginning", lambda: b"begun" in application.rest)
    client.end_output()
    application.wait_until_ended(1)
    expect(b"\r\n0\r\n" not in application.rest, "the application takes the upload for whole")


@scripted
def application_that_goes_away_in_a_download_breaks_the_clients_connection(stage: Stage) -> None:
    client = stage.client(get())
    application = stage.asked(client=client)
    application.send(EVENTS + FIRST)
    client.wait("the first event", lambda: b"data: 1" in client.rest)
    application.reset()
    client.wait_until_ended(1)
    expect(not client.rest.endswith(b"0\r\n\r\n"), "the client takes the answer for whole")


@scripted
def application_that_goes_away_in_an_upload_is_502(stage: Stage) -> None:
    client = stage.client(get("/", "Content-Length: 1000", method="POST", body=b"begun"))
    application = stage.recorder.accept()
    application.wait("the beginning", lambda: b"begun" in application.rest)
    application.reset()
    own_answer(client, 502)


@scripted
def _4_upload_that_nobody_reads_does_not_hold_up_others(stage: Stage) -> None:
    """In the ancestor one stalled everything (4)."""
    client = stage.client(get("/", f"Content-Length: {len(HUGE)}", method="POST"))
    sender = threading.Thread(target=client.send, args=(HUGE,), daemon=True)
    sender.start()
    application = stage.recorder.accept()
    application.wait("the head", lambda: b"\r\n\r\n" in application.rest)
    stage.recorder.connections.remove(application)
    for _ in range(3):
        stage.exchange()
    stage.recorder.connections.append(application)
    stage.asked(get("/", f"Content-Length: {len(HUGE)}", method="POST", body=HUGE), client).send(OK)
    sender.join()
    expect(client.response().status == 200, "no answer")


@scripted
def _6_slow_reader_gets_all_of_a_download(stage: Stage) -> None:
    """The ancestor dropped what did not fit (6)."""
    client = stage.client(get())
    application = stage.asked(client=client)
    head = answer("200 OK", f"Content-Length: {len(HUGE)}")
    sender = threading.Thread(target=application.send, args=(head + HUGE,), daemon=True)
    sender.start()
    for _ in range(3):
        stage.exchange()
    if not sender.is_alive():
        raise CheckFailed("all of it went into buffers: the client was not slow enough")
    expect(client.response(seconds=20).body == HUGE, "the body is another")
    sender.join()


CASES: list[Case] = [
    first_event_arrives_before_the_second_is_sent,
    events_without_chunks_arrive_one_by_one,
    events_in_answer_to_a_post_arrive_one_by_one,
    parts_of_a_compressed_answer_arrive_one_by_one,
    parts_of_a_download_with_a_length_arrive_one_by_one,
    _2_events_go_on_beyond_the_response_timeout,
    application_that_does_not_answer_is_504,
    parts_of_an_upload_arrive_one_by_one,
    request_arrives_a_byte_at_a_time,
    answer_arrives_a_byte_at_a_time,
    answer_may_come_before_the_upload_has_ended,
    _3_client_that_goes_away_cancels_the_call,
    _3_client_that_crashes_in_a_download_cancels_the_call,
    _3_client_that_goes_away_in_an_upload_cancels_the_call,
    client_that_ends_its_side_in_a_chunk_does_not_end_the_upload,
    application_that_goes_away_in_a_download_breaks_the_clients_connection,
    application_that_goes_away_in_an_upload_is_502,
    _4_upload_that_nobody_reads_does_not_hold_up_others,
    _6_slow_reader_gets_all_of_a_download,
]
