"""Stores as in `tests/store`, and a browser that Debian brings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.store.conftest import clock, postgres_store, sqlite_template, store, url

__all__ = ["clock", "postgres_store", "sqlite_template", "store", "url"]


@pytest.fixture
def page() -> Iterator[Page]:
    """A page in a headless Chromium."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "infra/setup.sh test installs Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser.new_page(viewport={"width": 1280, "height": 800})
        browser.close()
