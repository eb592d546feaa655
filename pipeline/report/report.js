// A click on a column's head sorts its table: first rising, then falling. Figures sort as figures.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const rising = head.getAttribute("aria-sort") !== "ascending";
    const value = (row) => {
      const text = row.cells[head.cellIndex].textContent.trim();
      const figure = text.replace(/,/g, "").match(/^-?\d+(\.\d+)?(?=%|$| )/);
      return head.classList.contains("right") ? (figure ? Number(figure[0]) : -Infinity) : text;
    };
    const order = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, "vi", { numeric: true });
    const rows = [...body.rows].filter((row) => !row.classList.contains("total"));
    rows.sort((a, b) => (rising ? 1 : -1) * order(value(a), value(b)));
    body.prepend(...rows);
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  });
}
