// The review page. A value is a textarea that is read-only until somebody corrects it: keys of one letter are
// commands only while it is. Every decision is answered with the document's values anew, rechecked.
"use strict";

const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];
const key = $("meta[name=key]").content;
const desk = $("main.review");
const told = $("#told");
let busy = false;      // a decision is on its way
let waiting = [];      // keys that were pressed meanwhile
let before = null;     // the text of a value that is being corrected
let reject = 0;        // when r was pressed first
let zoom = 1;
let columns = false;   // whether empty columns are shown
let last = null;       // the value that was looked at last

async function post(path, sent) {
  const answer = await fetch(path, {
    method: "POST", headers: {"Content-Type": "application/json", "X-Key": key}, body: JSON.stringify(sent),
  });
  const data = await answer.json().catch(() => ({error: "Mất kết nối. · The page has lost its server."}));
  if (!answer.ok) throw new Error(data.error || answer.statusText);
  return data;
}

function tell(text, bad = false) {
  if (!told) return;
  told.textContent = text;
  told.className = bad ? "bad" : "";
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { told.textContent = ""; }, bad ? 6000 : 2200);
}

// looking

const values = () => $$("#list textarea.value").filter((one) => !one.closest("tr.out") && one.offsetParent);
const doubts = () => values().filter((one) => "doubt" in one.dataset);
const current = () => (document.activeElement?.matches("textarea.value") ? document.activeElement : last && document.getElementById(last));

function go(id) {
  const one = typeof id === "string" ? document.getElementById(id) : id;
  if (!one) return;
  one.focus({preventScroll: true});
  one.scrollIntoView({block: "nearest"});
}

function nextDoubt(from, step = 1) {
  const all = values(), open = doubts();
  if (!open.length) return null;
  const at = all.indexOf(from);
  const later = step > 0 ? open.find((one) => all.indexOf(one) > at) : open.findLast((one) => all.indexOf(one) < at);
  return later || (step > 0 ? open[0] : open[open.length - 1]);
}

// What is left to do: the doubtful values, then checks that point at many, then the end.
const afterDoubts = () => $("[data-todo]") || $("#finish");

function onwards(from) {
  go(nextDoubt(from) || afterDoubts());
}

function move(from, step) {
  const all = values();
  go(all[Math.min(all.length - 1, Math.max(0, all.indexOf(from) + step))]);
}

function inColumn(from, step) {
  const cell = from.closest("td");
  const row = cell && (step > 0 ? cell.parentElement.nextElementSibling : cell.parentElement.previousElementSibling);
  if (row) go($("textarea.value", row.children[cell.cellIndex]));
  else move(from, step);
}

function light(one) {
  $$(".light").forEach((it) => { it.hidden = true; });
  const box = one.dataset.box ? one.dataset.box.split(",").map(Number) : null;
  const sheet = one.dataset.page ? document.getElementById(`page-${one.dataset.page}`) : null;
  closeup(sheet, box);
  if (!sheet) return;
  const scroll = $(".scroll");
  if (!box) {
    if (sheet.offsetTop > scroll.scrollTop + scroll.clientHeight || sheet.offsetTop + sheet.clientHeight < scroll.scrollTop) {
      scroll.scrollTop = sheet.offsetTop;
    }
    return;
  }
  const lit = $(".light", sheet), pad = 0.004;
  Object.assign(lit.style, {
    left: `${(box[0] - pad) * 100}%`, top: `${(box[1] - pad) * 100}%`,
    width: `${(box[2] - box[0] + 2 * pad) * 100}%`, height: `${(box[3] - box[1] + 2 * pad) * 100}%`,
  });
  lit.hidden = false;
  const top = sheet.offsetTop + box[1] * sheet.clientHeight, low = sheet.offsetTop + box[3] * sheet.clientHeight;
  if (top < scroll.scrollTop + 40 || low > scroll.scrollTop + scroll.clientHeight - 40) {
    scroll.scrollTop = (top + low) / 2 - scroll.clientHeight / 2;
  }
  const left = sheet.offsetLeft + box[0] * sheet.clientWidth, right = sheet.offsetLeft + box[2] * sheet.clientWidth;
  if (left < scroll.scrollLeft || right > scroll.scrollLeft + scroll.clientWidth) {
    scroll.scrollLeft = (left + right) / 2 - scroll.clientWidth / 2;
  }
}

