// Charts, drawn for the width that they get: axes, a reading of each point by mouse and by keys.

import { h, s, number } from "./dom.js";

const MARGIN = { top: 14, right: 18, bottom: 34, left: 52 };

/** About `count` round numbers from `low` to `high`. */
export function ticks(low, high, count = 5) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place += 1) {
    found.push(Number((place * step).toPrecision(12)));
  }
  return found;
}

/** Whole numbers from `left` to `right`, about `most` of them. */
export function whole(left, right, most) {
  const step = Math.max(1, Math.ceil((right - left + 1) / most));
  const found = [];
  for (let value = left; value <= right; value += step) found.push(value);
  return found;
}

function extent(values, least) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const pad = Math.max((high - low) * 0.12, least ?? Math.max(Math.abs(high), 1e-6) * 0.02);
  return [low - pad, high + pad];
}

/**
 * A chart of points over versions, frames or time.
 *
 * series: [{ name, kind: "main" | "second" | "limit", points: [{ x, y, read, mark, label }] }]
 * x: { label, format, ticks }; y: { label, format, low, high, bottom, least }
 * pick: is told the point that was clicked or chosen with Enter.
 */
export function lineChart({ title, series, x, y, height = 240, pick = null }) {
  const shown = series.filter((each) => each.points.length);
  const points = shown.filter((each) => each.kind !== "limit").flatMap((each) =>
    each.points.map((point) => ({ ...point, series: each })),
  ).sort((a, b) => a.x - b.x);
  const tip = h("div", { class: "tip", "aria-hidden": "true", hidden: true });
  const reading = h("p", { class: "hidden", role: "status" });
  const place = h("div", {
    class: "plot",
    tabindex: points.length ? "0" : null,
    role: "group",
    "aria-label": `${title}. Chart of ${points.length} points; read them with the arrow keys.`,
  });
  const figure = h("figure", { class: "chart" }, place, tip, reading, legend(shown));
  let current = -1;
  let scaleX = () => 0;
  let scaleY = () => 0;

  function draw() {
    const width = Math.max(place.clientWidth, 220);
    const xs = shown.flatMap((each) => each.points.map((point) => point.x));
    const ys = shown.flatMap((each) => each.points.map((point) => point.y));
    if (!xs.length) return;
    const [left, right] = [Math.min(...xs), Math.max(...xs)];
    const [low, high] = extent(ys, y.least);
    const bottom = y.bottom ?? Math.max(low, y.low ?? -Infinity);
    const top = Math.min(high, y.high ?? Infinity);
    const innerWidth = width - MARGIN.left - MARGIN.right;
    const innerHeight = height - MARGIN.top - MARGIN.bottom;
    const inset = Math.min(28, innerWidth / 10);
    scaleX = (value) =>
      MARGIN.left + (right > left ? inset + ((value - left) / (right - left)) * (innerWidth - 2 * inset) : innerWidth / 2);
    scaleY = (value) => MARGIN.top + (1 - (value - bottom) / (top - bottom || 1)) * innerHeight;
    const svg = s("svg", { width, height, "aria-hidden": "true" });
    const levels = ticks(bottom, top, 4);
    const places = Math.max(0, ...levels.map((value) => (String(value).split(".")[1] ?? "").length));
    const level = y.format ?? ((value) => value.toFixed(places));
    for (const value of levels) {
      svg.append(
        s("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: scaleY(value), y2: scaleY(value) }),
        s("text", { class: "axis", x: MARGIN.left - 8, y: scaleY(value) + 4, "text-anchor": "end" }, level(value)),
      );
    }
    const most = Math.max(2, Math.floor(innerWidth / 90));
    let before = "";
    for (const value of x.ticks ? x.ticks(left, right, most) : ticks(left, right, most)) {
      const text = x.format(value);
      if (text !== before) svg.append(s("text", { class: "axis", x: scaleX(value), y: height - 14, "text-anchor": "middle" }, text));
      before = text;
    }
    svg.append(s("line", { class: "base", x1: MARGIN.left, x2: width - MARGIN.right, y1: height - MARGIN.bottom, y2: height - MARGIN.bottom }));
    for (const each of shown) svg.append(...lines(each, scaleX, scaleY));
    for (const [index, point] of points.entries()) svg.append(...marks(point, index === current, scaleX, scaleY));
    place.replaceChildren(svg);
  }

  function read(index) {
    current = index;
    draw();
    const point = points[index];
    tip.hidden = !point;
    if (!point) return;
    tip.replaceChildren(...point.read.map((line, row) => h(row ? "span" : "strong", {}, line)));
    reading.textContent = point.read.join(". ");
    const middle = scaleX(point.x);
    const half = tip.offsetWidth / 2;
    tip.style.left = `${Math.min(Math.max(middle, half + 4), place.clientWidth - half - 4)}px`;
    const above = scaleY(point.y) - tip.offsetHeight - 14;
    tip.style.top = `${above < 0 ? scaleY(point.y) + 14 : above}px`;
  }

  function nearest(event) {
    const box = place.getBoundingClientRect();
    let best = -1;
    let least = Infinity;
    for (const [index, point] of points.entries()) {
      const distance = Math.hypot(scaleX(point.x) - (event.clientX - box.left), (scaleY(point.y) - (event.clientY - box.top)) / 3);
      if (distance < least) [best, least] = [index, distance];
    }
    return best;
  }

  place.addEventListener("pointermove", (event) => read(nearest(event)));
  place.addEventListener("pointerleave", () => read(-1));
  place.addEventListener("blur", () => read(-1));
  place.addEventListener("click", (event) => pick && points.length && pick(points[nearest(event)]));
  place.addEventListener("keydown", (event) => {
    const last = points.length - 1;
    const to = { ArrowRight: Math.min(current + 1, last), ArrowLeft: Math.max(current < 0 ? last : current - 1, 0), Home: 0, End: last }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      read(to);
    } else if (event.key === "Escape") read(-1);
    else if (event.key === "Enter" && pick && points[current]) pick(points[current]);
  });
  new ResizeObserver(() => read(-1)).observe(place);
  return figure;
}

