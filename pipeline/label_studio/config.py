"""The labeling config: what Label Studio shows of a task, and what a person may say of it."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree as Tree

from pipeline.store.doubts import Called

IMAGE, LABEL, TEXT, RULING, DOCUMENT = "image", "label", "text", "ruling", "document"  # names in results
_OF_VALUE = {"not_on_page": "không có trên trang", "illegible": "không đọc được", "accept": "đúng"}
_OF_DOCUMENT = {"reject": "loại cả tài liệu"}
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22")


def config(names: Mapping[str, Called]) -> str:
    """The config as XML, with a label for each leaf of the schema."""
    view = Tree.Element("View")
    Tree.SubElement(view, "Header", value="$document_uri")
    Tree.SubElement(view, "Text", name="why", value="$why")
    Tree.SubElement(view, "Image", name=IMAGE, value="$image", zoom="true", zoomControl="true")
    labels = Tree.SubElement(view, "RectangleLabels", name=LABEL, toName=IMAGE)
    lists = {path.partition("[]")[0] for path in names if "[]" in path}
    leaves = ((path, one) for path, one in names.items() if path not in lists and one.kind != "json")
    for number, (path, one) in enumerate(leaves):
        colour = _COLOURS[number % len(_COLOURS)]
        Tree.SubElement(labels, "Label", value=path, hint=one.label, background=colour)
    Tree.SubElement(
        view, "TextArea", name=TEXT, toName=IMAGE, perRegion="true", editable="true", maxSubmissions="1"
    )
    _choices(view, RULING, _OF_VALUE, of_region=True)
    _choices(view, DOCUMENT, _OF_DOCUMENT)
    Tree.indent(view)
    return Tree.tostring(view, encoding="unicode") + "\n"


def _choices(view: Tree.Element, name: str, choices: Mapping[str, str], *, of_region: bool = False) -> None:
    options = {"perRegion": "true"} if of_region else {}
    made = Tree.SubElement(view, "Choices", options, name=name, toName=IMAGE, choice="single")
    for value, hint in choices.items():
        Tree.SubElement(made, "Choice", value=value, hint=hint)
