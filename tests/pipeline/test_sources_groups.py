"""Which files are one document, and what is told of those that cannot be put together."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import Reason, UsageError
from pipeline.records import DocumentRef
from pipeline.settings import SourceSettings
from pipeline.sources import groups, list_documents, together
from pipeline.sources.looks import LARGEST
from tests.pipeline.test_sources import make_zip

CARD = "{id}-front.jpg,{id}-back.jpg"


def listed(source: Path | str, *group: str, **settings: object) -> list[DocumentRef]:
    return list(list_documents([str(source)], SourceSettings(attempts=2, group=group, **settings)))  # type: ignore[arg-type]


def shown(found: list[DocumentRef], base: Path) -> list[str]:
    """Each document by its files, those that cannot be had in brackets."""
    names = []
    for ref in found:
        files = [
            f"({part.uri})" if part.failure else part.uri for part in ref.parts or (ref,)
        ]  # fmt: skip
        names.append(" + ".join(files).replace(f"{base}/", ""))
    return names


def folder_of(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"%PDF-")
    return path


def test_a_list_says_which_files_are_one_document(tmp_path: Path) -> None:
    folder_of(tmp_path, "f1.png", "b1.png", "f2.png", "alone.png")
    (tmp_path / "list.csv").write_text(
        "path,group\nf1.png,1\nalone.png,\nf2.png,2\nb1.png,1\nmissing.png,2\n../outside.png,2\n"
    )
    found = listed(tmp_path / "list.csv")
    assert shown(found, tmp_path) == [
        "f1.png + b1.png",
        "alone.png",
        "f2.png + (missing.png) + (list.csv#line-7)",
    ]
    assert [ref.group for ref in found] == ["group 1 of the list", None, "group 2 of the list"]
    assert found[0].uri == found[0].parts[0].uri
    outside = found[2].parts[2].failure
    assert outside is not None and outside.reason is Reason.outside_root
    entries = [
        {"uri": "f1.png", "group": 7, "etag": "e", "size": 3},
        {"uri": "b1.png", "group": "7", "size": 4},
    ]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    [ref] = listed(tmp_path / "list.jsonl")
    assert (ref.size, ref.etag, [part.size for part in ref.parts]) == (7, "e", [3, 4])


def test_what_is_wrong_with_a_group_is_said(tmp_path: Path) -> None:
    entries = [{"uri": "a.png", "group": ["1"]}, {"uri": "b.png", "group": "x" * 501}, {"uri": "c.png"}]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    first, second, third = listed(tmp_path / "list.jsonl")
    assert first.failure is not None and "group" in first.failure.message
    assert second.failure is not None and "500 characters" in second.failure.message
    assert third.failure is None
    many = [{"uri": f"{n}.png", "group": 1} for n in range(groups.MOST_PARTS + 1)]
    (tmp_path / "many.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in many))
    found = listed(tmp_path / "many.jsonl")
    assert len(found) == len(many)
    assert all(ref.failure is not None and "at most 200" in ref.failure.message for ref in found)


def test_a_group_whose_entries_lie_far_apart_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "HELD", 5)
    folder_of(tmp_path, *(f"{n}.png" for n in range(12)))
    entries = [{"uri": f"{n}.png", "group": min(n, 6) % 6} for n in range(12)]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    found = listed(tmp_path / "list.jsonl")
    assert sum(len(ref.parts or (ref,)) for ref in found) == 12
    late = [ref for ref in found if ref.failure is not None]
    assert late and all("group 0 ended" in ref.failure.message for ref in late if ref.failure)


def test_a_list_may_name_an_archive_as_a_part(tmp_path: Path) -> None:
    make_zip(tmp_path / "mail.zip", {"1.pdf": b"%PDF-", "2.png": b"x"})
    folder_of(tmp_path, "photo.jpg")
    entries = [{"uri": "mail.zip", "group": "a"}, {"uri": "photo.jpg", "group": "a"}]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    assert shown(listed(tmp_path / "list.jsonl"), tmp_path) == [
        "mail.zip!/1.pdf + mail.zip!/2.png + photo.jpg"
    ]


def test_front_and_back_are_one_document_by_a_pattern_of_names(tmp_path: Path) -> None:
    names = ["1-front.jpg", "1-back.jpg", "10-back.jpg", "10-front.jpg", "2-front.jpg", "notes.pdf"]
    folder_of(tmp_path, *names, "deep/1-back.jpg", "deep/1-front.jpg", "deep/3-back.jpg")
    found = listed(tmp_path, CARD)
    assert shown(found, tmp_path) == [
        "1-front.jpg + 1-back.jpg",
        "10-front.jpg + 10-back.jpg",
        "2-front.jpg + (2-back.jpg)",
        "deep/1-front.jpg + deep/1-back.jpg",
        "(deep/3-front.jpg) + deep/3-back.jpg",
        "notes.pdf",
    ]
    missing = found[2].parts[1].failure
    assert missing is not None and missing.reason is Reason.object_missing
    assert f"{tmp_path}/2-back.jpg is not there; --group {CARD} wants it with" in missing.message
    assert len(listed(tmp_path)) == len(names) + 3


def test_capitals_and_letters_taken_apart_do_not_keep_files_from_each_other(tmp_path: Path) -> None:
    """Cameras write .JPG, and a Mac writes ặ as a letter and two marks."""
    apart = unicodedata.normalize("NFD", "Thẻ 3-mặt sau.jpg")
    names = [
        "1-front.jpg",
        "1-BACK.JPG",
        "2-Front.JPG",
        "2-Back.JPG",
        "Thẻ 3-mặt trước.jpg",
        apart,
        "A-FRONT.jpg",
    ]
    folder_of(tmp_path, *names)
    pair = "{id}-mặt trước.jpg,{id}-mặt sau.jpg"
    found = [
        "1-front.jpg + 1-BACK.JPG",
        "2-Front.JPG + 2-Back.JPG",
        "A-FRONT.jpg + (A-back.jpg)",
        f"Thẻ 3-mặt trước.jpg + {apart}",
    ]
    assert shown(listed(tmp_path, CARD, pair), tmp_path) == found
    pair = unicodedata.normalize("NFD", pair)
    assert shown(listed(tmp_path, CARD.upper().replace("ID", "id"), pair), tmp_path) == [
        one.replace("back.jpg)", "BACK.JPG)") for one in found
    ]
    with pytest.raises(UsageError, match="all of them different"):
        listed(tmp_path, "{id}.jpg,{id}.JPG")
    folder_of(tmp_path / "mail", unicodedata.normalize("NFD", "Hoá đơn.pdf"), "Hoá đơn.xml")
    [ref] = listed(tmp_path / "mail")
    assert [part.uri[-4:] for part in ref.parts] == [".pdf", ".xml"]


def test_a_second_file_for_one_place_is_not_lost(tmp_path: Path) -> None:
    folder_of(tmp_path, "1-back.jpg", "1-front.JPG", "1-front.jpg")
    assert sorted(shown(listed(tmp_path, CARD), tmp_path)) == [
        "1-front.JPG + 1-back.jpg",
        "1-front.jpg + (1-back.jpg)",
    ]


def test_a_pattern_that_no_name_follows_is_known_as_idle(tmp_path: Path) -> None:
    folder_of(tmp_path, "1-front.jpg", "2.pdf")
    settings = SourceSettings(group=(CARD, "{id}_1.jpg,{id}_2.jpg", "archive"))
    rules = groups.Rules(settings)
    assert len(list(list_documents([str(tmp_path)], settings, rules=rules))) == 2
    assert rules.idle == {"{id}_1.jpg,{id}_2.jpg"}


def test_files_of_a_lists_groups_are_looked_up(tmp_path: Path) -> None:
    folder_of(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "list.csv").write_text("path,group,size\na.png,1,77\nmissing.png,1,\nc.png,,\n")
    first, single = listed(tmp_path / "list.csv")
    there, missing = first.parts
    assert there.size == 77 and there.etag is not None
    assert missing.failure is not None and missing.failure.reason is Reason.object_missing
    assert single.etag is None
    folder_of(tmp_path, "missing.png")
    first, _ = listed(tmp_path / "list.csv")
    assert [part.failure for part in first.parts] == [None, None]


def test_what_is_left_out_is_no_part_of_anything(tmp_path: Path) -> None:
    """A part that is there and not wanted must not be read by the back door."""
    folder_of(tmp_path, "1-front.jpg", "1-back.jpg", "2-front.jpg", "2-back.jpg")
    found = listed(tmp_path, CARD, exclude=("1-back*",))
    assert shown(found, tmp_path) == ["1-front.jpg + (1-back.jpg)", "2-front.jpg + 2-back.jpg"]


def test_the_file_with_the_shorter_id_is_meant(tmp_path: Path) -> None:
    folder_of(tmp_path, "1.jpg", "1-back.jpg", "2.jpg", "2-back.jpg")
    assert shown(listed(tmp_path, "{id}.jpg,{id}-back.jpg"), tmp_path) == [
        "1.jpg + 1-back.jpg",
        "2.jpg + 2-back.jpg",
    ]
    folder_of(tmp_path / "named before", "back-z.jpg", "z.jpg")
    assert shown(listed(tmp_path / "named before", "{id}.jpg,back-{id}.jpg"), tmp_path / "named before") == [
        "z.jpg + back-z.jpg"
    ]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{id}-front.jpg", "two or more names"),
        ("{id}.jpg,{id}.jpg", "all of them different"),
        ("front.jpg,{id}-back.jpg", "{id} once"),
        ("{id}{id}.jpg,{id}-back.jpg", "{id} once"),
        ("front/{id}.jpg,back/{id}.jpg", "lie in one folder"),
    ],
)
def test_a_pattern_that_cannot_be_followed_is_refused_at_once(
    tmp_path: Path, pattern: str, said: str
) -> None:
    folder_of(tmp_path, "a.pdf")
    with pytest.raises(UsageError, match=said):
        list_documents([str(tmp_path)], SourceSettings(group=(pattern,)))


def test_a_pdf_and_an_xml_of_one_name_are_one_document() -> None:
    """Unless it is said that they are not: the sum of an invoice counted twice would be wrong in silence."""
    names = [
        "a.pdf",
        "a.png",
        "a.xml",
        "b.pdf",
        "b/a.xml",
        "c.XML",
        "c.pdf",
        "d.xml",
        "e-1.pdf",
        "e.pdf",
        "e.xml",
    ]
    found = [DocumentRef(f"/in/{name}", etag=name) for name in sorted(names)]
    rules = groups.Rules(SourceSettings())
    made = list(groups.grouped(found, rules, lambda uri: uri.split("/")))
    assert sorted(shown(made, Path("/in"))) == [
        "a.pdf + a.xml", "a.png", "b.pdf", "b/a.xml", "c.pdf + c.XML", "d.xml", "e-1.pdf", "e.pdf + e.xml"
    ]  # fmt: skip
    assert {ref.group for ref in made if ref.parts} == {"a PDF and an XML of one name"}
    alike = [DocumentRef(f"/in/{name}") for name in ("a.PDF", "a.pdf", "b.XML", "b.xml")]
    assert list(groups.grouped(alike, rules, None)) == alike  # two of a kind are no pair
    apart = groups.Rules(SourceSettings(group=("none",)))
    assert list(groups.grouped(found, apart, None)) == found


@pytest.mark.medium
def test_a_million_names_are_put_together_a_few_at_a_time() -> None:
    """A bucket gives its keys sorted: nothing waits for longer than its own names."""
    ahead = 0
    taken = 0

    def keys() -> Iterator[DocumentRef]:
        nonlocal ahead
        for number in range(30_000):
            for side in ("back.jpg", "front.jpg") if number % 3 else ("invoice.pdf",):
                ahead = max(ahead, number - taken)
                yield DocumentRef(f"s3://b/{number:07}-{side}")

    rules = groups.Rules(SourceSettings(group=(CARD,)))
    for ref in groups.grouped(keys(), rules, lambda uri: uri):
        taken = int(ref.uri.removeprefix("s3://b/")[:7])
        assert len(ref.parts) == (2 if taken % 3 else 0)
    assert taken == 29_999 and ahead < 5


def test_names_that_lie_far_apart_wait_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that come too late, each half says what it lacks; the ledger puts the halves together."""
    monkeypatch.setattr(groups, "HELD", 50)
    found = [
        DocumentRef(f"s3://b/{side}-{number:03}.jpg") for side in ("back", "front") for number in range(100)
    ]
    rules = groups.Rules(SourceSettings(group=("front-{id}.jpg,back-{id}.jpg",)))
    made = list(groups.grouped(found, rules, lambda uri: uri))
    assert {ref.uri for ref in made} == {f"s3://b/front-{number:03}.jpg" for number in range(100)}
    assert all(len(ref.parts) == 2 for ref in made)
    whole = [ref for ref in made if not any(part.failure for part in ref.parts)]
    assert len(whole) == 50 and len(made) == 150


