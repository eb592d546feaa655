"""Everything that can change a page's result changes its key, and nothing else does."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from pipeline import keys
from pipeline.errors import UsageError
from pipeline.keys import ModelFacts
from pipeline.room import Room
from pipeline.settings import EngineSettings, RenderSettings, Settings

MODEL = ModelFacts("c" * 64, max_tiles=6, numerics="cpu float32")
GIVEN: dict[str, Any] = {
    "settings": Settings(),
    "paths": ["number", "lines[].amount"],
    "question": "Hãy đọc",
    "grammar": "{}",
    "model": MODEL,
    "versions": {"pillow": "1"},
}


def key(**changed: Any) -> str:
    return keys.settings_key(**{**GIVEN, **changed})


def test_the_same_parts_give_the_same_key_of_64_hex_digits() -> None:
    assert key() == key(settings=Settings())
    assert len(key()) == 64 == len(bytes.fromhex(key())) * 2


@pytest.mark.parametrize(
    "changed",
    [
        {"paths": ["number", "lines[].sum"]},
        {"paths": ["lines[].amount", "number"]},
        {"question": "Hãy đọc."},
        {"grammar": "{ }"},
        {"model": replace(MODEL, checkpoint_hash="d" * 64)},
        {"model": replace(MODEL, max_tiles=12)},
        {"model": replace(MODEL, numerics="cpu bfloat16")},
        {"versions": {"pillow": "2"}},
        {"versions": {"pillow": "1", "torch": "2"}},
        {"settings": Settings(tiles={"max_tiles": 4})},
        {"settings": Settings(second_look=0.5)},
        {"settings": Settings(second_look=0)},
        {"model": replace(MODEL, answer_form="rows")},
        {"model": replace(MODEL, room=Room(4096, 256, 300, 100))},
        {"paper": "card"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_each_part_of_a_job_is_in_its_key(changed: dict[str, Any]) -> None:
    assert key(**changed) != key()


def test_our_own_form_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(keys, "FORM", keys.FORM + 1)
    assert key() != before


def test_of_the_room_only_the_context_counts() -> None:
    """The rest follows from question, grammar and checkpoint."""
    usual, tight, other = Room(4096, 256, 300, 100), Room(4096, 256, 900, 50), Room(2048, 256, 300, 100)
    assert key(model=replace(MODEL, room=usual)) == key(model=replace(MODEL, room=tight))
    assert key(model=replace(MODEL, room=usual)) != key(model=replace(MODEL, room=other))


def test_pages_that_were_read_keep_their_names() -> None:
    """Whoever makes one of these another one has every page of every store read again."""
    made = {
        keys.page_key("a" * 64, 1, "k"): "5f80d6e93b08",
        keys.page_key("a" * 64, 1, "k", attached=True): "eea7f6522d4c",
        keys.xml_settings_key({"number": "SHDon"}, {"lxml": "6"}, "anchors"): "9039cbd7d4be",
        key(): "85ec191a5af5",
        key(settings=Settings(second_look=0)): "31ec63951ec4",  # as before there were second looks
    }
    assert [found[:12] for found in made] == list(made.values())


@pytest.mark.parametrize(
    "changed", [{"fields": {"number": "KHHDon"}}, {"versions": {"lxml": "7"}}, {"anchors": None}]
)
def test_each_part_of_what_reads_xml_is_in_its_key(changed: dict[str, Any]) -> None:
    given: dict[str, Any] = {"fields": {"number": "SHDon"}, "versions": {"lxml": "6"}, "anchors": "a"}
    assert keys.xml_settings_key(**given) != keys.xml_settings_key(**{**given, **changed})


def other(model: type[BaseModel], name: str) -> object:
    """A valid value of the setting that is not its default."""
    default = model.model_fields[name].default
    for candidate in (True, False, "poppler", "compile", "cuda:7", "bfloat16", 3, 300, 1.5):
        try:
            made = getattr(model(**{name: candidate}), name)
        except ValueError:
            continue
        if made != default and type(made) is type(default if default is not None else 1):
            return candidate
    raise AssertionError(f"no other value for {name}: add one to the candidates")


SECTIONS = {"render": RenderSettings, "engine": EngineSettings}
# By hand, not as `keys` has them: whoever adds a setting says here whether it can change what is read.
INVOLVED = {
    "render": {"renderer", "dpi", "max_pixels"},
    "engine": {"max_new_tokens", "place", "retry_penalty", "repetition_penalty"},
}
UNINVOLVED = {
    "render": {"max_pages", "seconds", "document_seconds", "memory_bytes", "require_sandbox"},
    # dtype, weights, device, threads, kernels and warmup choose how a machine computes: `ModelFacts.numerics`
    # context_length and kv_tokens leave a context: `ModelFacts.room`
    "engine": {
        "dtype",
        "weights",
        "device",
        "context_length",
        "threads",
        "kernels",
        "warmup",
        "max_batch",
        "kv_tokens",
        "max_passes",
        "max_waiting",
    },
}
EACH = [(section, name) for section, model in SECTIONS.items() for name in model.model_fields]


@pytest.mark.parametrize(("section", "name"), EACH)
def test_a_setting_is_in_the_key_if_it_can_change_what_is_read(section: str, name: str) -> None:
    assert (name in INVOLVED[section]) != (name in UNINVOLVED[section]), f"{section}.{name}: in which list?"
    changed = Settings(**{section: {name: other(SECTIONS[section], name)}})
    assert (key(settings=changed) != key()) == (name in INVOLVED[section])
    assert (keys.involved(changed) != keys.involved(Settings())) == (name in INVOLVED[section])


def test_every_listed_setting_exists() -> None:
    for lists in (INVOLVED, UNINVOLVED, keys.UNINVOLVED):
        for section, names in lists.items():
            assert names <= SECTIONS[section].model_fields.keys()


def test_the_models_own_tiling_asked_for_by_name_changes_nothing() -> None:
    assert key(settings=Settings(tiles={"max_tiles": 6})) == key()


def test_a_page_is_named_by_its_bytes_its_number_and_its_job() -> None:
    given = ("a" * 64, 1, "k")
    assert keys.page_key(*given) == keys.page_key(*given)
    others = [("b" * 64, 1, "k"), ("a" * 64, 2, "k"), ("a" * 64, 1, "l")]
    assert len({keys.page_key(*each) for each in [given, *others]}) == 4
    assert keys.page_key(*given) != keys.page_key(*given, attached=True)


def test_the_versions_of_what_draws_cuts_and_reads_are_known() -> None:
    found = keys.installed()
    read_by = {
        "pillow", "pillow-heif", "simplejpeg", "pypdfium2", "pikepdf", "poppler", "faces", "zxing-cpp",
        "torch", "llguidance",
    }  # fmt: skip
    assert found.keys() == read_by
    assert all(found.values())
    assert re.fullmatch(r"[0-9]+(\.[0-9]+)+", found["poppler"])
    assert keys.xml_installed().keys() == {"cryptography", "lxml"}
    assert re.fullmatch(r"[0-9]+\.\S+", keys._recogniser_versions(["tesseract"])["tesseract"])
    assert keys._recogniser_versions(["rapidocr"]).keys() == {
        "rapidocr",
        "onnxruntime",
        "opencv-python-headless",
    }


def test_a_machine_without_poppler_has_keys_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert keys.installed()["poppler"] == "absent"


def test_another_version_of_a_second_reader_reads_pages_again_and_resumes_no_other_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read_twice = Settings(second_reader={"on": True, "readers": ("tesseract",)})
    before, resumed = key(settings=read_twice), keys.involved(read_twice)
    monkeypatch.setattr(keys, "_recogniser_versions", lambda names: dict.fromkeys(names, "another"))
    assert key(settings=read_twice) != before
    assert keys.involved(read_twice) == resumed


def test_a_second_reader_that_does_not_run_is_said_and_gives_no_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else every broken one would have the same version."""
    (tmp_path / "tesseract").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (tmp_path / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(UsageError, match="tesseract --version"):
        key(settings=Settings(second_reader={"on": True, "readers": ("tesseract",)}))


def test_a_job_is_resumed_with_the_server_that_it_began_with() -> None:
    """Jobs that our own engine reads have none."""
    assert "server" not in keys.involved(Settings())
    url = "http://127.0.0.1:8000/v1"
    assert keys.involved(Settings(server={"url": url}))["server"] == url
    told = Settings(server={"url": url, "system": "Bạn đọc."})
    assert keys.involved(told) == keys.involved(Settings(server={"url": url})) | {"server_system": "Bạn đọc."}


def test_a_job_is_resumed_with_the_groups_that_it_began_with() -> None:
    """Jobs of the time before there was a choice have none, and are resumed without one."""
    assert "group" not in keys.involved(Settings())
    both = (Settings(source={"group": some}) for some in (("none", "archive"), ("archive", "none")))
    assert [keys.involved(settings)["group"] for settings in both] == [["archive", "none"]] * 2


def test_what_a_job_must_be_resumed_with_is_what_can_change_its_results() -> None:
    usual = keys.involved(Settings())
    assert usual == keys.involved(
        Settings(render={"seconds": 99}, engine={"max_batch": 2}, lane={"readers": 2})
    )
    judged = ({"review_below": 0.5}, {"sources_of_authority": ("qr",)})
    for changed in ({"render": {"dpi": 300}}, {"tiles": {"max_tiles": 3}}, *judged):
        assert keys.involved(Settings(**changed)) != usual
    for changed in judged:
        assert key(settings=Settings(**changed)) == key(), "no page is read again for it"
