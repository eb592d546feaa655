"""The review page in a real browser, by keyboard alone, on a store of a thousand documents."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.store import Job
from tests.review.conftest import Served
from tests.review.samples import Sample

pytestmark = pytest.mark.slow
_DOCUMENTS = 24  # reviewed to the end


class Keys:
    """Presses keys and counts them: each letter of a correction is one."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.pressed = 0

    def press(self, key: str) -> None:
        self.pressed += 1
        self._page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.pressed += len(text)
        self._page.keyboard.insert_text(text)

    def answered(self, act: Callable[[], None]) -> None:
        """`act` decides something; waits for the values anew."""
        with self._page.expect_response(re.compile(r"/(decide|undo)$")):
            act()
        expect(self._page.locator("main")).to_have_attribute("aria-busy", "false")


def begin(page: Page, served: Served, job: Job) -> None:
    page.goto(f"{served.url}/jobs/{job.id}")
    page.keyboard.press("Enter")  # the focus is on Begin
    page.wait_for_url(re.compile("/documents/"))


def focused(page: Page) -> dict[str, str]:
    """Path and text of the value that has the focus; an id where it is none."""
    return dict(
        page.evaluate(
            "() => { const it = document.activeElement;"
            " return {field: it.dataset.field || '', text: it.value || '', id: it.id,"
            " doubt: String('doubt' in it.dataset), todo: String('todo' in it.dataset)}; }"
        )
    )


def paper(page: Page, served: Served) -> Sample:
    name = page.locator("h1").inner_text()
    return served.papers[name.partition("-")[2]]


def review(page: Page, keys: Keys, right: Sample) -> None:
    """One document: what is doubtful is held against the paper, corrected or accepted."""
    for _ in range(60):
        at = focused(page)
        if at["id"] == "finish":
            break
        said = right.truth.get(at["field"])
        if at["doubt"] == "true" and said is not None and said != at["text"]:
            if page.locator("#detail [data-act=take]").count():
                keys.answered(lambda: keys.press("w"))
            else:
                keys.press("e")
                keys.press("End")
                keys.press("Backspace")  # what is misread is its last digit
                keys.type(said[-1])
                keys.answered(lambda: keys.press("Enter"))
        elif at["doubt"] == "true" or at["todo"] == "true":
            keys.answered(lambda: keys.press("Enter"))
        else:
            keys.press("Enter")
    before = page.url
    keys.press("Enter")
    page.wait_for_url(lambda url: url != before and "/documents/" in url)


def test_documents_are_reviewed_by_keyboard_alone(page: Page, served: Served) -> None:
    job = served.store.jobs.find("tills")
    begin(page, served, job)
    keys = Keys(page)
    seen: list[str] = []
    for _ in range(_DOCUMENTS):
        expect(page.locator("textarea.value").first).to_be_visible()
        seen.append(page.locator("h1").get_attribute("title") or "")
        review(page, keys, paper(page, served))
    decided = {row.uri: row for row in served.store.results.extractions(job) if row.decisions}
    assert set(decided) == set(seen)
    # Each eighth is of those that passed by themselves, and was accepted as a whole.
    assert [any(d.field is None for d in decided[uri].decisions) for uri in seen].count(True) == 3
    for row in decided.values():
        right = served.papers[row.uri.rpartition("/")[2].partition("-")[2]]
        assert row.extraction.state == "done"
        wrong = {
            field.path
            for field in row.extraction.fields
            if field.raw not in (None, right.truth.get(field.path))
        }
        assert {d.field for d in row.decisions if d.ruling == "correct"} == wrong
        assert {d.by for d in row.decisions} == {"lan"}
    assert served.store.books.verify(job).balanced
    # These come first, with two misread values each: one key where a witness knows better, five for a digit
    # that is typed (e, End, Backspace, the digit, Enter), and one for the document.
    assert keys.pressed / _DOCUMENTS < 7
    actions = {row.action for row in served.store.audit.rows()}
    assert {"came", "opened", "accept", "correct"} <= actions
    assert not served.log.read_text().strip()


