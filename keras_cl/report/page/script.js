"use strict";
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const SVG = "http://www.w3.org/2000/svg";

// ---- light and dark -----------------------------------------------------------------------------------------------

const root = document.documentElement, theme = document.getElementById("theme");
const stored = (action) => { try { return action(localStorage); } catch { return null; } };  // refused in some browsers
const chosen = stored((storage) => storage.getItem("keras_cl.theme"));
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
theme.hidden = false;
theme.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  stored((storage) => storage.setItem("keras_cl.theme", root.dataset.theme));
});

// ---- figures: values under the pointer, series switched on and off --------------------------------------------------

const tip = document.getElementById("tip");
const MANY = 12;  // series of a figure, above which their switches are folded
const REACH = 24;  // pixels between the pointer and the value that it shows

class Figure {
  constructor(figure) {
    this.figure = figure;
    this.plot = figure.querySelector(".plot");
    this.svg = this.plot.querySelector("svg");
    this.spots = JSON.parse(figure.querySelector("script").textContent);
    this.off = new Set();
    this.at = -1;
    this.ring = document.createElementNS(SVG, "circle");
    this.ring.setAttribute("class", "spot");
    this.plot.addEventListener("pointermove", (event) => this.near(event));
    this.plot.addEventListener("pointerdown", (event) => this.near(event));
    this.plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.hide(); });
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.plot.addEventListener("blur", () => this.hide());
    this.chips();
  }

  groups(label) {
    return all("[data-series]", this.svg).filter((part) => part.dataset.series === label);
  }

  chips() {
    const labels = [...new Set(all(".series:not(.band)", this.svg).map((part) => part.dataset.series))];  // with points
    if (labels.length) this.live(labels.length);
    if (labels.length < 2) return;
    const place = labels.length > MANY ? folded(`${labels.length} series`) : this.figure.querySelector(".chips");
    this.figure.querySelector(".chips").append(...(labels.length > MANY ? [place] : []));
    for (const label of labels) {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.className = "chip";
      chip.dataset.label = label;
      chip.append(swatch(this.groups(label), this.svg), label);
      chip.addEventListener("click", () => this.show(label, this.off.has(label)));
      place.append(chip);
      chip.setAttribute("aria-pressed", "true");
    }
  }

  // On the screen the switches are the legend, and what it leaves free above the axes is cut off.
  live(count) {
    const legend = this.svg.querySelector('[id*="legend"]');
    if (!legend || (count < 2 && all("text", legend).length > 1)) return;  // which says more than there are series
    const whole = this.svg.getAttribute("viewBox");
    const [left, top, width, height] = whole.split(/\s+/).map(Number);
    const box = legend.getBBox(), end = box.y + box.height;
    const cut = end < height / 2 ? `${left} ${top + end} ${width} ${height - end}` : whole;
    this.figure.classList.add("live");
    this.svg.setAttribute("viewBox", cut);
    addEventListener("beforeprint", () => this.svg.setAttribute("viewBox", whole));
    addEventListener("afterprint", () => this.svg.setAttribute("viewBox", cut));
  }

  show(label, on) {
    if (on) this.off.delete(label); else this.off.add(label);
    for (const part of this.groups(label)) part.classList.toggle("off", !on);
    for (const chip of all(".chip", this.figure)) if (chip.dataset.label === label) chip.setAttribute("aria-pressed", on);
    this.hide();
  }

  shown() {
    return this.spots.filter((spot) => !this.off.has(spot.series));
  }

  near(event) {
    const matrix = this.svg.getScreenCTM();
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    let best = null, least = REACH / matrix.a;
    for (const spot of this.shown()) {
      const distance = Math.hypot(spot.x - point.x, spot.y - point.y);
      if (distance < least) [best, least] = [spot, distance];
    }
    if (best) this.tell(best); else this.hide();
  }

  key(event) {
    const spots = this.shown(), step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") this.hide();
    if (!step || !spots.length) return;
    event.preventDefault();
    const next = this.at < 0 && step < 0 ? spots.length - 1 : (this.at + step + spots.length) % spots.length;
    this.tell(spots[next]);
    this.at = next;
  }

  tell(spot) {
    const matrix = this.svg.getScreenCTM();
    const place = new DOMPoint(spot.x, spot.y).matrixTransform(matrix);
    this.ring.setAttribute("cx", spot.x);
    this.ring.setAttribute("cy", spot.y);
    this.ring.setAttribute("r", 5 / matrix.a);
    this.svg.append(this.ring);
    tip.textContent = spot.text;
    tip.hidden = false;
    const width = tip.offsetWidth, height = tip.offsetHeight, edge = root.clientWidth - width - 4;
    tip.style.left = `${scrollX + Math.max(4, Math.min(edge, place.x - width / 2))}px`;
    tip.style.top = `${scrollY + (place.y - height - 12 > 0 ? place.y - height - 12 : place.y + 14)}px`;
  }

  hide() {
    this.at = -1;
    this.ring.remove();
    tip.hidden = true;
  }
}

