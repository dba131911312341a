"use strict";
// What the page does beyond being read: arms are put aside, tables sorted, charts drawn, and all of it printed whole.

const PRINTED = 660; // how wide a printed page is, in CSS pixels: less than A4 and Letter have between their margins
const SIDES = 70; // of a panel beside its lines: the numbers and the name of its axis
const BETWEEN = 20; // panels
const all = (what, within = document) => [...within.querySelectorAll(what)];
const made = (tag, given = {}, ...inside) => {
  const element = Object.assign(document.createElement(tag), given);
  element.append(...inside);
  return element;
};

// -- arms --------------------------------------------------------------------------------------------------------------

const aside = new Set(); // the arms that are not shown
const KEPT = `collapselab arms aside ${location.pathname}`;

/** Where an arm's name stands, and what goes with it: its column, its row, its picture, its fold, or its line. */
function goesWith(names) {
  const heading = names.closest("thead th");
  if (heading) return all("tr", heading.closest("table")).flatMap((row) => row.cells[heading.cellIndex] ?? []);
  const whole = names.closest("tbody tr, figure, li, [data-goes]") ?? names.closest("summary")?.parentElement;
  return whole ? [whole] : [];
}

/** Each part of the page that belongs to arms, with these; it is shown while one of them is. */
function partsOfArms() {
  const found = new Map();
  for (const name of all("main [data-arm]")) {
    for (const part of goesWith(name)) found.set(part, [...(found.get(part) ?? []), name.dataset.arm]);
  }
  return [...found];
}

function armsChosen(box, parts) {
  const boxes = all("input", box);
  aside.clear();
  for (const one of boxes) if (!one.checked) aside.add(one.value);
  for (const [part, arms] of parts) part.classList.toggle("aside", arms.every((arm) => aside.has(arm)));
  box.querySelector("output").value = aside.size ? `${boxes.length - aside.size} of ${boxes.length} shown` : "all shown";
  try {
    sessionStorage.setItem(KEPT, JSON.stringify([...aside]));
  } catch {} // a page in a frame may not be allowed to keep anything
  drawAnew();
}

function keptAside() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}

const box = document.getElementById("arms");
if (box) {
  const parts = partsOfArms();
  const before = keptAside();
  for (const one of all("input", box)) one.checked = !before.includes(one.value);
  box.addEventListener("change", () => armsChosen(box, parts));
  box.querySelector("button").addEventListener("click", () => {
    for (const one of all("input", box)) one.checked = true;
    armsChosen(box, parts);
  });
  box.addEventListener("submit", (event) => event.preventDefault());
  box.hidden = false;
  if (innerWidth < 700 || innerHeight < 500) box.querySelector("details").open = false;
  // What the keyboard or a link reaches is not hidden behind the bar that stays at the top.
  const clear = () => document.documentElement.style.setProperty("--bar", `${box.offsetHeight}px`);
  new ResizeObserver(clear).observe(box);
  if (before.length) queueMicrotask(() => armsChosen(box, parts));
}

// -- charts ------------------------------------------------------------------------------------------------------------

const places = all("[data-chart]");
const near = new Set(); // the places of charts that are on the screen, or almost
let charts = {};
let printing = false;

/** The charts, once the page itself can be seen. */
function begin() {
  charts = JSON.parse(document.getElementById("charts").textContent);
  document.body.append(made("script", { textContent: document.getElementById("library").textContent }));
  const watch = new IntersectionObserver(
    (seen) => {
      for (const one of seen) {
        if (one.isIntersecting) near.add(one.target);
        else near.delete(one.target);
        if (one.isIntersecting && !one.target.view) draw(one.target);
      }
    },
    { rootMargin: "600px" },
  );
  for (const place of places) {
    place.replaceChildren(made("div", { className: "drawing" }), besides(place));
    place.style.minHeight = `${(panelOf(charts[place.dataset.chart]).height ?? 200) + 140}px`;
    watch.observe(place);
  }
  let width = document.body.clientWidth;
  new ResizeObserver(() => {
    if (printing || width === document.body.clientWidth) return;
    width = document.body.clientWidth;
    drawAnew();
  }).observe(document.body);
}

/** The chart in its place, once it is drawn; of two drawings of a chart the later one stays. */
async function draw(place) {
  const room = printing ? printedRoom(place) : place.clientWidth;
  const chart = fitted(withoutAside(charts[place.dataset.chart]), Math.max(room, 220));
  const turn = (place.turn = (place.turn ?? 0) + 1);
  const drawing = made("div", { className: "drawing" });
  const { view } = await vegaEmbed(drawing, chart, { mode: "vega-lite", renderer: "svg", actions: false, logLevel: 1 });
  if (turn !== place.turn) return view.finalize();
  place.view?.finalize();
  place.view = view;
  place.firstElementChild.replaceWith(drawing);
  place.style.minHeight = "";
  const picture = drawing.querySelector("svg");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", chart.description);
  picture.removeAttribute("aria-roledescription");
  for (const part of picture.children) part.setAttribute("aria-hidden", "true"); // one picture with its words
  const fold = place.querySelector(".beside");
  if (fold.open) tell(fold, place);
}