// The region again, large, right above the values: the eye need not leave them.
function closeup(sheet, box) {
  const canvas = $("#close");
  if (!canvas) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
  const pen = canvas.getContext("2d"), image = sheet && $("img", sheet);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  canvas.dataset.shows = "";
  if (!box || !image) return;
  if (!image.complete || !image.naturalWidth) {
    image.loading = "eager";
    image.addEventListener("load", () => { if (current()) light(current()); }, {once: true});
    return;
  }
  const wide = image.naturalWidth, high = image.naturalHeight;
  const line = Math.max((box[3] - box[1]) * high, 12);
  // The value fills the strip's width at most, and its height to two fifths: its neighbours are seen too.
  const by = Math.min(canvas.height / (line * 2.4), canvas.width / ((box[2] - box[0]) * wide * 1.15), 3 * scale);
  const w = canvas.width / by, h = canvas.height / by;
  const x = (box[0] + box[2]) / 2 * wide - w / 2, y = (box[1] + box[3]) / 2 * high - h / 2;
  pen.imageSmoothingQuality = "high";
  pen.drawImage(image, x, y, w, h, 0, 0, canvas.width, canvas.height);
  pen.strokeStyle = "#b45309";
  pen.lineWidth = 2 * scale;
  pen.strokeRect((box[0] * wide - x) * by - 3, (box[1] * high - y) * by - 3,
    (box[2] - box[0]) * wide * by + 6, (box[3] - box[1]) * high * by + 6);
  canvas.dataset.shows = one(current());
}
const one = (cell) => (cell ? cell.id : "");

function show(cell) {
  last = cell.id;
  const about = document.getElementById(`${cell.id}-d`);
  $("#detail").replaceChildren(...[...about.childNodes].map((node) => node.cloneNode(true)));
  const read = $("#detail .read output"), other = $("#detail .witness.differs b");
  if (read && other) [read, other].forEach((it, at, both) => markOther(it, both[1 - at].dataset.text || both[1 - at].textContent));
  light(cell);
}

// The letters in which two texts of one length differ.
function markOther(node, other) {
  const text = node.textContent;
  node.dataset.text = text;
  if ([...text].length !== [...other].length) return;
  const letters = [...other];
  node.replaceChildren(...[...text].map((letter, at) => {
    if (letter === letters[at]) return document.createTextNode(letter);
    const marked = document.createElement("mark");
    marked.textContent = letter;
    return marked;
  }));
}

function enlarge(by) {
  zoom = by === 0 ? 1 : Math.min(5, Math.max(0.4, zoom * by));
  const scroll = $(".scroll");
  const middle = (scroll.scrollTop + scroll.clientHeight / 2) / scroll.scrollHeight;
  $(".paper").style.width = `${zoom * 100}%`;
  scroll.scrollTop = middle * scroll.scrollHeight - scroll.clientHeight / 2;
  if (current()) light(current());
}

function page(step) {
  const sheets = $$(".sheet"), scroll = $(".scroll");
  const at = sheets.findLastIndex((sheet) => sheet.offsetTop <= scroll.scrollTop + 60);
  const to = sheets[Math.min(sheets.length - 1, Math.max(0, at + step))];
  scroll.scrollTop = to.offsetTop;
  tell(`Trang · Page ${to.dataset.page}`);
}

// deciding

async function change(what, sent, then) {
  if (busy) return;
  if (!desk.dataset.claim) return tell("Bạn chỉ xem được. · You may only look.", true);
  busy = true;
  desk.ariaBusy = "true";
  try {
    const data = await post(`/documents/${desk.dataset.document}/${what}`, {...sent, claim: desk.dataset.claim});
    const scrolled = $("#list").scrollTop;
    $("#values").innerHTML = data.html;
    $("#list").scrollTop = scrolled;
    showColumns();
    busy = false;
    then(data);
  } catch (error) {
    waiting = [];  // they were meant for what did not come
    tell(error.message, true);
  } finally {
    busy = false;
  }
  while (waiting.length && !busy) typed(waiting.shift());
  desk.ariaBusy = String(busy);
}

function decide(decisions, from) {
  const id = from?.id || last;
  return change("decide", {decisions}, () => {
    const here = id && document.getElementById(id);
    if (here && "doubt" in here.dataset) go(here); else onwards(here);
  });
}

function accept(cell) {
  if (!cell) return onwards(null);
  if (!("doubt" in cell.dataset)) return onwards(cell);
  const nothing = !cell.value.trim();
  return decide([{field: cell.dataset.field, ruling: nothing ? "not_on_page" : "accept"}], cell);
}

