"""The published tokenizer, rebuilt: it cuts as the vocabulary's own reference; the engine runs with it."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import get_args

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from infra.benchmarks import published
from pipeline import grammar, parse, prompt, vintern
from pipeline.records import Request
from pipeline.settings import EngineSettings
from pipeline.specimens import invoice
from pipeline.specimens.specimen import shape
from pipeline.vintern import Vintern, tokenizer
from pipeline.vintern.engine import Engine
from pipeline.vintern.tokenizer import Tokenizer
from schemas.printed import text_pattern
from schemas.registry import BUILT_IN, resolve
from schemas.shape import Group, Leaf, Printed, Repeated
from tests.pipeline.walker import spec_of
from tests.vintern import checkpoints
from tests.vintern.pages import answer_slowly, page

pytestmark = pytest.mark.slow

# As Qwen gives it, written out apart from the product's own.
CUTS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


@pytest.fixture(scope="module")
def reference() -> tiktoken.Encoding:
    return tiktoken.Encoding("qwen", pat_str=CUTS, mergeable_ranks=published.ranks(), special_tokens={})


@pytest.mark.parametrize(
    ("version", "size", "image"), [("v2", 151_655, (151_646, 151_647, 151_648)),
                                   ("v3_5", 151_674, (151_665, 151_666, 151_667))],
)  # fmt: skip
def test_the_ids_are_the_published_ones(
    published_files: dict[str, Path], version: str, size: int, image: tuple[int, ...]
) -> None:
    found = tokenizer.load(published_files[version])
    assert (found.size, found.end_of_turn, found.id("<|endoftext|>")) == (size, 151_645, 151_643)
    assert (found.image_start, found.image_end, found.image) == image
    assert found.encode("<img><IMG_CONTEXT></img>") == [image[0], image[2], image[1]]
    assert found.id("</box>") == size - 1


def mixed() -> str:
    """What stands on papers and what is said about them, and much that does not."""
    dice = random.Random(0)
    bills = [invoice.plan(dice, "standard", "standard", 0.1, 0.3) for _ in range(25)]
    specs = [resolve(name) for name in BUILT_IN]
    answers = [
        grammar.answer(resolve("invoice@1").shape, shape("invoice", {k: v.raw for k, v in bill.plan.items()}))
        for bill in bills
    ]
    labels = [leaf.label for spec in specs for _, leaf in spec.shape.leaves()]
    letters = [
        chr(code) for code in range(0x20, 0x30000) if unicodedata.category(chr(code)) not in ("Cn", "Cs")
    ]
    odd = ["".join(dice.choices(letters, k=12)) for _ in range(2500)]
    plain = [
        "Don't we'LL 1234567890 x=3.14;\r\n\t\tif (a  &&  b) { }   \n\n  // ----====####",
        "  \n \t ",
        "🇻🇳 👩‍🔬 漢字 ﬁ Ⅷ ½",
    ]
    numbers = [f"{dice.randrange(10**12):,}".replace(",", dice.choice(".,")) for _ in range(500)]
    parts = [*answers, *map(prompt.build, specs), *labels, *odd, *plain, *numbers]
    indented = [json.dumps(json.loads(answer), ensure_ascii=False, indent=2) for answer in answers[:5]]
    return "\n".join([*parts, *indented])


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_large_mixed_text_is_cut_as_the_reference_cuts_it(
    published_tokenizer: Tokenizer, reference: tiktoken.Encoding, form: str
) -> None:
    text = unicodedata.normalize(form, mixed())
    assert len(text) > 140_000
    whole = unicodedata.normalize("NFC", text)  # published: "normalizer": NFC
    expected = reference.encode(whole, disallowed_special=())
    assert published_tokenizer.encode_plain(text) == expected
    assert published_tokenizer.decode(expected) == whole


ASSIGNED = st.characters(exclude_categories=("Cs", "Cn"))  # of Unicode as this Python has it


@given(
    text=st.text(ASSIGNED, max_size=80)
    | st.text("aáạ\u0323\u0301 \n\t.,:'\"{}[]0123456789đĐ₫<|im_end|>", max_size=80)
)
def test_any_text_is_cut_as_the_reference_cuts_it(
    published_tokenizer: Tokenizer, reference: tiktoken.Encoding, text: str
) -> None:
    whole = unicodedata.normalize("NFC", text)
    ids = published_tokenizer.encode_plain(text)
    assert ids == reference.encode(whole, disallowed_special=())
    assert published_tokenizer.decode(ids) == whole


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Vintern:
    directory = tmp_path_factory.mktemp("real-vocabulary")
    checkpoints.write(directory, "v3_5", vocabulary="published")
    return vintern.load(directory, dtype="float32", device="cpu")


def test_the_prompt_is_one_text_cut_into_tokens(model: Vintern, published_tokenizer: Tokenizer) -> None:
    ids = model.prompt_ids(prompt.build(resolve("invoice@1")), 2).tolist()
    assert len(ids) < 2 * 256 + 350
    text = published_tokenizer.backend.decode(ids, skip_special_tokens=False)
    assert published_tokenizer.encode(text) == ids and ids.count(151_667) == 512


NOTE = spec_of(
    Leaf("number", "Số phiếu", Printed(r"[0-9]{3,8}", str, "text", 8)),
    Leaf("keeper", "Thủ kho", Printed(text_pattern(6), str, "text", 6)),
    Repeated("seals", "Niêm phong", Leaf("seals", "Niêm phong", Printed(r"[A-Z]{2}\d", str, "text", 3)), 2),
    Repeated("lines", "Hàng", Group("line", "Dòng", (
        Leaf("code", "Mã", Printed(r"[A-Z]{2}\d", str, "text", 3)),
        Leaf("count", "Số lượng", Printed(r"\d{1,2}", str, "text", 2)),
    )), 2),
)  # fmt: skip


@pytest.mark.parametrize("form", get_args(grammar.Form))
def test_a_page_is_answered_under_its_grammar_and_read(model: Vintern, form: grammar.Form) -> None:
    """Random weights say anything that is allowed."""
    rules, question = grammar.compile(NOTE, form), prompt.build(NOTE, form)
    requests = [
        Request(f"page {number}", page(number, 1, None).tiles, question, rules, 200) for number in range(2)
    ]
    for answer in Engine(model, EngineSettings(max_batch=2)).generate(requests):
        assert answer.finish == "stop", answer.message
        assert answer.forced.any() and not answer.forced.all()
        said = json.loads(answer.text)
        fields = {field.path: field for field in parse.page_record(answer, NOTE, page=1, form=form).fields}
        assert fields["number"].raw == said["Số phiếu"] and fields["seals"].value == len(said["Niêm phong"])
        lines = said["Hàng" if form == "objects" else "Hàng: Mã; Số lượng"]
        assert fields["lines"].value == len(lines)
        cells = [cell for line in lines for cell in (line.values() if form == "objects" else line)]
        assert [field.raw for path, field in fields.items() if path.startswith("lines[")] == cells


def test_answers_are_those_of_the_slow_way(model: Vintern) -> None:
    request = page(5, 1, grammar.compile(resolve("id_card@1")), 7)
    (answer,) = Engine(model, EngineSettings()).generate([request])
    assert answer.text == model.tokenizer.decode(answer_slowly(model, request).tokens)