def test_the_eye_is_led_to_the_region(page: Page, served: Served) -> None:
    begin(page, served, served.store.jobs.find("tills"))
    page.wait_for_function("document.querySelector('#close').dataset.shows")
    lit = page.locator(".light:visible")
    expect(lit).to_have_count(1)
    box, view = lit.bounding_box(), page.locator(".scroll").bounding_box()
    assert box is not None and view is not None
    assert view["x"] <= box["x"] and box["x"] + box["width"] <= view["x"] + view["width"]
    assert view["y"] <= box["y"] and box["y"] + box["height"] <= view["y"] + view["height"]
    ink = page.evaluate(
        "() => { const c = document.querySelector('#close'), d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; let dark = 0;"
        " for (let i = 0; i < d.length; i += 4) dark += d[i] < 110 && d[i + 3] > 0; return dark; }"
    )
    assert ink > 100
    wide = page.locator(".paper").evaluate("it => it.clientWidth")
    page.keyboard.press("+")
    assert page.locator(".paper").evaluate("it => it.clientWidth") > wide * 1.2
    page.keyboard.press("0")
    assert page.locator(".paper").evaluate("it => it.clientWidth") == wide


def test_a_witness_is_taken_and_everything_is_taken_back(page: Page, served: Served) -> None:
    job = served.store.jobs.find("tills")
    taken = next(
        entry for entry in served.store.queue.entries(job, search="receipt-1.") if entry.reviewer is None
    )
    page.goto(f"{served.url}/documents/{taken.document_id}")
    right = paper(page, served)
    keys = Keys(page)
    cell = page.locator("#f-tax_code")
    read = cell.input_value()
    while focused(page)["field"] != "tax_code":  # on from one doubtful value to the next
        keys.press("n")
        assert keys.pressed < 3
    keys.answered(lambda: keys.press("w"))
    expect(cell).to_have_value(right.truth["tax_code"])
    expect(page.locator("#values .checks summary")).to_contain_text("0 lỗi")  # it was rechecked
    keys.answered(lambda: keys.press("u"))
    expect(cell).to_have_value(read)
    for key, words in (("x", "không có trên giấy"), ("i", "không đọc được")):
        cell.focus()
        keys.answered(lambda key=key: keys.press(key))  # type: ignore[misc]
        expect(cell).to_have_attribute("placeholder", words)
        expect(cell).to_have_value("")
        keys.answered(lambda: keys.press("u"))
    cell.focus()
    keys.press("e")
    keys.type("không phải số")
    keys.answered(lambda: keys.press("Enter"))
    expect(page.locator("#told")).to_contain_text("tax_code: this is no text as it is printed")
    keys.press("Escape")
    expect(cell).to_have_value(read)
    keys.press("r")
    with page.expect_navigation():
        keys.press("r")
    assert served.store.queue.place(taken.document_id) == (job.id, taken.uri, "quarantined", "rejected")
    page.goto(f"{served.url}/documents/{taken.document_id}")
    page.get_by_role("button", name="Hoàn tác · Undo").click()
    expect(cell).to_have_value(read)
    assert served.store.results.extraction(job, taken.uri) is not None
    assert not [row for row in served.store.decisions.history(job, taken.uri) if row.undone_at is None]


def test_a_long_table_is_walked_mended_and_shortened(page: Page, served: Served) -> None:
    job = served.store.jobs.find("invoices")
    begin(page, served, job)
    keys = Keys(page)
    uri = page.locator("h1").get_attribute("title") or ""
    count = page.locator("table.lines tbody tr").count()
    assert count >= 38
    last = page.locator("table.lines tbody tr").last.locator("textarea:visible").last
    last.focus()
    expect(page.locator("#page-2 .light")).to_be_visible()  # it stands on another page, which came to sight
    keys.press("ArrowUp")
    assert focused(page)["field"].startswith(f"lines[{count - 2}].")
    keys.answered(lambda: keys.press("t"))
    stored = served.store.results.extraction(job, uri)
    assert stored is not None and len(stored.extraction.record["lines"]) == count - 1
    keys.answered(lambda: keys.press("u"))
    stored = served.store.results.extraction(job, uri)
    assert stored is not None and len(stored.extraction.record["lines"]) == count


