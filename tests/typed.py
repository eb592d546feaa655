"""`vinbatch` as it is typed, in the test's own process."""

from __future__ import annotations

import sys

import pytest

from workers import cli


def typed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: object, code: int = 0
) -> str:
    """What the command with these words printed, on both streams; it must leave with `code`."""
    monkeypatch.setattr(sys, "argv", ["vinbatch", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    out, err = capfd.readouterr()
    assert (left.value.code or 0) == code, out + err
    return out + err
