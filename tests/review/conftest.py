"""A store of a thousand documents, the command that serves it, and Debian's own Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline import store as stores
from pipeline.store import Store
from tests.e2e.conftest import VINBATCH
from tests.review import samples
from tests.review.samples import Sample

TOKENS = {"lan": "a-token-of-lan-for-the-tests", "minh": "a-token-of-minh-for-the-tests"}
GUEST = "a-token-of-a-guest-who-only-looks"


@dataclass(frozen=True)
class Served:
    """The review page of a store, as a subprocess has it."""

    url: str
    store: Store
    papers: dict[str, Sample]  # by the end of their documents' names
    log: Path

    def link(self, name: str = "lan") -> str:
        return f"{self.url}/?token={TOKENS.get(name, GUEST)}"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("review")
    url = f"sqlite:///{folder / 'store.db'}"
    tokens = folder / "tokens"
    people = [f"{name} reviews {token}" for name, token in TOKENS.items()]
    tokens.write_text("# who may come\n" + "\n".join([*people, f"khách reads {GUEST}"]))
    tokens.chmod(0o600)
    tills = [samples.sample("receipt", seed, seed % 3, seed % 2) for seed in range(12)]
    long = [samples.sample("invoice", seed, 3, 2) for seed in (7, 45)]
    with stores.open(url) as store:
        for name, schema, papers, count in (
            ("tills", "receipt@1", tills, 1000),
            ("invoices", "invoice@1", long, 4),
        ):
            (folder / name).mkdir()
            samples.filled(store, folder / name, schema, papers, count, name)
        log = folder / "log"
        with log.open("wb") as told:
            command = [str(VINBATCH), "review", "--store", url, "--port", "0", "--token-file", str(tokens)]
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True)
            try:
                yield Served(_address(server), store, {paper.name: paper for paper in (*tills, *long)}, log)
            finally:
                server.terminate()
                server.communicate(timeout=30)


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"(http://\S+:\d+)/ for the people", line):
            return found[1]
    raise AssertionError(f"the review page ended with {server.wait()}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium is not None, "infra/setup.sh test installs chromium"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """A window of 1280×800 in which lan has come in; whatever the console says or asks elsewhere fails."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda asked: None if asked.url.startswith(served.url) else wrong.append(asked.url))
    opened.goto(served.link())
    yield opened
    context.close()
    assert not wrong
