// Rows are sorted within their section, so that only models of the same code size and arm change places.
"use strict";
const key = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
const compare = (first, second) => {
  const difference = Number(first) - Number(second);
  return Number.isNaN(difference) ? first.localeCompare(second, "en", { numeric: true }) : difference;
};
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headers.forEach((other) => other.setAttribute("aria-sort", "none"));
      header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter((row) => !row.classList.contains("section"));
        rows.sort((first, second) => {
          const [a, b] = [key(first, column), key(second, column)];
          if (a === "" || b === "") return (a === "") - (b === ""); // what is absent stays last
          return sign * compare(a, b);
        });
        body.append(...rows);
      }
    });
  });
}
// What is wider than its box says so; a table within closed details is measured when these open.
const boxes = [...document.querySelectorAll(".scroll")];
const mark = () => boxes.forEach((box) => box.classList.toggle("wide", box.scrollWidth > box.clientWidth + 1));
new ResizeObserver(mark).observe(document.body);
document.querySelectorAll("details").forEach((details) => details.addEventListener("toggle", mark));
mark();
// Beside the text there is room for the whole table of contents.
if (window.matchMedia("(min-width: 68rem)").matches) document.querySelector("nav details").open = true;