/** Charts that are near are drawn at once, the others when they come near. */
function drawAnew() {
  for (const place of places) {
    if (near.has(place)) draw(place);
    else if (place.view) {
      place.view.finalize();
      place.style.minHeight = `${place.offsetHeight}px`;
      place.view = null;
    }
  }
}

const panelOf = (chart) => chart.spec ?? chart.vconcat?.[0] ?? chart;

/** A copy of the chart without the arms that are put aside, in rows and in legends. */
function withoutAside(chart) {
  const values = chart.data.values.filter((row) => !aside.has(row.arm));
  const copy = structuredClone({ ...chart, data: {} });
  const scales = (part) => {
    if (part === null || typeof part !== "object") return;
    if (part.field === "arm" && part.scale?.domain) {
      const shown = part.scale.domain.map((arm) => !aside.has(arm));
      for (const side of ["domain", "range"]) part.scale[side] = part.scale[side].filter((_, index) => shown[index]);
    }
    Object.values(part).forEach(scales);
  };
  scales(copy);
  return { ...copy, data: { values } };
}

/** The chart in this much room: panels stand below each other where they do not fit beside each other. */
function fitted(chart, room) {
  const panel = panelOf(chart);
  if (chart.facet) {
    const facet = chart.facet.column ?? chart.facet;
    const panels = new Set(chart.data.values.map((row) => row[facet.field])).size;
    chart.facet = facet;
    panel.width = Math.min(panel.width, room - SIDES);
    const beside = Math.floor((room - SIDES + BETWEEN) / (panel.width + BETWEEN));
    chart.columns = Math.max(1, Math.min(chart.columns ?? panels, beside));
  } else if (chart.vconcat) {
    for (const part of chart.vconcat) part.width = Math.min(part.width, room - 160);
  } else {
    chart.width = Math.min(chart.width + SIDES, room);
    chart.autosize = { type: "fit-x", contains: "padding" };
  }
  legends(panel, room);
  titles(chart.title, room);
  return chart;
}

function legends(part, room) {
  if (part === null || typeof part !== "object") return;
  if (part.legend) {
    const longest = Math.max(0, ...(part.scale?.domain ?? []).map((name) => String(name).length));
    if (part.legend.labelLimit) part.legend.labelLimit = Math.min(part.legend.labelLimit, room - SIDES);
    if (part.legend.columns) part.legend.columns = Math.max(1, Math.floor((room - SIDES) / (30 + 7.5 * longest)));
    if (room < 500) part.legend = { gradientLength: room - SIDES, columns: 1, ...part.legend, orient: "bottom" };
  }
  Object.values(part).forEach((inside) => legends(inside, room));
}

/** Titles in as many lines as they need. */
function titles(title, room) {
  const lines = (text, wide) =>
    [text].flat().flatMap((words) => words.match(new RegExp(`\\S.{0,${Math.floor(room / wide)}}(?=\\s|$)|\\S+`, "g")));
  title.text = lines(title.text, 8);
  if (title.subtitle) title.subtitle = lines(title.subtitle, 6);
}

/** The fold below a chart: its numbers, and its picture to keep. */
function besides(place) {
  const chart = charts[place.dataset.chart];
  const summary = made("summary", { textContent: "Numbers and image" });
  summary.setAttribute("aria-label", `Numbers and image: ${[chart.title.text, chart.title.subtitle ?? []].flat().join(", ")}`);
  const fold = made("details", { className: "beside" }, summary, made("div"));
  fold.addEventListener("toggle", () => fold.open && tell(fold, place));
  return fold;
}

function tell(fold, place) {
  const name = place.dataset.chart;
  const save = (kind, address) => {
    const button = made("button", { type: "button", textContent: kind });
    button.addEventListener("click", async () => made("a", { download: `${name}.${kind.toLowerCase()}`, href: await address() }).click());
    return button;
  };
  const svg = save("SVG", async () => URL.createObjectURL(new Blob([await place.view.toSVG()], { type: "image/svg+xml" })));
  const png = save("PNG", async () => (await place.view.toCanvas(2)).toDataURL());
  const pdf = made("a", { href: `figures/${name}.pdf`, textContent: "PDF" });
  const images = made("p", {}, "Image: ", svg, " ", png, " ", pdf);
  fold.lastElementChild.replaceChildren(images, numbersOf(charts[name]));
}

const LISTED = 400; // rows that a table below a chart has
const UNSAID = ["what", "x", "order"]; // where a row is drawn, not what it says

