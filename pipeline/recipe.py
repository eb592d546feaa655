"""What a job fixes for all of its pages."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipeline import grammar, keys, prompt
from pipeline.einvoice import trusted
from pipeline.einvoice.reading import is_in_xml
from pipeline.errors import ModelNeeded
from pipeline.filetype import Kind
from pipeline.grammar import Form
from pipeline.keys import ModelFacts
from pipeline.records import Pixels
from pipeline.room import Room, Tiling, page_tiling
from pipeline.settings import Settings
from schemas.shape import Group, Node, Repeated

if TYPE_CHECKING:
    from pipeline.trust import InForce
    from schemas.registry import SchemaSpec


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a job fixes for its pages. `key` names everything in it that can change a result.

    `xml_key` is the same for pages that need no model. A recipe made without a model serves these alone: its
    `key` is None.
    """

    spec: SchemaSpec
    settings: Settings
    question: str
    grammar: str | None  # None: answers are free text
    max_tiles: int
    key: str | None
    xml_key: str = ""
    anchors: bytes = b""  # trusted issuers of signatures
    room: Room | None = None  # None: nothing is known of the context, and pages are cut as trained
    answer_form: Form = "objects"
    numerics: str | None = None  # of the model, with what else confidences depend on
    trust: InForce | None = None  # None: scores are not calibrated
    sources: tuple[str, ...] = ()  # that the job lists: its choice of files is by paths below them

    @classmethod
    def of(cls, spec: SchemaSpec, settings: Settings, model: ModelFacts | None) -> Recipe:
        """Raises UsageError for a schema that no grammar can hold to, naming the field, and for trust anchors
        that cannot be read.
        """
        form: Form = "objects" if model is None else model.answer_form
        question, rules = prompt.build(spec, form), grammar.of(spec, form)
        paths = [path for path, _ in spec.shape.of_pages.leaves()]
        anchors = trusted.packed(settings)
        places, versions = _places(spec.shape), keys.xml_installed()
        xml_key = keys.xml_settings_key(places, versions, trusted.digest(anchors))
        if model is None:
            return cls(spec, settings, question, rules, 0, None, xml_key, anchors)
        key = keys.settings_key(settings, paths, question, rules, model, keys.installed(), spec.paper)
        max_tiles = settings.tiles.max_tiles or model.max_tiles
        return cls(
            spec,
            settings,
            question,
            rules,
            max_tiles,
            key,
            xml_key,
            anchors,
            model.room,
            form,
            _numerics(settings, model),
        )

    def tiling(self, pixels: Pixels) -> Tiling:
        """How a page, uint8 [height, width, 3], is cut."""
        return page_tiling(pixels, self.max_tiles, self.room)

    @property
    def xml_root(self) -> str | None:
        """The element that is a document of the schema; None where it says nothing of XML."""
        return self.spec.shape.xml_root if is_in_xml(self.spec.shape) else None

    def page_key(self, sha256: str, page: int, kind: Kind | None = None, *, attached: bool = False) -> str:
        """The key of a page of a file of this kind. Raises ModelNeeded where there is no model for it."""
        key = self.key if needs_model(kind) else self.xml_key
        if key is None:
            raise ModelNeeded(f"page {page} of a file of the kind {kind} needs the model")
        return keys.page_key(sha256, page, key, attached=attached)

    def failed_key(self, uri: str, page: int) -> str:
        """The key of a page of a file that could not be had: it names no result."""
        return keys.page_key(uri, page, self.xml_key)


def engines_numerics(settings: Settings, numerics: str) -> str | None:
    """The engine's own part of the `numerics` of a page; None where it was read with another second look."""
    own = numerics.removeprefix(_second_look(settings))
    return None if own == numerics else own


def _numerics(settings: Settings, model: ModelFacts) -> str:
    """All that confidences depend on beside the weights."""
    return _second_look(settings) + model.numerics


def _second_look(settings: Settings) -> str:
    below = settings.second_look
    return f"a second look below {below:g}; " if below else "no second look; "


def needs_model(kind: Kind | None) -> bool:
    """Whether the pages of a file of this kind, None where it is not known, are read by the model."""
    return kind != "xml"


def _places(node: Node) -> Any:
    """Where each field stands in XML, JSON-ready."""
    place = node.xml and asdict(node.xml)
    if isinstance(node, Group):
        return [node.name, node.xml_root, place, [_places(field) for field in node.fields]]
    inner = _places(node.item) if isinstance(node, Repeated) else node.printed.sql
    return [node.name, place, inner]
