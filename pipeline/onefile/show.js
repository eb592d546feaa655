"use strict";
// A value and its regions light up together, whichever of them is pointed at, focused or chosen.
const light = (cell, scroll) => {
  document.querySelectorAll(".lit").forEach((part) => part.classList.remove("lit"));
  if (!cell) return;
  document.querySelectorAll(`[data-cell="${CSS.escape(cell)}"]`).forEach((part) => {
    part.classList.add("lit");
    if (scroll === part.localName) return;
    if (part.localName === "rect" && part.classList.contains("witness")) return;
    part.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
};
const of = (event) => event.target.closest?.("[data-cell]");
document.addEventListener("mouseover", (event) => {
  const part = of(event);
  if (part) light(part.dataset.cell, part.localName);
});
document.addEventListener("focusin", (event) => {
  const part = of(event);
  if (part) light(part.dataset.cell, part.localName);
});
document.addEventListener("click", (event) => {
  const part = of(event);
  if (part?.localName === "rect") document.getElementById(part.dataset.cell)?.focus();
});
if (location.hash) document.getElementById(location.hash.slice(1))?.focus();