// Switches that are shown when they are asked for.
function folded(title) {
  const made = document.createElement("details"), summary = document.createElement("summary");
  summary.append(title);
  made.append(summary);
  return made;
}

// A line and a marker that look like those of the series.
function swatch(parts, svg) {
  const made = document.createElementNS(SVG, "svg"), add = (d, style) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    path.style.cssText = style;
    made.append(path);
    return path;
  };
  made.setAttribute("viewBox", "0 0 28 14");
  made.setAttribute("aria-hidden", "true");
  const points = parts.filter((part) => !part.classList.contains("band")), shown = points.length ? points : parts;
  const drawn = (kind) => shown.flatMap((part) => all(kind, part)).filter((one) => !one.closest("defs"));
  const styles = drawn("path").map((one) => getComputedStyle(one)), marker = drawn("use")[0];
  const line = styles.find((style) => style.stroke !== "none" && style.fill === "none");
  const band = styles.find((style) => style.fill !== "none");
  if (line) add("M1 7H27", `stroke:${line.stroke};stroke-width:2.5;fill:none;stroke-dasharray:${line.strokeDasharray}`);
  if (marker) {
    const { fill, stroke } = getComputedStyle(marker), name = marker.getAttribute("xlink:href") || marker.getAttribute("href");
    const shape = svg.querySelector(`#${CSS.escape(name.slice(1))}`);
    add(shape.getAttribute("d"), `fill:${fill};stroke:${stroke}`).setAttribute("transform", "translate(14 7) scale(1.8)");
  } else if (band && !line) {
    add("M4 2H24V12H4Z", `fill:${band.fill}`);
  }
  return made;
}

const figures = all("figure.card").filter((figure) => figure.querySelector(".plot svg")).map((figure) => new Figure(figure));
for (const chip of all(".groups .chip")) {
  chip.hidden = false;
  chip.addEventListener("click", () => {
    const on = chip.getAttribute("aria-pressed") === "false", label = chip.dataset.label;
    chip.setAttribute("aria-pressed", on);
    for (const figure of figures) figure.show(label, on);
    for (const figure of all("[data-group]")) if (figure.dataset.group === label) figure.hidden = !on;
  });
}

// ---- tables -------------------------------------------------------------------------------------------------------

const valueOf = (row, column) => {
  const { value } = row.cells[column].dataset, text = row.cells[column].textContent;
  return value === undefined ? text : Number(value);
};
const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

for (const table of all("table.sorts")) {
  const headings = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...[...heading.childNodes].filter((part) => part.nodeName !== "SMALL"));
    heading.prepend(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows], numbers = rows.filter((row) => typeof valueOf(row, column) === "number");
      const known = numbers.length ? numbers : rows.filter((row) => row.cells[column].textContent);
      const others = rows.filter((row) => !known.includes(row));
      known.sort((a, b) => (down ? -1 : 1) * compare(valueOf(a, column), valueOf(b, column)));
      body.append(...known, ...others);  // what is not known stays last
    });
  });
}

// ---- the command ----------------------------------------------------------------------------------------------------

for (const button of all(".copy")) {
  const code = button.parentNode.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    getSelection().selectAllChildren(code);  // for browsers that do not let a file copy
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    } catch { /* it is selected */ }
  });
}

// ---- print ----------------------------------------------------------------------------------------------------------

addEventListener("beforeprint", () => { for (const part of all("section > details")) part.open = true; });
