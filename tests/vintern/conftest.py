"""The published tokenizer, rebuilt once for all tests that ask for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.benchmarks import published
from pipeline.vintern import tokenizer
from pipeline.vintern.constrain import Grammars
from pipeline.vintern.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def published_files(tmp_path_factory: pytest.TempPathFactory) -> dict[published.Version, Path]:
    """A directory with the tokenizer's files, for each published version."""
    root = tmp_path_factory.mktemp("published")
    found: dict[published.Version, Path] = {"v2": root / "v2", "v3_5": root / "v3_5"}
    for version, directory in found.items():
        published.write(directory, version)
    return found


@pytest.fixture(scope="session")
def published_tokenizer(published_files: dict[published.Version, Path]) -> Tokenizer:
    return tokenizer.load(published_files["v3_5"])


@pytest.fixture(scope="session")
def published_grammars(published_tokenizer: Tokenizer) -> Grammars:
    return Grammars(published_tokenizer, published_tokenizer.size)
