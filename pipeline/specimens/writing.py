"""A folder of specimens, with what stands on them in truth.jsonl."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from pipeline.errors import UsageError
from pipeline.records import Tier
from pipeline.specimens import authority, einvoice, files
from pipeline.specimens.making import KINDS, Preset, make
from pipeline.specimens.specimen import Specimen
from pipeline.specimens.tiers import TIERS

TRUTH = "truth.jsonl"
ANCHORS = ".trust-anchors"  # hidden, so that it is no document of the folder
MOST = 1_000_000
_USUAL = {
    "id_card_front": ("jpeg", "jpeg", "png", "scanned-pdf", "tiff", "pdf"),
    "id_card_back": ("jpeg", "jpeg", "png", "scanned-pdf", "tiff", "pdf"),
    "id_card": ("scanned-pdf", "scanned-pdf", "tiff", "pdf"),
    "receipt": ("jpeg", "jpeg", "png", "scanned-pdf", "tiff", "pdf"),
    "invoice": ("pdf", "pdf", "scanned-pdf", "tiff", "jpeg", "png"),
    "blank": ("jpeg", "png", "scanned-pdf", "tiff"),
    "other": ("jpeg", "png", "scanned-pdf", "pdf", "tiff"),
}
_USUAL_OF: Mapping[Tier, tuple[str, ...]] = {
    "clean": ("pdf", "pdf", "png", "tiff"),
    "scan": ("scanned-pdf", "scanned-pdf", "jpeg", "tiff"),
    "noisy": ("scanned-pdf", "scanned-pdf", "jpeg", "tiff"),
    "photo": ("jpeg", "jpeg", "jpeg", "scanned-pdf"),
}


def write(
    out_dir: str | Path,
    count: int,
    kinds: Sequence[str],
    seed: int,
    *,
    worn: bool | None = None,
    tiers: Sequence[str] = (),
    formats: Sequence[str] = (),
    font_set: str = "standard",
    layouts: str | None = None,
    blank: float = 0.0,
    most_lines: int | None = None,
    xml: bool = False,
) -> list[dict[str, Any]]:
    """Writes `count` documents, the kinds by turns, and truth.jsonl; returns its lines as dicts.

    worn      True or False for all, None for either by chance; a PDF with text is never worn
    tiers     instead of `worn`: those to choose from, "clean", "scan", "noisy", "photo"; each line of
              truth.jsonl then has its "tier"
    formats   those to choose from: "pdf", "pdf-fonts-absent", "scanned-pdf", "jpeg", "png", "tiff"; none:
              the usual ones
    blank     chance that a value is left out
    most_lines  of an invoice; None: up to 60
    xml       beside each invoice its e-invoice XML, signed by a test authority, of the same name but for the
              suffix and with a line of its own in truth.jsonl; no value is left out of it. The authority's
              certificate is put into the folder's ANCHORS

    The kind "id_card" is a front, a back, or both sides in one file. The same arguments give the same bytes,
    as long as the same fonts are installed, so repeating the command changes nothing. Raises UsageError for
    what is not known, and when the folder holds another truth.jsonl.
    """
    _check(count, kinds, formats, blank)
    if xml and "invoice" not in kinds:
        raise UsageError("only invoices have XML: ask for the kind invoice")
    ways = _Ways(worn, _checked(tiers, worn, formats), tuple(formats))
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    before = _lines(folder / TRUTH)
    how: dict[str, Any] = {"fonts": font_set, "layouts": layouts, "most_lines": most_lines}
    lines: list[dict[str, Any]] = []
    for index in range(count):
        kind = kinds[index % len(kinds)]
        own = seed * MOST + index
        specimen, form, preset = _one(kind, own, ways, {**how, "blank": blank})
        name = f"{kind}-{index + 1:05d}"
        printed = f"{name}{files.SUFFIX[form]}"
        written = {printed: files.encode(specimen, form)}
        lines.append(describe(specimen, printed, form) | ({"tier": preset} if tiers else {}))
        if xml and kind == "invoice":
            whole = specimen.truth
            if blank:
                whole = make(kind, own, preset=preset, **how).truth
            data, line = _einvoice(specimen, whole, own, f"{name}.xml")
            written[f"{name}.xml"] = data
            lines.append(line)
        if before and before[: len(lines)] != [_text(line) for line in lines]:
            raise UsageError(f"{folder / TRUTH} holds the truth of other documents: choose another folder")
        for file, content in written.items():
            _keep(folder / file, content)
    if len(before) > len(lines):
        raise UsageError(f"{folder / TRUTH} holds the truth of {len(before)} documents, not {len(lines)}")
    _keep(folder / TRUTH, "".join(f"{_text(line)}\n" for line in lines).encode())
    if xml:
        (folder / ANCHORS).mkdir(exist_ok=True)
        _keep(
            folder / ANCHORS / "specimen-authority.pem",
            authority.root().certificate.public_bytes(Encoding.PEM),
        )
    return lines


def _einvoice(
    specimen: Specimen, truth: dict[str, Any], seed: int, file_name: str
) -> tuple[bytes, dict[str, Any]]:
    """Signed XML of an invoice, and its line of truth.jsonl."""
    form = einvoice.Form.drawn(seed)
    data = authority.sign(einvoice.xml_of(truth, form), way=authority.Way.drawn(seed), seed=seed)
    told = einvoice.truth_of(truth, form)
    line = {
        "file": file_name, "kind": "invoice", "schema": specimen.schema, "format": "xml", "pages": 1,
        "layout": form.version, "font": "", "worn": False, "record": told["record"],
        "fields": [{"path": path, **field} for path, field in told["fields"].items()],
    }  # fmt: skip
    return data, line


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False)


def _keep(path: Path, data: bytes) -> None:
    """Writes the file, unless it is there already: an unchanged document keeps its time of change."""
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)


def describe(specimen: Specimen, file_name: str, form: str) -> dict[str, Any]:
    """The line of truth.jsonl: `record` in normal forms, and of each printed value its text, page and box."""
    return {
        "file": file_name,
        "kind": specimen.kind,
        "schema": specimen.schema,
        "format": form,
        "pages": len(specimen.pages),
        "layout": specimen.layout,
        "font": specimen.font,
        "worn": specimen.worn and form not in files.TEXT,
        "record": specimen.truth["record"],
        "fields": [
            {"path": path, **field, "box": [round(side, 5) for side in field["box"]]}
            for path, field in specimen.truth["fields"].items()
        ],
    }


@dataclass(frozen=True, slots=True)
class _Ways:
    """What a caller of `write` leaves to chance, and among what."""

    worn: bool | None
    tiers: tuple[Tier, ...]
    formats: tuple[str, ...]

    def drawn(self, rng: Random, side: str) -> tuple[Preset, str, tuple[str, ...]]:
        """How one document comes in, in what form, and the forms that it could have had."""
        if self.tiers:
            tier = rng.choice(self.tiers)
            usual = _USUAL_OF[tier] if not self.formats else self.formats
            forms = tuple(form for form in usual if tier == "clean" or form not in files.TEXT)
            return tier, rng.choice(forms), forms
        forms = self.formats or _USUAL[side]
        form = rng.choice(forms)
        is_worn = (rng.random() < 0.5 if self.worn is None else self.worn) and form not in files.TEXT
        return "worn" if is_worn else "clean", form, forms


def _one(kind: str, seed: int, ways: _Ways, how: Mapping[str, Any]) -> tuple[Specimen, str, Preset]:
    """`how`: what `make` is told beside the preset."""
    rng = Random(f"file:{kind}:{seed}")
    side = kind
    if kind == "id_card":
        single = bool(ways.formats) and set(ways.formats) <= set(files.ONE_PAGE)
        chances = (4, 2, 0 if single else 4)
        side = rng.choices(("id_card_front", "id_card_back", "id_card"), chances)[0]
    preset, form, forms = ways.drawn(rng, side)
    specimen = make(side, seed, preset=preset, **how)
    if len(specimen.pages) > 1 and form in files.ONE_PAGE:
        several = [choice for choice in forms if choice not in files.ONE_PAGE]
        form = rng.choice(several or ["tiff"])
    return specimen, form, preset


def _checked(tiers: Sequence[str], worn: bool | None, formats: Sequence[str]) -> tuple[Tier, ...]:
    """The tiers by their names. Raises UsageError where there is no such tier, or no such document."""
    for name in tiers:
        if name not in TIERS:
            raise UsageError(f"unknown tier {name!r}: choose from {', '.join(TIERS)}")
    if tiers and worn is not None:
        raise UsageError("a tier says how worn the documents are: leave out --worn and --clean")
    if set(tiers) - {"clean"} and formats and set(formats) <= set(files.TEXT):
        raise UsageError(
            "a PDF with text is clean: choose pictures (jpeg, scanned-pdf …) for the other tiers"
        )
    return tuple(tier for name in tiers for tier in TIERS if tier == name)


def _check(count: int, kinds: Sequence[str], formats: Sequence[str], blank: float) -> None:
    if not 0 < count <= MOST:
        raise UsageError(f"cannot write {count} specimens: ask for 1 to {MOST:,}")
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"unknown kind of specimen {kind!r}: choose from {', '.join(KINDS)}")
    if not kinds:
        raise UsageError(f"no kind of specimen named: choose from {', '.join(KINDS)}")
    for form in formats:
        if form not in files.FORMS:
            raise UsageError(f"unknown format {form!r}: choose from {', '.join(files.FORMS)}")
    if not 0 <= blank <= 1:
        raise UsageError(f"blank is a chance from 0 to 1, not {blank}")
