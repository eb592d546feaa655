"""Who may come in, under which name, and what is never told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from pipeline import store as stores
from pipeline.errors import UsageError
from pipeline.review import access
from pipeline.review.access import Access, Person
from pipeline.review.app import application
from pipeline.review.desk import Desk
from pipeline.review.pictures import Pictures
from pipeline.settings import Settings
from pipeline.store import Store
from schemas.registry import resolve
from tests.store import test_decisions as decided

LAN, GUEST = "token-of-lan-for-these-tests", "token-of-a-guest-for-these-tests"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with stores.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        decided.filled(opened)
        yield opened


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    people = {LAN: Person("lan", "reviews"), GUEST: Person("khách", "reads")}
    pictures = Pictures(store, Settings())
    desk = Desk(store, pictures, lambda job: resolve(job.schema_reference))
    app = application(desk, Access(people, ["127.0.0.1:8760"]))
    yield TestClient(app, "http://127.0.0.1:8760", follow_redirects=False)
    pictures.close()


def enter(client: TestClient, token: str) -> str:
    """The session's key, as the page has it."""
    answer = client.get("/", params={"token": token})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and token not in cookie
    shown = client.get("/documents/1").text
    return shown.partition('name="key" content="')[2].partition('"')[0]


def decide(client: TestClient, key: str | None, claim: str = "") -> int:
    sent = {"decisions": [{"field": "store", "ruling": "accept"}], "claim": claim}
    headers = {} if key is None else {"X-Key": key}
    return client.post("/documents/1/decide", json=sent, headers=headers).status_code


def test_nobody_comes_in_without_a_token(client: TestClient, store: Store) -> None:
    assert client.get("/documents/1").headers["location"] == "/enter"
    assert client.get("/documents/1/pages/1.png").status_code == 303
    assert client.post("/documents/1/decide", json={}).status_code == 401
    assert client.get("/", params={"token": "guess"}).status_code == 403
    assert client.post("/enter", data={"token": "guess"}).status_code == 403
    assert [row.action for row in store.audit.rows()] == ["refused", "refused"]
    enter(client, LAN)
    assert store.audit.rows(1)[0].action == "opened"


def test_a_page_elsewhere_can_do_nothing(client: TestClient, store: Store) -> None:
    """Under another name for this machine, or from a site whose form the browser sends with the cookie."""
    key = enter(client, LAN)
    assert client.get("/", headers={"Host": "rebound.example"}).status_code == 421
    assert decide(client, None) == decide(client, "guess") == 403
    assert decide(client, key) == 409  # without a claim
    claim = client.get("/documents/1").text.partition('data-claim="')[2].partition('"')[0]
    assert decide(client, key, claim) == 200
    [made] = store.decisions.history(store.jobs.find("june"), "/in/a")
    assert (made.field, made.by) == ("store", "lan")
    policy = client.get("/documents/1").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy


def test_who_only_reads_decides_nothing(client: TestClient, store: Store) -> None:
    key = enter(client, GUEST)
    assert "Chợ Mới" in client.get("/documents/1").text
    assert decide(client, key) == 403
    assert not store.decisions.history(store.jobs.find("june"), "/in/a") and store.claims.holder(1) is None


def test_no_value_reaches_the_log(
    client: TestClient, store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = enter(client, LAN)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("Chợ Mới could not be put in order")

    monkeypatch.setattr(store.claims, "take", broken)
    with caplog.at_level(logging.DEBUG):
        answer = client.get("/documents/1")
        assert answer.status_code == 500 and "Chợ" not in answer.text
        said = {"decisions": [{"field": "total", "ruling": "correct", "raw": "Chợ Mới"}], "claim": ""}
        client.post("/documents/1/decide", json=said, headers={"X-Key": key})
    assert "RuntimeError at test_access.py" in caplog.text and "Chợ" not in caplog.text
    assert (
        client.post("/documents/1/decide", content=b"x" * 300_000, headers={"X-Key": key}).status_code == 413
    )
    assert client.post("/documents/1/decide", content=b"[]", headers={"X-Key": key}).status_code == 400


def test_values_are_escaped(client: TestClient, store: Store) -> None:
    job = store.jobs.find("june")
    decided.decide(store, job, ("store", "correct", "</textarea><script>alert(1)</script>"))
    enter(client, LAN)
    assert "<script>alert" not in client.get("/documents/1").text


@pytest.mark.parametrize(
    ("lines", "mode", "says"),
    [
        ("lan reviews", 0o600, "line 1: a line is NAME ROLE TOKEN"),
        ("lan decides a-token-that-is-long-enough", 0o600, "a role is reads or reviews"),
        ("# nobody\nlan reads short", 0o600, "line 2: a token has at least 20 characters"),
        ("lan reads same-token-same-token\nminh reviews same-token-same-token", 0o600, "line 2.*somebody"),
        ("", 0o600, "names nobody"),
        (f"lan reads {LAN}", 0o644, "chmod 600"),
    ],
)
def test_a_token_file_that_cannot_be_used_is_told_without_tokens(
    tmp_path: Path, lines: str, mode: int, says: str
) -> None:
    path = tmp_path / "tokens"
    path.write_text(lines)
    path.chmod(mode)
    with pytest.raises(UsageError, match=says) as told:
        access.from_file(path)
    assert "same-token" not in told.value.message and LAN not in told.value.message