function lines(each, scaleX, scaleY) {
  const path = each.points.map((point, index) => `${index ? "L" : "M"}${scaleX(point.x)} ${scaleY(point.y)}`).join("");
  const found = [s("path", { class: `line ${each.kind}`, d: path })];
  if (each.kind === "limit") {
    const last = each.points.at(-1);
    const only = each.points.length === 1;
    if (only) found.push(s("line", { class: "line limit", x1: MARGIN.left, x2: 4096, y1: scaleY(last.y), y2: scaleY(last.y) }));
  }
  return found;
}

function marks(point, active, scaleX, scaleY) {
  const [cx, cy] = [scaleX(point.x), scaleY(point.y)];
  const found = [];
  if (point.mark === "champion") found.push(s("circle", { class: "halo", cx, cy, r: 10 }));
  if (active) found.push(s("circle", { class: "active", cx, cy, r: 8 }));
  found.push(s("circle", { class: `point ${point.series.kind} ${point.mark ?? ""}`, cx, cy, r: point.mark === "small" ? 2.5 : 5 }));
  if (point.label) found.push(s("text", { class: "label", x: cx, y: cy < MARGIN.top + 22 ? cy + 26 : cy - 16, "text-anchor": "middle" }, point.label));
  return found;
}

function legend(series) {
  if (series.length < 2) return null;
  return h("figcaption", { class: "legend" }, series.map((each) => h("span", { class: `key ${each.kind}` }, each.name)));
}

/** Bars of a histogram. */
export function bars({ title, counts, low, high, lowText, highText, even = false }) {
  const [width, height] = [400, 96];
  const most = Math.max(...counts, 1);
  const total = counts.reduce((sum, each) => sum + each, 0);
  const size = width / counts.length;
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, class: "bars", role: "img", "aria-label": `${title}: ${counts.join(", ")}`, preserveAspectRatio: "none" });
  for (const [index, count] of counts.entries()) {
    const tall = (count / most) * (height - 4);
    const span = `${number(low + ((high - low) * index) / counts.length)} to ${number(low + ((high - low) * (index + 1)) / counts.length)}`;
    svg.append(s("rect", { x: index * size + 1, y: height - tall, width: size - 2, height: tall }, s("title", {}, `${span}: ${count}`)));
  }
  if (even && total) {
    const level = height - (total / counts.length / most) * (height - 4);
    svg.append(s("line", { class: "line limit", x1: 0, x2: width, y1: level, y2: level }));
  }
  return h("figure", { class: "chart" }, h("figcaption", {}, title), svg, h("div", { class: "ends" }, h("span", {}, lowText), h("span", {}, highText)));
}

/** A small line without axes, for a table. */
export function sparkline(values) {
  if (!values.length) return null;
  const [low, high] = extent(values);
  const spot = (value, index) => [4 + (index / Math.max(values.length - 1, 1)) * 72, 20 - ((value - low) / (high - low)) * 16];
  const path = values.map((value, index) => `${index ? "L" : "M"}${spot(value, index).join(" ")}`).join("");
  const [cx, cy] = spot(values.at(-1), values.length - 1);
  return s("svg", { class: "spark", width: 80, height: 24, "aria-hidden": "true" }, s("path", { d: path }), s("circle", { cx, cy, r: 2.5 }));
}