function rule(cell, ruling) {
  if (cell) decide([{field: cell.dataset.field, ruling}], cell);
}

function edit(cell) {
  if (!cell || !desk.dataset.claim) return;
  go(cell);
  before = cell.value;
  cell.readOnly = false;
  cell.select();
}

function leaveEdit(cell, text) {
  cell.readOnly = true;
  cell.value = text;
  before = null;
}

function save(cell, follow = true) {
  const raw = cell.value.trim(), was = before;
  cell.readOnly = true;
  before = null;
  if (raw === was.trim()) return follow ? accept(cell) : undefined;
  if (!raw) return rule(cell, "not_on_page");
  return change("decide", {decisions: [{field: cell.dataset.field, ruling: "correct", raw}]}, () => {
    const here = document.getElementById(cell.id);
    if (!follow) return;
    if (here && "doubt" in here.dataset) go(here); else onwards(here);
  }).then(() => {
    if (cell.isConnected) { // it was refused: the text stays to be mended
      before = was;
      cell.readOnly = false;
      cell.focus();
    }
  });
}

function acceptAll() {
  change("decide", {decisions: [{field: null, ruling: "accept"}]}, next);
}

function rejectAll() {
  if (Date.now() - reject > 3000) {
    reject = Date.now();
    return tell("Nhấn r lần nữa để loại tài liệu. · Press r again to reject the document.");
  }
  reject = 0;
  change("decide", {decisions: [{field: null, ruling: "reject"}]}, next);
}

function undo(ids) {
  change("undo", ids ? {ids} : {}, (data) => {
    tell("Đã hoàn tác. · Taken back.");
    const field = data.field && $$("textarea.value").find((it) => it.dataset.field === data.field);
    go(field || (last && document.getElementById(last)) || nextDoubt(null) || values()[0]);
  });
}

function showColumns() {
  $$("[data-act=columns]").forEach((button) => {
    button.setAttribute("aria-pressed", columns);
    $("table.lines", button.closest(".listing"))?.classList.toggle("all", columns);
  });
}

function addLine(path, count) {
  change("decide", {decisions: [{field: path, ruling: "correct", raw: String(count + 1)}]}, () => {
    const rows = $$(`table[data-list="${CSS.escape(path)}"] tbody tr`);
    const cell = rows.length && $("textarea.value", rows[rows.length - 1]);
    if (cell) edit(cell);
  });
}

function takeOut(cell) {
  const row = cell?.closest("tr[data-line]");
  if (!row) return tell("Chỉ dòng trong bảng mới bỏ được. · Only a line of a table can be taken out.");
  change("decide", {decisions: [{field: row.dataset.line, ruling: "not_on_page"}]}, () => onwards(null));
}

function take(field, raw, id) {
  change("decide", {decisions: [{field, ruling: "correct", raw}]}, () => {
    const here = document.getElementById(id);
    if (here && "doubt" in here.dataset) go(here); else onwards(here);
  });
}

function next() {
  location.assign(desk.dataset.next);
}

const acts = {
  leave: () => post("/leave", {}).then((data) => location.assign(data.to)),
  smaller: () => enlarge(1 / 1.25), larger: () => enlarge(1.25), fit: () => enlarge(0),
  page: (button) => { $(".scroll").scrollTop = document.getElementById(`page-${button.dataset.page}`).offsetTop; },
  accept: () => accept(current()), edit: () => edit(current()),
  not_on_page: () => rule(current(), "not_on_page"), illegible: () => rule(current(), "illegible"),
  undo: () => undo(), "undo-these": (button) => undo(button.dataset.ids.split(",").map(Number)),
  "accept-all": acceptAll, reject: rejectAll, next, help: () => $("#help").showModal(),
  "all-right": (button) => decide(button.dataset.fields.split(" ").map((field) => ({field, ruling: "accept"}))),
  columns: () => { columns = !columns; showColumns(); },
  go: (link) => go(link.dataset.cell),
  take: (button) => take(button.dataset.field, button.dataset.raw, button.dataset.cell),
  "add-line": (button) => addLine(button.dataset.field, Number(button.dataset.count)),
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  event.preventDefault();
  acts[button.dataset.act](button);
});

// keys

