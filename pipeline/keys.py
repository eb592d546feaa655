"""The name of a result: a hash of everything that can change it.

A page whose key is known is never computed again. So whatever is left out here lets an old result pass for a
new one, and whatever is put in without need computes a million pages twice. The settings that cannot change
what is read are therefore listed by name; a setting that nobody thought of counts.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from pipeline.einvoice import trusted
from pipeline.errors import UsageError
from pipeline.grammar import Form
from pipeline.room import Room
from pipeline.sandbox import faces
from pipeline.sandbox.recognisers import RECOGNISERS, must_be_installed
from pipeline.settings import Settings

# Our own way from pixels to fields. Raise it with any change that gives another record for the same page.
FORM = 5
XML_FORM = 1  # the same from XML to fields

# Bounds on time, memory and company: a page that breaks them fails, and a failed page has no result to reuse.
# And what chooses how a machine computes, and with how much context: that counts by what came of it there,
# `ModelFacts.numerics` and `ModelFacts.room`.
UNINVOLVED: Mapping[str, frozenset[str]] = {
    "render": frozenset({"max_pages", "seconds", "document_seconds", "memory_bytes", "require_sandbox"}),
    "engine": frozenset(
        {
            "dtype",
            "weights",
            "device",
            "context_length",
            "max_batch",
            "kv_tokens",
            "max_passes",
            "max_waiting",
            "threads",
            "kernels",
            "warmup",
        }
    ),
}
LIBRARIES = (
    "llguidance", "pikepdf", "pillow", "pillow-heif", "pypdfium2", "simplejpeg", "torch", "zxing-cpp",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model as a replica loaded it, as far as results depend on it.

    Replicas of one job on unlike machines have unlike numerics, and so unlike keys: each lane stores its
    pages under its own. A document that goes over from one kind of machine to the other is read again from
    its first page, so that no document mixes two kinds of bits; documents that are finished stay as they are.
    The same holds for a job that is resumed on another machine, or with other settings of the engine.
    """

    checkpoint_hash: str
    max_tiles: int  # as the checkpoint was trained for the schema
    numerics: str  # everything about device, dtype and kernels that can change a bit (`vintern.backend`)
    room: Room | None = None  # the context there, and what the job's schema takes of it
    answer_form: Form = "objects"  # in which the checkpoint answers


def settings_key(
    settings: Settings,
    paths: Sequence[str],
    question: str,
    grammar: str | None,
    model: ModelFacts,
    versions: Mapping[str, str],
    paper: str | None = None,
) -> str:
    """The part of a page's key that is one for the whole job, sha256 in hex.

    Of the schema it holds the question, the grammar and the `paths` of its fields: all that the model is told
    and that a page's texts are filed under. How texts are normalised and what rules say is worked out anew
    whenever pages are merged: changing it reads no page again.

    `versions` are those of the programs that draw, cut and read pages, as `installed()` gives them.
    """
    return _digest(
        {
            "form": FORM,
            "render": _involved(settings, "render"),
            "engine": _involved(settings, "engine"),
            "max_tiles": settings.tiles.max_tiles or model.max_tiles,
            "paths": list(paths),
            "question": question,
            "grammar": grammar,
            "answer_form": model.answer_form,
            "paper": paper,  # what is asked of the picture beside its text
            "checkpoint": model.checkpoint_hash,
            "numerics": model.numerics,
            # It decides how a page is cut and how far an answer may go. The rest of the room follows from
            # question, grammar and checkpoint.
            "context": model.room and model.room.context,
            "versions": dict(versions),
            **({"second_look": settings.second_look} if settings.second_look else {}),
            **_second_reader(settings, with_versions=True),
        }
    )


def involved(settings: Settings) -> dict[str, Any]:
    """Every setting that can change a result, JSON-ready: what a job begins and must be resumed with.

    Raises UsageError for trust anchors that cannot be read.
    """
    return {
        "render": _involved(settings, "render"),
        "engine": _involved(settings, "engine"),
        "max_tiles": settings.tiles.max_tiles,
        "review_below": settings.review_below,
        "trust_anchors": trusted.digest(trusted.packed(settings)),
        "sources_of_authority": settings.sources_of_authority,
        # Which files are one document. Jobs of the time before there was a choice have none of it.
        **({"group": sorted(settings.source.group)} if settings.source.group else {}),
        **({"server": settings.server.url} if settings.server.url is not None else {}),
        **({"server_system": settings.server.system} if settings.server.system is not None else {}),
        **_second_reader(settings),
    }


def xml_settings_key(fields: Any, versions: Mapping[str, str], anchors: str | None = None) -> str:
    """As `settings_key`, of what is read from XML: neither model nor renderer has a part in it.

    `fields` says where each field of the schema stands, JSON-ready; `anchors` names those that signatures are
    judged by.
    """
    return _digest(
        {"xml_form": XML_FORM, "fields": fields, "versions": dict(versions), "trust_anchors": anchors}
    )


def xml_installed() -> dict[str, str]:
    """The versions of what parses XML and verifies its signatures."""
    return {name: version(name) for name in ("cryptography", "lxml")}


def page_key(sha256: str, page: int, settings_key: str, *, attached: bool = False) -> str:
    """The key of page `page` (1-based) of the bytes with this sha256, under a job's `settings_key`.

    `attached`: documents within the file are read as its last pages, and the first one has no flag for them.
    """
    within = {"attached": True} if attached else {}
    return _digest({"sha256": sha256, "page": page, "settings": settings_key, **within})


def installed() -> dict[str, str]:
    """The versions of the libraries that a result passes through, of Poppler ("absent" without it), and of
    the faces that stand for fonts which are not in a PDF.
    """
    others = {"poppler": _poppler(), "faces": faces.version()}
    return {name: version(name) for name in LIBRARIES} | others


def _second_reader(settings: Settings, *, with_versions: bool = False) -> dict[str, Any]:
    """Nothing where there is none, as in the keys of pages that were read before there could be one.

    Raises UsageError where one is not installed or does not run.
    """
    if not settings.second_reader.on:
        return {}
    readers = list(settings.second_reader.readers)
    for name in readers:
        must_be_installed(name)
    versions = {"versions": _recogniser_versions(readers)} if with_versions else {}
    return {"second_reader": {"readers": readers} | versions}


def _recogniser_versions(names: Sequence[str]) -> dict[str, str]:
    entries = [RECOGNISERS[name] for name in names]
    found = {package: version(package) for entry in entries for package in entry.packages}
    for program in (program for entry in entries for program in entry.programs):
        command = [program, "--version"]
        try:
            said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
        except (OSError, subprocess.SubprocessError) as error:
            raise UsageError(
                f"the second reader's program does not run: {program} --version: {error}"
            ) from error
        found[program] = said.partition("\n")[0].removeprefix(program).strip()
    return found


def _poppler() -> str:
    try:
        printed = subprocess.run(["pdftoppm", "-v"], capture_output=True, text=True, check=True, timeout=30)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "absent"
    return printed.stderr.partition("\n")[0].removeprefix("pdftoppm version ").strip()


def _involved(settings: Settings, section: str) -> dict[str, Any]:
    whole: dict[str, Any] = getattr(settings, section).model_dump(mode="json")
    return {name: value for name, value in whole.items() if name not in UNINVOLVED[section]}


def _digest(parts: Mapping[str, Any]) -> str:
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