def test_a_source_that_is_not_sorted_after_all_loses_nothing() -> None:
    found = [DocumentRef(f"s3://b/{name}") for name in ("c.xml", "a.pdf", "b.pdf", "a.xml", "b.xml", "c.pdf")]
    made = list(groups.grouped(found, groups.Rules(SourceSettings()), lambda uri: uri))
    assert sorted(shown(made, Path("s3://b"))) == [
        "s3://b/a.pdf + s3://b/a.xml", "s3://b/b.pdf + s3://b/b.xml", "s3://b/c.pdf + s3://b/c.xml"
    ]  # fmt: skip


def test_members_of_a_mailed_zip_are_one_document(tmp_path: Path) -> None:
    archive = "/in/mail.zip"

    def one(*names: str, group: tuple[str, ...] = ()) -> list[str]:
        members = [DocumentRef(f"{archive}!/{name}") for name in names]
        made = list(groups.one_archive(members, groups.Rules(SourceSettings(group=group))))
        return sorted(shown(made, Path(f"{archive}!")))

    assert one("hoa-don.xml", "C26TAA-7.pdf") == ["C26TAA-7.pdf + hoa-don.xml"]
    assert one("7.xml", "scan.png", "7.pdf") == ["7.pdf + 7.xml", "scan.png"]
    assert one("1.xml", "2.pdf", "1.pdf", "2.xml") == ["1.pdf + 1.xml", "2.pdf + 2.xml"]
    assert one("1.xml", "2.xml", "both.pdf") == ["1.xml", "2.xml", "both.pdf"]  # nobody knows whose it is
    assert one("hoa-don.xml", "7.pdf", group=("none",)) == ["7.pdf", "hoa-don.xml"]
    assert one("b.png", "a.pdf", group=("archive",)) == ["b.png + a.pdf"]
    make_zip(tmp_path / "mail.zip", {"f.png": b"x", "b.png": b"x", "__MACOSX/f.png": b"x"})
    assert shown(listed(tmp_path, "archive"), tmp_path) == ["mail.zip!/f.png + mail.zip!/b.png"]
    assert shown(listed(tmp_path, "{id}.png,{id}.jpg"), tmp_path) == [
        "mail.zip!/f.png + (mail.zip!/f.jpg)",
        "mail.zip!/b.png + (mail.zip!/b.jpg)",
    ]