function command(event, cell) {
  const table = cell?.closest("table.lines");
  switch (event.key) {
    case "Enter": return event.shiftKey ? acceptAll() : accept(cell);
    case "F2": return edit(cell);
    case "ArrowDown": return cell ? inColumn(cell, 1) : move(null, 1);
    case "ArrowUp": return cell ? inColumn(cell, -1) : undefined;
    case "ArrowLeft": return table ? move(cell, -1) : false;
    case "ArrowRight": return table ? move(cell, 1) : false;
    default:
  }
  if ($("#letters") && !$("#letters").checked) return false;
  switch (event.key) {
    case "n": return go(nextDoubt(cell) || afterDoubts());
    case "p": return go(nextDoubt(cell, -1) || $("#finish"));
    case "e": return edit(cell);
    case "x": return rule(cell, "not_on_page");
    case "i": return rule(cell, "illegible");
    case "w": {
      const button = $("#detail [data-act=take]");
      return button ? button.click() : tell("Không có nguồn nào khác. · No witness has another value.");
    }
    case "u": return undo();
    case "r": return rejectAll();
    case "s": return next();
    case "b": return history.back();
    case "l": {
      const list = table ? table.dataset : $("table.lines")?.dataset;
      return list ? addLine(list.list, Number(list.count)) : false;
    }
    case "t": return takeOut(cell);
    case "+": case "=": return enlarge(1.25);
    case "-": return enlarge(1 / 1.25);
    case "0": return enlarge(0);
    case "]": return page(1);
    case "[": return page(-1);
    case "?": return $("#help").showModal();
    default: return false;
  }
}

function reviewKeys(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || $("#help").open) return;
  if (!busy) return typed(event);
  event.preventDefault();
  if (waiting.length < 20 && !event.repeat) waiting.push(event);
}

function typed(event) {
  const active = document.activeElement;
  const cell = active?.matches("textarea.value") ? active : null;
  if (cell && !cell.readOnly) {
    if (event.key === "Enter") { event.preventDefault(); save(cell); }
    else if (event.defaultPrevented && event.key.length === 1) cell.setRangeText(event.key, cell.selectionStart, cell.selectionEnd, "end");
    else if (event.key === "Escape") { event.preventDefault(); leaveEdit(cell, before); }
    return;
  }
  // A button answers to its own Enter and blank; Shift with Enter means the whole document everywhere.
  if (active?.matches("button, a, input, summary") && (event.key === " " || (event.key === "Enter" && !event.shiftKey))) {
    if (event.defaultPrevented) active.click();  // it was pressed while a decision was on its way
    return;
  }
  if (command(event, cell || (last && document.getElementById(last)) || null) !== false) event.preventDefault();
}

function start() {
  document.addEventListener("keydown", reviewKeys);
  document.addEventListener("focusin", (event) => { if (event.target.matches("textarea.value")) show(event.target); });
  document.addEventListener("focusout", (event) => {
    const cell = event.target;
    if (cell.matches("textarea.value") && !cell.readOnly && before !== null && cell.isConnected) save(cell, false);
  });
  document.addEventListener("dblclick", (event) => { if (event.target.matches("textarea.value")) edit(event.target); });
  window.addEventListener("resize", () => { if (current()) light(current()); });
  $$(".sheet img").forEach((image) => image.addEventListener("error", async () => {
    const answer = await fetch(image.src);
    const data = await answer.json().catch(() => ({}));
    const said = document.createElement("p");
    said.className = "missing";
    said.textContent = `Không có ảnh của trang. · ${data.error || "no picture of the page"}`;
    image.replaceWith(said);
  }));
  const letters = $("#letters");
  letters.checked = localStorage.getItem("letters") !== "off";
  letters.addEventListener("change", () => localStorage.setItem("letters", letters.checked ? "on" : "off"));
  if (desk.dataset.claim) {
    const at = `/documents/${desk.dataset.document}`;
    setInterval(() => post(`${at}/renew`, {claim: desk.dataset.claim}).catch((error) => {
      desk.dataset.claim = "";
      tell(error.message, true);
    }), 40000);
    window.addEventListener("pagehide", () => fetch(`${at}/release`, {
      method: "POST", keepalive: true, headers: {"Content-Type": "application/json", "X-Key": key},
      body: JSON.stringify({claim: desk.dataset.claim}),
    }));
  }
  const wanted = location.hash.startsWith("#f-") ? document.getElementById(location.hash.slice(1)) : null;
  go(wanted || nextDoubt(null) || ($("[data-todo]") ? afterDoubts() : values()[0]) || $("#finish"));
}

if (desk) start();
else $("#begin")?.focus();
