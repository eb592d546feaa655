"""A teacher that knows the truth of specimens, and in a share of its answers is wrong in a known way."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from infra.benchmarks.stub_teacher import Said
from pipeline.store.teaching import TaughtPage
from schemas.registry import resolve
from schemas.text import unaccented

SHARE = 0.4  # of answers that are bad


@dataclass
class Truth:
    """What stands on a page, by label, and its whole text."""

    kind: str
    values: dict[str, str]
    text: str


@dataclass
class Planted:
    """What the teacher was made to say: by request, how it is bad; "" for a good answer."""

    how: dict[tuple[str, str], str] = field(default_factory=dict)


class PlantingTeacher:
    """Says the truth, or plants what is wrong."""

    def __init__(
        self, pages: dict[str, TaughtPage], truths: dict[str, Truth], planted: Planted, rng: random.Random
    ) -> None:
        self._pages, self._truths, self._planted, self._rng = pages, truths, planted, rng
        self._images = sorted(truths)

    def says(self, image: str, question: str) -> Said:
        truth = self._truths[image]
        other = self._truths[self._other(image)]
        rng = random.Random(f"{image}{question}{self._rng.random()}")
        kind = "general" if "cặp hỏi đáp" in question else "ocr" if "chép lại" in question else "extraction"
        if kind == "extraction" and not self._is_own(truth, question):
            self._planted.how[image, question] = "not asked"
            return Said("{}")
        good = {"general": _pairs, "ocr": _copy, "extraction": _form}[kind](truth, rng)
        how, said = "", Said(good)
        if rng.random() < SHARE:
            ways = {"general": _BAD_PAIRS, "ocr": _BAD_COPY, "extraction": _BAD_FORM}[kind]
            how = rng.choice(sorted(ways))
            said = ways[how](truth, other, rng)
            if said.text == good and said.finish == "stop":  # the page gives nothing to be wrong about
                how = ""
        self._planted.how[image, question] = f"{kind}: {how}" if how else ""
        return said

    def _other(self, image: str) -> str:
        """The next page of the same kind."""
        same = [one for one in self._images if self._truths[one].kind == self._truths[image].kind]
        return same[(same.index(image) + 1) % len(same)]

    @staticmethod
    def _is_own(truth: Truth, question: str) -> bool:
        from pipeline import prompt

        return question == prompt.build(resolve(f"{truth.kind}@1"))


def _labels(truth: Truth) -> dict[str, str]:
    """Printed values by a Vietnamese name, those that stand once on a page."""
    leaves = dict(resolve(f"{truth.kind}@1").shape.leaves())
    return {leaves[path].label: raw for path, raw in truth.values.items() if "[" not in path}


def _pairs(truth: Truth, rng: random.Random) -> str:
    labels = _labels(truth)
    chosen = rng.sample(sorted(labels), min(4, len(labels)))
    said = []
    for label in chosen:
        value = labels[label]
        answer = rng.choice([value, f"{label} là {value}.", f"Trên giấy ghi {value}.", f"Đó là {value}"])
        said.append({"question": f"{label} ghi trên giấy là gì?", "answer": answer})
    title = resolve(f"{truth.kind}@1").title.lower()
    about = f"Đây là {title}, được in rõ ràng với đầy đủ các mục."
    said.append({"question": "Ảnh này cho thấy loại giấy tờ nào?", "answer": about})
    return json.dumps(said, ensure_ascii=False)


def _copy(truth: Truth, rng: random.Random) -> str:
    """As it stands there, with now and then a word left out, as a good reader does it."""
    lines = [
        " ".join(word for word in line.split() if rng.random() > 0.02) for line in truth.text.splitlines()
    ]
    return "\n".join(line for line in lines if line)


def _form(truth: Truth, rng: random.Random) -> str:  # noqa: ARG001
    from pipeline import grammar

    return grammar.answer(resolve(f"{truth.kind}@1").shape, _nested(truth.values))


def _nested(values: dict[str, str]) -> dict[str, Any]:
    """{"lines[0].name": …} → {"lines": [{"name": …}]}"""
    found: dict[str, Any] = {}
    lists: dict[str, dict[int, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for path, raw in values.items():
        if "[" in path:
            name, _, rest = path.partition("[")
            number, _, inner = rest.partition("].")
            lists[name][int(number)][inner] = raw
        else:
            found[path] = raw
    return found | {name: [items[number] for number in sorted(items)] for name, items in lists.items()}


# what is wrong


def _digit(text: str, rng: random.Random) -> str:
    """One digit of the longest figures changed."""
    runs = [at for at, sign in enumerate(text) if sign.isdigit()]
    if not runs:
        return text
    at = rng.choice(runs)
    return text[:at] + str((int(text[at]) + rng.randint(1, 9)) % 10) + text[at + 1 :]


_ENGLISH = (
    "This is the image of a document that was issued in Vietnam, and it shows the name of the holder and the "
    "date on which it was issued, with all of the amounts at the bottom."
)
_SORRY = (
    "Xin lỗi, tôi không thể đọc được nội dung của hình ảnh này.",
    "Tôi không thể hỗ trợ yêu cầu liên quan đến giấy tờ cá nhân.",
    "I'm sorry, but I can't help with that.",
    "Rất tiếc, hình ảnh quá mờ nên tôi không đọc được.",
)


def _sorry(_truth: Truth, _other: Truth, rng: random.Random) -> Said:
    return Said(rng.choice(_SORRY))


def _sorry_pairs(_truth: Truth, _other: Truth, rng: random.Random) -> Said:
    return Said(_one_pair("Ai là người lập giấy này?", rng.choice(_SORRY)))


def _one_pair(question: str, answer: str) -> str:
    return json.dumps([{"question": question, "answer": answer}], ensure_ascii=False)


def _altered_pair(truth: Truth, _other: Truth, rng: random.Random) -> Said:
    labels = {label: raw for label, raw in _labels(truth).items() if sum(map(str.isdigit, raw)) >= 4}
    if not labels:
        return Said(_pairs(truth, rng))
    label = rng.choice(sorted(labels))
    return Said(_one_pair(f"{label} ghi trên giấy là gì?", _digit(labels[label], rng)))


def _foreign_pair(truth: Truth, other: Truth, rng: random.Random) -> Said:
    """The value of another paper."""
    labels = {label: raw for label, raw in _labels(other).items() if _is_strange(raw, truth)}
    if not labels:
        return Said(_pairs(truth, rng))
    label = rng.choice(sorted(labels))
    return Said(_one_pair(f"{label} ghi trên giấy là gì?", f"{label} là {labels[label]}."))


def _is_strange(raw: str, truth: Truth) -> bool:
    """Most of it stands nowhere on the other page."""
    there = unaccented(truth.text).casefold()
    words = [word for word in unaccented(raw).casefold().split() if len(word) > 1]
    return bool(words) and sum(word not in there for word in words) > len(words) / 2


def _unmarked(text: str) -> Said:
    return Said(unaccented(text))


_BAD_PAIRS = {
    "refusal": _sorry,
    "refusal in an answer": _sorry_pairs,
    "blocked": lambda _t, _o, _r: Said("", "content_filter"),
    "cut off": lambda t, _o, r: Said(_pairs(t, r)[:-30], "length"),
    "broken JSON": lambda t, _o, r: Said(_pairs(t, r)[:-30]),
    "empty": lambda _t, _o, _r: Said("  "),
    "English": lambda _t, _o, _r: Said(_one_pair("Giấy này nói về điều gì?", _ENGLISH)),
    "Chinese": lambda _t, _o, _r: Said(_one_pair("Giấy này là gì?", "这是一张越南的发票,上面有公司名称。")),
    "without diacritics": lambda _t, _o, _r: _unmarked(
        _one_pair(
            "Tờ giấy này cho biết những nội dung gì?", "Tờ giấy ghi tên người bán, ngày lập và số tiền."
        )
    ),
    "a digit changed": _altered_pair,
    "another paper's value": _foreign_pair,
    "loop": lambda _t, _o, _r: Said(_one_pair("Trên giấy ghi gì?", "Số tiền là " * 60)),
}
_BAD_COPY = {
    "refusal": _sorry,
    "cut off": lambda t, _o, r: Said(_copy(t, r)[: len(t.text) // 2], "length"),
    "half is missing": lambda t, _o, r: Said(_copy(t, r)[: len(t.text) // 2]),
    "another page": lambda _t, o, r: Said(_copy(o, r)),
    "without diacritics": lambda t, _o, r: _unmarked(_copy(t, r)),
    "English": lambda _t, _o, _r: Said(_ENGLISH),
    "a description": lambda _t, _o, _r: Said(
        "Ảnh chụp một tờ giấy có nhiều dòng chữ và con số được in rõ ràng."
    ),
    "a digit changed": lambda t, _o, r: Said(_altered_copy(t, r)),
    "made up": lambda t, o, r: Said(f"{_copy(t, r)}\n{o.text[: max(200, len(o.text) // 2)]}"),
    "loop": lambda t, _o, r: Said(_copy(t, r)[:80] + " 0123 4567" * 80),
    "empty": lambda _t, _o, _r: Said(""),
}


def _altered_copy(truth: Truth, rng: random.Random) -> str:
    long = [raw for raw in truth.values.values() if sum(map(str.isdigit, raw)) >= 5 and raw in truth.text]
    if not long:
        return _copy(truth, rng)
    raw = rng.choice(sorted(long))
    return truth.text.replace(raw, _digit(raw, rng))


def _altered_form(truth: Truth, _other: Truth, rng: random.Random) -> Said:
    """One digit of one value changed, of four and more."""
    paths = [path for path, raw in truth.values.items() if sum(map(str.isdigit, raw)) >= 4]
    if not paths:
        return Said(_form(truth, rng))
    path = rng.choice(sorted(paths))
    changed = {**truth.values, path: _digit(truth.values[path], rng)}
    return Said(_form(Truth(truth.kind, changed, truth.text), rng))


def _foreign_form(truth: Truth, other: Truth, rng: random.Random) -> Said:
    """One value of another paper in the place of the right one."""
    paths = [path for path, raw in other.values.items() if path in truth.values and _is_strange(raw, truth)]
    if not paths:
        return Said(_form(truth, rng))
    path = rng.choice(sorted(paths))
    return Said(_form(Truth(truth.kind, {**truth.values, path: other.values[path]}, truth.text), rng))


_BAD_FORM = {
    "refusal": _sorry,
    "cut off": lambda t, _o, r: Said(_form(t, r)[:-20], "length"),
    "broken JSON": lambda t, _o, r: Said(_form(t, r)[:-20]),
    "other keys": lambda _t, _o, _r: Said(json.dumps({"name": "A", "total": "1"})),
    "another paper": lambda _t, o, r: Said(_form(o, r)),
    "another paper's value": _foreign_form,
    "a digit changed": _altered_form,
    "without diacritics": lambda t, _o, r: Said(
        _form(Truth(t.kind, {path: unaccented(raw) for path, raw in t.values.items()}, t.text), r)
    ),
    "prose": lambda _t, _o, _r: Said("Giấy này có số và ngày như trong ảnh."),
}
