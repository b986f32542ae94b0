"use strict";

// -- light and dark --------------------------------------------------------------------------

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// -- tables that sort, and show few of very many rows ----------------------------------------

const FEW_ROWS = 20;

const valueOf = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.value === undefined ? cell.textContent : cell.dataset.value;
  const number = Number(text);
  return text !== "" && !Number.isNaN(number) ? number : text;
};

// Numbers before words, and what is not known last, whichever way the others go.
const compare = (a, b, sign) => {
  const rank = (value) => (value === "" || value === "-" ? 2 : typeof value === "string" ? 1 : 0);
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  return sign * (a < b ? -1 : a > b ? 1 : 0);
};

const element = (name, properties, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

const shorten = (table) => {
  const body = table.tBodies[0];
  const total = body.rows.length;
  const what = table.dataset.rows;
  const find = element("input", { type: "search", placeholder: `find ${what}` });
  find.setAttribute("aria-label", `Find ${what}`);
  const more = element("button", { type: "button" });
  const said = element("span", { className: "note" });
  let whole = false;
  const show = () => {
    const wanted = find.value.trim().toLowerCase();
    let shown = 0;
    let found = 0;
    for (const row of body.rows) {
      const fits = row.textContent.toLowerCase().includes(wanted);
      found += fits;
      row.hidden = !fits || (!whole && shown >= FEW_ROWS);
      shown += !row.hidden;
    }
    const count = (number) => number.toLocaleString("en");
    const those = wanted ? `${count(shown)} of ${count(found)} that fit, of` : `${count(shown)} of`;
    said.textContent = `${those} ${count(total)} ${what}`;
    more.hidden = found <= FEW_ROWS;
    more.textContent = whole ? `show ${FEW_ROWS}` : `show all ${found.toLocaleString("en")}`;
  };
  more.addEventListener("click", () => {
    whole = !whole;
    show();
  });
  find.addEventListener("input", show);
  table.parentElement.before(element("p", { className: "rows" }, find, " ", more, " ", said));
  show();
  return show;
};

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const show = body.rows.length > FEW_ROWS ? shorten(table) : () => {};
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.tabIndex = 0;
    head.title = "sort";
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row, index) => [valueOf(row, column), index, row]);
      rows.sort((a, b) => compare(a[0], b[0], down ? -1 : 1) || a[1] - b[1]);
      body.append(...rows.map((entry) => entry[2]));
      show();
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort();
    });
  });
}

// -- what is wider than the page says so -----------------------------------------------------

for (const box of document.querySelectorAll(".scroll")) {
  const cue = element("p", { className: "note cue", hidden: true });
  cue.textContent = "Scroll sideways to see all of it \u2192";
  box.before(cue);
  new ResizeObserver(() => {
    cue.hidden = box.scrollWidth <= box.clientWidth + 1;
    if (cue.hidden) box.removeAttribute("tabindex");
    else box.tabIndex = 0;
  }).observe(box);
}
