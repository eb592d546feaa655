"""A replica says how much context there is with it, and what the job's schema takes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import EngineSettings
from schemas.shape import MAX_ITEMS
from tests.vintern import checkpoints
from workers.replica import Replica


@pytest.mark.medium
@pytest.mark.parametrize(
    ("settings", "context"), [({}, 8192), ({"context_length": 1500}, 1500), ({"kv_tokens": 1200}, 1200)]
)
def test_a_replica_knows_its_room(settings: dict[str, Any], context: int) -> None:
    replica = Replica("demo", EngineSettings(max_batch=1, kernels=False, **settings), "receipt@1")
    room = asyncio.run(replica.load()).room
    assert room is not None
    assert (room.context, room.tile, room.most_lines) == (context, 256, MAX_ITEMS)
    assert 0 < room.line < room.header < context - room.prompt - room.tile


@pytest.mark.slow
def test_a_replica_of_a_large_vocabulary_learns_the_schemas_states(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, "v3_5", vocabulary="published")
    settings = EngineSettings(max_batch=1, dtype="float32", kernels=False, context_length=1024)
    _, engine = Replica(str(tmp_path), settings, "id_card@1")._load()
    assert len(engine._grammars._masks) > 300
