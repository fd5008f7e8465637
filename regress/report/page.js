// What the report's page does beside being read. Without it the page is whole: plain tables, still
// figures. Rows are put in order by sortable.js, a library (see there); here its tables get buttons
// as headers, values to sort by and a filter, and figures tooltips and downloads.
(() => {
"use strict";

const MANY_ROWS = 5; // a table with more rows than this has a filter
const REACH = 22; // px: how far from a mark of a figure the pointer may be
const PNG_SCALE = 4; // dots of a downloaded picture to a px of the page

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const live = document.body.appendChild(make("div", { className: "spoken" }));
live.setAttribute("aria-live", "polite");

// ---- tables

const SECONDS = { s: 1, min: 60, h: 3600 };

/** What a cell sorts by: its first number, a duration in seconds, "" for nothing; null for text. */
function sortKey(text) {
  text = text.trim().replace(/\u2212/g, "-").replace(/,(?=\d{3})/g, "");
  if (/^[-–—]?$/.test(text)) return "";
  if (/^[\d.]+ (h|min|s)( \d+ (min|s))?$/.test(text)) {
    const parts = [...text.matchAll(/([\d.]+) (h|min|s)/g)];
    return parts.reduce((sum, [, number, unit]) => sum + number * SECONDS[unit], 0);
  }
  const found = text.match(/^([<+]?)(-?\d+(?:\.\d+)?)(?![\w.])/);
  return found ? found[2] - (found[1] === "<" ? 1e-9 : 0) : null;
}

/** A text to sort by, in which the 10th comes after the 9th. */
function textKey(text) {
  return text.trim().toLowerCase().replace(/\d+/g, digits => digits.padStart(9, "0"));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const rows = [...table.tBodies[0].rows];
  const name = document.getElementById(table.parentElement.getAttribute("aria-labelledby"));
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    if (!header.textContent.trim()) {
      header.classList.add("no-sort");
      return;
    }
    const cells = rows.map(row => row.cells[column]);
    const keys = cells.map(cell => sortKey(cell.textContent));
    const numeric = !keys.includes(null);
    cells.forEach((cell, row) => {
      cell.dataset.sort = numeric || keys[row] === "" ? keys[row] : textKey(cell.textContent);
    });
    header.append(make("button", { type: "button" }, ...header.childNodes));
    if (header.textContent === "#") header.setAttribute("aria-sort", "ascending");
  });
  table.addEventListener("sort-end", () => {
    const header = table.tHead.querySelector("[aria-sort]");
    live.textContent = `Sorted by ${header.textContent}, ${header.getAttribute("aria-sort")}`;
  });
  if (rows.length <= MANY_ROWS) continue;
  const input = make("input", { type: "search", autocomplete: "off", spellcheck: false });
  const count = make("output", {}, `${rows.length} rows`);
  input.setAttribute("aria-label", `Filter: ${name ? name.textContent : "rows"}`);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(word => text.includes(word));
    }
    const shown = rows.filter(row => !row.hidden).length;
    count.textContent = shown < rows.length ? `${shown} of ${rows.length} rows` : `${shown} rows`;
  });
  table.parentElement.before(make("p", { className: "filter" }, make("label", {}, "Filter ", input), count));
}

// ---- figures: tooltips

const tip = document.body.appendChild(make("div", { className: "tip", hidden: true }));
tip.setAttribute("role", "tooltip");
tip.setAttribute("aria-hidden", "true"); // what it says is spoken by `live`, or is in the CSV

/** The rows of a CSV text, each an object by column. */
function readCsv(text) {
  const lines = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|$)/g)) {
    lines.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ",") lines.push([]);
  }
  const names = lines.shift();
  return lines.map(line => Object.fromEntries(names.map((name, k) => [name, line[k]])));
}

function fill(template, row) {
  return template.replace(/\{(\w+)(?::(\d))?\}/g, (_, name, digits) => {
    const value = row[name];
    if (!value) return "–";
    return digits ? Number(value).toFixed(digits).replace("-", "\u2212") : value;
  });
}

/** The marks of a drawing in its own units, those of a series from left to right. */
function marksOf(svg, rows) {
  const marks = [];
  for (const group of svg.querySelectorAll("[data-row]")) {
    const first = Number(group.dataset.row);
    const series = [...group.querySelectorAll("use")].map((use, k) => {
      const [x, y] = [use.x.baseVal.value, use.y.baseVal.value];
      return { x, y, width: 0, height: 0, row: rows[first + k], say: group.dataset.say };
    });
    if (!series.length) {
      const { x, y, width, height } = group.getBBox();
      series.push({
        x: x + width / 2, y: y + height / 2, width, height, row: rows[first], say: group.dataset.say,
      });
    }
    marks.push(...series.sort((a, b) => a.x - b.x || a.y - b.y));
  }
  return marks;
}

let told = () => {}; // tells again, in its new place, what the keyboard has asked for

