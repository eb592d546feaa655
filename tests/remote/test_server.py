"""Pages asked of a real server on this machine, whatever its mood."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from infra.benchmarks.own_server import Reply, serving
from pipeline import grammar
from pipeline.errors import Reason, Unavailable, UsageError
from pipeline.keys import ModelFacts
from pipeline.records import Request
from pipeline.remote import server as servers
from pipeline.remote.facts import ServedModel
from pipeline.remote.server import Server
from pipeline.settings import ServerSettings, Settings
from schemas.registry import resolve

TEXT = '{"Số":"42"}'
KEY = "sk-very-secret"


def chat(body: dict[str, Any]) -> dict[str, Any]:
    choice: dict[str, Any] = {"message": {"content": TEXT}, "finish_reason": "stop"}
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [{"token": TEXT, "logprob": -0.1, "bytes": None}]}
    return {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 5}}


def page(id: str) -> Request:
    return Request(id, np.zeros((1, 448, 448, 3), np.uint8), f"page {id}", None)


def asked_for(body: dict[str, Any]) -> str:
    text: str = body["messages"][0]["content"][1]["text"]
    return text


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_PAUSES", (0.01, 0.02))
    monkeypatch.setattr(servers, "_TOLD_SECONDS", 0.0)


Asker = Callable[..., Server]


@pytest.fixture
def asker() -> Iterator[Asker]:
    made: list[Server] = []

    def make(
        url: str, model: str = "demo", *, patience: float = 30.0, key: str | None = None, **more: Any
    ) -> Server:
        lines = more.pop("notify", lambda line: None)
        settings = ServerSettings(url=url, **({"seconds": 20.0} | more))
        made.append(Server(ServedModel(url, model), settings, key, patience=patience, notify=lines))
        return made[-1]

    yield make
    for one in made:
        one.close()


def greeted(server: Server) -> ModelFacts:
    return server.greet("hello", None)


def test_what_passes_is_waited_for(asker: Asker) -> None:
    moods: list[Reply | None] = [
        Reply(503), Reply(429, headers={"Retry-After": "0.02"}), Reply(None), Reply(500, b"<html>"),
        Reply(200, b'{"ch'), Reply(200, b"<html>"), None,
    ]  # fmt: skip
    lines: list[str] = []
    with serving(chat, interfere=lambda body: moods.pop(0)) as served:
        found = asker(served.url, notify=lines.append).answer(page("a"))
    assert found.text == TEXT and found.finish == "stop" and not moods
    assert [line.partition(served.url[:-3])[2][:16] for line in lines] == [" does not answer", " is back"]


@pytest.mark.medium
def test_a_server_that_comes_back_to_its_port_is_found_again(asker: Asker) -> None:
    with serving(chat) as served:
        pass
    server = asker(served.url)
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(server.answer(page("a")).text))
    waiting.start()
    while server.trouble is None and waiting.is_alive():
        time.sleep(0.01)
    assert server.trouble is not None
    assert "Connection refused" in server.trouble
    with serving(chat, port=served.port):
        waiting.join(20)
    assert answers == [TEXT] and server.trouble is None


def test_patience_ends(asker: Asker) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(Unavailable, match=r"answered nothing for 0.1 s: Connection refused"):
        asker(url, patience=0.1).answer(page("a"))
    with (
        serving(chat, interfere=lambda body: Reply(429)) as served,
        pytest.raises(Unavailable, match="HTTP 429"),
    ):
        greeted(asker(served.url, patience=0.1))


def test_silence_is_not_waited_for_longer_than_one_request_may_take(asker: Asker) -> None:
    def slow(body: dict[str, Any]) -> None:
        time.sleep(0.3)

    with serving(chat, interfere=slow) as served, pytest.raises(Unavailable, match=r"no answer within 0.1 s"):
        asker(served.url, patience=0.1, seconds=0.1).answer(page("a"))


def test_what_the_server_refuses_is_the_pages_failure(asker: Asker) -> None:
    def refuse(body: dict[str, Any]) -> Reply | None:
        too_long = Reply(400, b'{"error": {"message": "context length"}}')
        return too_long if asked_for(body) == "page bad" else None

    with serving(chat, interfere=refuse) as served:
        server = asker(served.url)
        found = {said.request_id: said for said in server.generate(map(page, ["a", "bad", "b"]))}
    assert found["a"].text == found["b"].text == TEXT
    assert found["bad"].reason is Reason.server_refused and "context length" in str(found["bad"].message)


def test_a_server_that_refuses_everything_ends_the_run(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "_MOST_REFUSED", 5)
    with serving(chat, interfere=lambda body: Reply(422)) as served:
        server = asker(served.url)
        for _ in range(4):
            assert server.answer(page("a")).reason is Reason.server_refused
        with pytest.raises(UsageError, match=r"refused 5 pages in a row.*retry --reason server_refused"):
            server.answer(page("a"))


@pytest.mark.parametrize("broken", [Reply(500), Reply(None), Reply(200, b"{")], ids=["500", "breaks", "cut"])
def test_a_page_that_breaks_the_server_is_told_from_a_broken_server(asker: Asker, broken: Reply) -> None:
    asked: Counter[str] = Counter()

    def breaks(body: dict[str, Any]) -> Reply | None:
        asked[asked_for(body)] += 1
        return broken if asked_for(body) == "page bad" else None

    with serving(chat, interfere=breaks) as served:
        server = asker(served.url)
        greeted(server)
        found = server.answer(page("bad"))  # nothing else is under way: a blank page says how the server is
        assert found.reason is Reason.server_failed
        assert asked == {"page bad": 4, "hello": 5}
        assert server.answer(page("a")).text == TEXT


def test_what_can_never_work_is_one_line_without_the_key(asker: Asker) -> None:
    def line(url: str, model: str = "demo", key: str | None = None) -> str:
        with pytest.raises(UsageError) as caught:
            greeted(asker(url, model, key=key))
        assert "\n" not in caught.value.message and KEY not in caught.value.message
        return caught.value.message

    with serving(chat, key="another") as served:
        assert "wants a key" in line(served.url) and "VINBATCH_SERVER_KEY" in line(served.url)
        assert "does not take the key in VINBATCH_SERVER_KEY" in line(served.url, key=KEY)
    with serving(chat) as served:
        assert "has no model big: it has demo" in line(served.url, "big")
        assert "is not there" in line(served.url[:-3])
        assert "the key in VINBATCH_SERVER_KEY is none" in line(served.url, key="a\nb")
    with serving(chat, interfere=lambda body: Reply(400, b'{"error": "no pictures"}')) as served:
        assert "does not take what it is asked (HTTP 400: no pictures)" in line(served.url)
    with serving(chat, interfere=lambda body: Reply(200, b'{"hello": 1}')) as served:
        assert "is no server of chats" in line(served.url)
    with serving(chat, interfere=lambda body: Reply(302, headers={"Location": "http://10.0.0.1"})) as served:
        assert "HTTP 302" in line(served.url)


@pytest.mark.parametrize("complaint", ["'x-guidance' is not permitted", "Invalid schema"])
def test_a_server_that_is_strict_about_schemas_gets_a_plain_one(asker: Asker, complaint: str) -> None:
    rules = grammar.of(resolve("id_card@1"))

    def strict(body: dict[str, Any]) -> Reply | None:
        if "x-guidance" not in body["response_format"]["json_schema"]["schema"]:
            return None
        return Reply(400, json.dumps({"error": {"message": complaint}}).encode())

    with serving(chat, interfere=strict) as served:
        server = asker(served.url)
        server.greet("hello", rules)
        answered = server.answer(replace(page("a"), grammar=rules))
        assert answered.finish == "stop" and server.tells_confidence and len(served.asked) == 3


def test_a_page_that_is_longer_than_vllms_context_is_the_pages_failure(asker: Asker) -> None:
    said = (
        b'{"error":{"message":"Input length (1121) exceeds model\'s maximum context length (1024).",'
        b'"type":"BadRequestError","param":null,"code":400}}'
    )
    with serving(chat, interfere=lambda body: Reply(400, said)) as served:
        found = asker(served.url).answer(page("a"))
    assert found.reason is Reason.server_refused
    assert found.message is not None and "exceeds model's maximum context length (1024)" in found.message


def test_what_a_server_does_not_take_is_asked_otherwise(asker: Asker) -> None:
    def old(body: dict[str, Any]) -> Reply | None:
        if "max_tokens" in body:
            return Reply(400, b'{"error": {"message": "use max_completion_tokens instead"}}')
        return (
            Reply(400, b'{"error": {"message": "logprobs are not supported"}}')
            if "logprobs" in body
            else None
        )

    with serving(chat, interfere=old) as served:
        server = asker(served.url)
        facts = greeted(server)
        assert not server.tells_confidence and facts.numerics.endswith(", without logprobs")
        assert np.isnan(server.answer(page("a")).probability).all()
    with serving(chat) as other:
        told = greeted(asker(other.url))
        assert told.numerics == f"remote openai {other.url} model demo, asked by form 2"
        assert told.checkpoint_hash != facts.checkpoint_hash  # another server, another key of pages


@pytest.mark.medium
def test_no_more_are_asked_at_once_than_the_settings_allow(asker: Asker) -> None:
    lock, under_way, most = threading.Lock(), 0, 0
    three = threading.Barrier(3)  # none is answered before three are under way

    def counted(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        three.wait(60)
        with lock:
            under_way -= 1
        return chat(body)

    with serving(counted) as served:
        ids = [str(number) for number in range(12)]
        found = list(asker(served.url, requests=3).generate(map(page, ids)))
    assert sorted(said.request_id for said in found) == sorted(ids) and most == 3


def test_no_proxy_is_asked_on_this_machine(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving(chat) as served:
        assert asker(served.url).answer(page("a")).text == TEXT
    elsewhere = asker("http://nowhere.invalid/v1", patience=0.05)
    with pytest.raises(Unavailable):
        elsewhere.answer(page("a"))
    assert elsewhere.trouble is not None and "refused" in elsewhere.trouble  # that of the proxy


def test_another_system_message_is_another_key_of_pages(asker: Asker) -> None:
    with serving(chat) as served:
        own = ServedModel.of("demo", Settings(server=ServerSettings(url=served.url)))
        told = ServedModel.of("demo", Settings(server=ServerSettings(url=served.url, system="Bạn đọc.")))
        assert own is not None and told is not None
        assert own.numerics(logprobs=True) != told.numerics(logprobs=True)
        assert told.earlier(own.numerics(logprobs=True)) is None
        asker(served.url).answer(page("a"))
        server = Server(told, ServerSettings(url=served.url), None, patience=9.0, notify=lambda line: None)
        with closing(server):
            server.answer(page("a"))
        assert [len(body["messages"]) for body in served.asked] == [1, 2]


def test_where_pages_go_is_said() -> None:
    settings = Settings(server=ServerSettings(url="https://api.example.org/v1/"))
    model = ServedModel.of("big", settings)
    assert model is not None and "pages leave this machine" in model.leaving
    assert "https://api.example.org" in model.leaving
    assert "which is this machine" in ServedModel("http://127.0.0.1:8000/v1", "big").leaving
    with pytest.raises(UsageError, match="give the name"):
        ServedModel("http://127.0.0.1:8000/v1", "a b")