def test_two_reviewers_do_not_meet(browser: Browser, page: Page, served: Served) -> None:
    job = served.store.jobs.find("tills")
    begin(page, served, job)
    other = browser.new_context()
    theirs = other.new_page()
    theirs.goto(served.link("minh"))
    begin(theirs, served, job)
    assert theirs.url != page.url
    theirs.goto(page.url)
    expect(theirs.get_by_role("alert")).to_contain_text("lan đang xem")
    theirs.keyboard.press("Enter")
    expect(theirs.locator("#told")).to_contain_text("You may only look")
    guest = browser.new_context()
    looks = guest.new_page()
    looks.goto(served.link("guest"))
    looks.goto(page.url)
    expect(looks.locator("textarea.value").first).to_be_visible()
    expect(looks.get_by_role("button", name="right")).to_have_count(0)
    assert (
        looks.evaluate(
            "async () => (await fetch(location.pathname + '/decide', {method: 'POST', headers: {'X-Key':"
            " document.querySelector('meta[name=key]').content}, body: '{}'})).status"
        )
        == 403
    )
    other.close()
    guest.close()


_CONTRAST = """() => {
  const linear = (c) => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const ground = (it) => {
    for (; it; it = it.parentElement) {
      const c = colour(getComputedStyle(it).backgroundColor);
      if (c.length < 4 || c[3] > 0.5) return c;
    }
    return [255, 255, 255];
  };
  const low = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const it = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !it.offsetParent) continue;
    const [a, b] = [light(colour(getComputedStyle(it).color)), light(ground(it))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push([it.className || it.tagName, ratio]);
  }
  return low;
}"""
_UNNAMED = """() => [...document.querySelectorAll('button, a, input, textarea, summary')].filter((it) =>
  it.offsetParent && !(it.getAttribute('aria-label') || it.textContent.trim() && it.tagName !== 'TEXTAREA'
    || (it.labels && it.labels.length))).map((it) => it.outerHTML)"""


@pytest.mark.parametrize("size", [(1280, 800), (640, 900), (640, 400)])
def test_it_is_usable_by_everybody(page: Page, served: Served, size: tuple[int, int]) -> None:
    """At 1280×800, in a narrow window, and at 200 % of 1280×800: nothing is cut, everything has a name."""
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for job in ("tills", "invoices"):
        begin(page, served, served.store.jobs.find(job))
        expect(page.locator("textarea.value").first).to_be_attached()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not page.evaluate(_UNNAMED) and not page.evaluate(_CONTRAST)
        described = "it => it.every((one) => document.getElementById(one.getAttribute('aria-describedby')))"
        assert page.locator("textarea.value").evaluate_all(described)
        hidden = "document.querySelectorAll('[aria-hidden=true] :is(button, a, input, textarea)').length"
        assert page.evaluate(hidden) == 0
        at = page.locator(":focus").bounding_box()
        assert at is not None and at["y"] >= 0 and at["y"] + at["height"] <= size[1]
        finish = page.locator("#finish").bounding_box()
        assert finish is not None and finish["y"] + finish["height"] <= size[1]
    page.goto(f"{served.url}/jobs/{served.store.jobs.find('tills').id}?kind=all")
    assert not page.evaluate(_UNNAMED) and not page.evaluate(_CONTRAST)


def test_tab_goes_through_everything_in_the_order_of_the_eye(page: Page, served: Served) -> None:
    begin(page, served, served.store.jobs.find("tills"))
    page.evaluate("document.activeElement.blur()")
    tops: list[float] = []
    for _ in range(80):
        page.keyboard.press("Tab")
        at = focused(page)
        if at["id"].startswith("f-"):
            box = page.locator(f"#{at['id']}").bounding_box()
            assert box is not None
            tops.append(box["y"] + page.locator("#list").evaluate("it => it.scrollTop"))
        if at["id"] == "finish":
            break
    else:
        raise AssertionError("the end was never reached")
    assert len(tops) > 8 and tops == sorted(tops)
