"""Answers of the gateway itself: their status, and how the connection goes on."""

from __future__ import annotations

from demo.waiting import expect

from ..case import OK, REFUSED_HOST, Case, Stage, get, own_answer, post, refuses, scripted

TITLE = "The gateway's own answers"


@scripted
def refusal_of_a_host_leaves_the_connection_open(stage: Stage) -> None:
    client = stage.client(get(host="unknown.example.com"))
    own_answer(client, 404)
    client.send(get("/2"))
    stage.asked(get("/2"), client).send(OK)
    expect(client.response().status == 200, "no answer")


@scripted
def refusal_of_a_head_request_has_no_body(stage: Stage) -> None:
    client = stage.client(get(host="unknown.example.com", method="HEAD"))
    own_answer(client, 404, b"HEAD")
    client.send(get("/2"))
    stage.asked(get("/2"), client).send(OK)
    # Where the refusal had a body, this would not be an answer.
    expect(client.response().status == 200, "no answer")


@scripted
def refused_requests_body_is_not_taken_for_the_next_request(stage: Stage) -> None:
    client = stage.client(
        get("/", "Content-Length: 1000", method="POST", host="unknown.example.com", body=get("/evil")))
    own_answer(client, 404)
    client.wait_until_ended()
    stage.nothing_arrived()


@scripted
def refusal_closes_with_the_word_for_it(stage: Stage) -> None:
    client = stage.client(b"nonsense\r\n\r\n")
    got = own_answer(client, 400)
    expect(got.values("Connection") == [b"close"], f"its Connection is {got.values('Connection')}")
    client.wait_until_ended()


@scripted
def refusal_arrives_although_the_client_goes_on_sending(stage: Stage) -> None:
    """A connection closed over unread bytes is reset, and the answer lost on its way."""
    client = stage.client(b"nonsense\r\n\r\n" + b"x" * 1_000_000)
    own_answer(client, 400)


@scripted
def refusals_name_a_type_and_forbid_storing(stage: Stage) -> None:
    got = own_answer(stage.client(get(host="unknown.example.com")), 404)
    expect(len(got.values("Content-Type")) == 1, "it has no Content-Type")
    expect(got.values("Cache-Control") == [b"no-store"], f"its Cache-Control is {got.values('Cache-Control')}")


CASES: list[Case] = [
    refuses("host-that-is-not-served", get(host="unknown.example.com"), 404, closes=False),
    refuses("host-that-is-an-address", get(host="127.0.0.1"), 404, closes=False),
    refuses("host-that-is-an-address-of-ipv6", get(host="[::1]:80"), 404, closes=False),
    refuses("host-that-is-a-wildcard", get(host="*.example.com"), 404, closes=False),
    refuses("host-below-a-served-one", get(host="a.app.example.com"), 404, closes=False),
    refuses("service-that-nobody-listens-at", get(host=REFUSED_HOST), 502, closes=False),
    refuses("upload-to-a-service-that-nobody-listens-at", post(b"hello").replace(
        b"app.example.com", REFUSED_HOST.encode()), 502, closes=False),
    refusal_of_a_host_leaves_the_connection_open,
    refusal_of_a_head_request_has_no_body,
    refused_requests_body_is_not_taken_for_the_next_request,
    refusal_closes_with_the_word_for_it,
    refusal_arrives_although_the_client_goes_on_sending,
    refusals_name_a_type_and_forbid_storing,
]