function numbersOf(chart) {
  const shown = chart.data.values.filter((row) => !aside.has(row.arm));
  const rows = shown.some((row) => row.what === "mean") ? shown.filter((row) => row.what === "mean") : shown;
  const names = [...new Set(rows.flatMap(Object.keys))].filter((name) => !UNSAID.includes(name));
  const words = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : (value ?? "–"));
  const side = (row, name) => (typeof row[name] === "number" ? "number" : "");
  const heading = (name) => made("th", { scope: "col", className: side(rows[0] ?? {}, name), textContent: name });
  const line = (row) => made("tr", {}, ...names.map((name) => made("td", { className: side(row, name), textContent: words(row[name]) })));
  const table = made("table", {}, made("thead", {}, made("tr", {}, ...names.map(heading))), made("tbody", {}, ...rows.slice(0, LISTED).map(line)));
  const scroll = made("div", { className: "scroll" }, table);
  if (rows.length > LISTED) scroll.append(made("p", { textContent: `The first ${LISTED} of ${rows.length} rows; all numbers stand in metrics.csv.` }));
  sortable(table);
  watchScroll(scroll);
  return scroll;
}

if (places.length) requestAnimationFrame(() => setTimeout(() => window.vegaEmbed || begin())); // after the first paint

// -- tables ------------------------------------------------------------------------------------------------------------

const NUMBER = /^[+−-]?\d[\d ,  ]*(\.\d+)?(e[+−-]?\d+)?(?=$|[ %x])/i;

/** A button in each heading of a table, which sorts its rows: up, down, and as they were. */
function sortable(table) {
  const rows = all("tbody tr", table);
  if (rows.length < 3) return;
  const order = new Map(rows.map((row, index) => [row, index]));
  for (const heading of all("thead th", table)) {
    const button = made("button", { type: "button", className: "sorts" }, ...heading.childNodes);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const now = { ascending: "descending", descending: null }[heading.ariaSort];
      for (const other of all("thead th", table)) other.ariaSort = null;
      heading.ariaSort = now === undefined ? "ascending" : now;
      sort(table, order, heading.cellIndex, heading.ariaSort);
    });
  }
}

/** Rows by a column; a row that is read with the row above it stays there. */
function sort(table, order, column, way) {
  const groups = [];
  for (const row of [...order.keys()].sort((a, b) => order.get(a) - order.get(b))) {
    if ("follows" in row.dataset && groups.length) groups.at(-1).push(row);
    else groups.push([row]);
  }
  const key = ([row]) => valueOf(row.cells[column]);
  if (way) groups.sort((a, b) => compared(key(a), key(b), way === "descending" ? -1 : 1));
  table.tBodies[0].append(...groups.flat());
}

/** What a cell is sorted by: its number, or its words; nothing where it says that there is nothing. */
function valueOf(cell) {
  const words = (cell.firstChild?.nodeType === Node.TEXT_NODE ? cell.firstChild.data : cell.innerText).trim();
  if (words === "" || words === "–") return null;
  const found = words.match(NUMBER);
  return found ? Number(found[0].replace(/[ ,  ]/g, "").replace(/−/g, "-")) : words;
}

/** What is missing comes last, in both ways; numbers come before words. */
function compared(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return sign * (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
}

for (const table of all("main table:not(.pictures table)")) if (table.tHead) sortable(table);

// What is wider than its room is scrolled by keyboard too, where nothing in it takes the focus.
const wide = new ResizeObserver((seen) => {
  for (const { target } of seen) {
    const scroll = target.closest(".scroll");
    if (scroll.scrollWidth > scroll.clientWidth + 1) {
      Object.assign(scroll, { tabIndex: 0, role: "region", ariaLabel: scroll.dataset.name });
    } else {
      for (const name of ["tabindex", "role", "aria-label"]) scroll.removeAttribute(name);
    }
  }
});
function watchScroll(scroll) {
  const section = scroll.closest("details, figure, section");
  const words = section?.querySelector("summary, figcaption, h2")?.textContent.trim() ?? "numbers";
  scroll.dataset.name = `${words}: table, scrolls sideways`;
  wide.observe(scroll);
  wide.observe(scroll.firstElementChild);
}
all(".scroll").forEach(watchScroll);

// -- print -------------------------------------------------------------------------------------------------------------

/** Small charts are printed in pairs, others over the whole page. */
function printedRoom(place) {
  return place.parentElement.matches(".charts") && panelOf(charts[place.dataset.chart]).width < 520 ? PRINTED / 2 - 10 : PRINTED;
}

let opened = [];
addEventListener("beforeprint", () => {
  printing = true;
  opened = all("details:not([open], .beside)");
  for (const fold of opened) fold.open = true;
  if (places.length && !window.vegaEmbed) begin(); // printed before anything was drawn
  places.forEach(draw);
});
addEventListener("afterprint", () => {
  printing = false;
  for (const fold of opened) fold.open = false;
  drawAnew();
});