STYLE = b"""<xsl:stylesheet><img src="img/Nen%20hoa.JPG"/><style>p { background: url( dau.png ) }</style>
<a href="hoa-don.png.html"/><xsl:value-of select="'xscan.png'"/></xsl:stylesheet>"""


def test_pictures_of_an_invoice_s_looks_are_no_documents(tmp_path: Path) -> None:
    looks = {"img/nen hoa.jpg": b"x", "dau.png": b"x", "Logo_cty.png": b"x"}
    others = {"scan.png": b"x", "hoa-don.png": b"x", "logos.png": b"x"}

    def found(name: str, members: dict[str, bytes]) -> tuple[list[str], set[str]]:
        make_zip(tmp_path / name, members)
        all_of_it = list(list_documents([str(tmp_path / name)], SourceSettings(), passed_over=True))
        over = {ref.uri for ref in all_of_it if ref.failure and ref.failure.reason is Reason.passed_over}
        wanted = [ref for ref in all_of_it if ref.uri not in over]
        return sorted(shown(wanted, tmp_path / f"{name}!")), {uri.partition("!/")[2] for uri in over}

    mail = {"7.xml": b"<HDon/>", "7.xsl": STYLE, **looks, **others}
    assert found("a.zip", mail) == (
        ["7.xml", "hoa-don.png", "logos.png", "scan.png"],
        {*looks, "7.xsl"},
    )
    # Without an XML they are what was sent; without a stylesheet only a logo says what it is.
    assert found("b.zip", {"7.xsl": STYLE, **looks})[1] == {"7.xsl"}
    assert found("c.zip", {"7.xml": b"<HDon/>", **looks})[1] == {"Logo_cty.png"}
    portal = {
        "viewinvoice-bg.jpg": b"x",
        "sign-check.jpg": b"x",
        "wartermark.png": b"x",
        "watermark_2.png": b"x",
    }
    page = {"invoice.xml": b"<HDon/>", "invoice.html": b"<img src='sign-check.jpg'>", "details.js": b""}
    assert found("e.zip", page | portal | {"sign-checked.jpg": b"x"})[0] == [
        "invoice.xml",
        "sign-checked.jpg",
    ]
    large = STYLE + b" " * LARGEST
    assert found("d.zip", {"7.xml": b"<HDon/>", "7.xsl": large, **looks})[1] == {"7.xsl", "Logo_cty.png"}


def test_files_that_are_typed_one_by_one_are_looked_at_together(tmp_path: Path) -> None:
    folder_of(tmp_path, "1-front.jpg", "1-back.jpg", "deep/a.pdf")
    make_zip(tmp_path / "z.zip", {"1.pdf": b"%PDF-"})
    typed = [str(tmp_path / name) for name in ("1-back.jpg", "deep", "1-front.jpg", "deep/a.pdf", "z.zip")]
    assert together(typed) == [typed[:1], typed[1:2], typed[2:4], typed[4:]]
    both = list(list_documents([typed[0], typed[2]], SourceSettings(group=(CARD,))))
    assert shown(both, tmp_path) == ["1-front.jpg + 1-back.jpg"]