function tooltips(svg, link) {
  let marks = null; // made when first needed: the page opens faster
  let current = -1;
  let ring = null;
  const all = () => {
    if (!marks) marks = marksOf(svg, readCsv(decodeURIComponent(link.href.slice(link.href.indexOf(",") + 1))));
    return marks;
  };
  const hide = () => {
    tip.hidden = true;
    if (ring) ring.remove();
    ring = null;
    current = -1;
    told = () => {};
  };
  const show = k => {
    hide();
    current = k;
    const { x, y, row, say } = all()[k];
    ring = document.createElementNS(svg.namespaceURI, "circle");
    for (const [name, value] of Object.entries({ class: "ring", cx: x, cy: y, r: 4.5 })) {
      ring.setAttribute(name, value);
    }
    svg.append(ring);
    tip.textContent = fill(say, row);
    tip.hidden = false;
    const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
    const { width, height } = tip.getBoundingClientRect();
    const room = document.documentElement.clientWidth - width - 8;
    tip.style.left = `${Math.max(8, Math.min(at.x - width / 2, room))}px`;
    tip.style.top = `${at.y - height - 12 < 0 ? at.y + 12 : at.y - height - 12}px`;
  };
  const point = event => {
    const matrix = svg.getScreenCTM();
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    let best = -1;
    let least = REACH / matrix.a;
    all().forEach((mark, k) => {
      const [dx, dy] = [Math.abs(mark.x - at.x), Math.abs(mark.y - at.y)];
      const inside = dx < mark.width / 2 && dy < mark.height / 2;
      const distance = inside ? 0 : Math.hypot(dx, dy);
      if (distance < least) [best, least] = [k, distance];
    });
    if (best < 0) hide();
    else if (best !== current) show(best);
  };
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", event => {
    const last = all().length - 1;
    const to = {
      ArrowRight: Math.min(current + 1, last), ArrowDown: Math.min(current + 1, last),
      ArrowLeft: Math.max(current - 1, 0), ArrowUp: Math.max(current - 1, 0), Home: 0, End: last,
    }[event.key];
    if (event.key === "Escape") hide();
    if (to === undefined || last < 0) return;
    event.preventDefault();
    show(to);
    told = () => show(to);
    live.textContent = tip.textContent;
  });
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("role", "application"); // a screen reader hands the arrow keys on
  svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")} Arrow keys tell the values.`);
}

addEventListener("scroll", () => { tip.hidden = true; told(); }, { passive: true });

// ---- figures: downloads

const XLINK = "http://www.w3.org/1999/xlink";
const light = document.body.appendChild(make("span", { className: "light", hidden: true }));

/** A drawing as an SVG file of its own, in the light colours on white. */
function standalone(svg) {
  const copy = svg.cloneNode(true);
  const [, , width, height] = copy.getAttribute("viewBox").split(" ").map(Number);
  for (const name of ["style", "role", "tabindex", "aria-label"]) copy.removeAttribute(name);
  copy.setAttribute("width", `${width}pt`);
  copy.setAttribute("height", `${height}pt`);
  for (const ring of copy.querySelectorAll(".ring")) ring.remove();
  for (const group of copy.querySelectorAll("[data-row]")) {
    delete group.dataset.row;
    delete group.dataset.say;
  }
  for (const use of copy.querySelectorAll("use")) { // older programs know this name only
    use.setAttributeNS(XLINK, "xlink:href", use.getAttribute("href"));
  }
  const paper = document.createElementNS(svg.namespaceURI, "rect");
  for (const [name, value] of Object.entries({ width: "100%", height: "100%", fill: "#fff" })) {
    paper.setAttribute(name, value);
  }
  copy.prepend(paper);
  const colours = getComputedStyle(light);
  const text = new XMLSerializer().serializeToString(copy);
  const resolved = text.replace(/var\((--[\w-]+)\)/g, (_, name) => colours.getPropertyValue(name).trim());
  return { text: resolved, width, height };
}

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function savePng({ text, width, height }, name) {
  const picture = new Image();
  await new Promise((done, failed) => {
    Object.assign(picture, { onload: done, onerror: failed });
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  });
  const dots = points => Math.round(points * 4 / 3 * PNG_SCALE);
  const canvas = make("canvas", { width: dots(width), height: dots(height) });
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  canvas.toBlob(blob => save(blob, name), "image/png");
}

for (const downloads of document.querySelectorAll(".downloads")) {
  const name = downloads.dataset.name;
  const svgs = downloads.closest("figure").querySelectorAll("svg");
  const link = downloads.querySelector("a[href^='data:text/csv']");
  if (!svgs.length) continue;
  const file = () => standalone(svgs[0]);
  const actions = {
    SVG: () => save(new Blob([file().text], { type: "image/svg+xml" }), `${name}.svg`),
    PNG: () => savePng(file(), `${name}.png`),
  };
  for (const [kind, onclick] of Object.entries(actions)) {
    const button = make("button", { type: "button", onclick }, kind);
    button.setAttribute("aria-label", `${kind}: ${name}`);
    downloads.append(button);
  }
  if (link) svgs.forEach(svg => { if (svg.querySelector("[data-row]")) tooltips(svg, link); });
}
})();
