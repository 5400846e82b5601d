// Elements, made of data as text only, and how figures and times are written.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

/** An HTML element; attributes that begin with "on" are listeners, strings become text. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Tell people who listen to the page what has happened. */
export function tell(text) {
  document.getElementById("told").textContent = text;
}

const SMALL = 1e-3;

/** A number with the digits that matter; a dash where there is none. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < SMALL) return value.toExponential(digits - 1);
  return size < 1 ? value.toFixed(digits) : Number(value.toPrecision(digits + 1)).toString();
}

export function percent(value) {
  return value === null || value === undefined ? "–" : `${number(100 * value, 2)} %`;
}

export function megabytes(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  return bytes < 1e6 ? `${number(bytes / 1e3, 2)} kB` : `${number(bytes / 1e6, 2)} MB`;
}

const UNITS = [
  [/_per_s$/, "/s"],
  [/^num_frames$/, " frames"],
];

/** A metric of an evaluation with its unit. */
export function figure(name, value) {
  if (/(_rate|_rate_low|_rate_high|_rate_p\d+)$/.test(name)) return percent(value);
  if (Math.abs(value) <= 1 && !name.startsWith("num_")) return value.toFixed(4);
  const unit = UNITS.find(([pattern]) => pattern.test(name));
  return number(value, 4) + (unit && Number.isFinite(value) ? unit[1] : "");
}

/** frame_auc -> frame AUC */
export function words(name) {
  const capital = new Set(["auc", "auroc", "eer", "acc", "nmi", "ari"]);
  return name.split("_").map((word) => (capital.has(word) ? word.toUpperCase() : word)).join(" ");
}

const STEPS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function ago(date, now = Date.now()) {
  const seconds = (date.getTime() - now) / 1000;
  const [unit, length] = STEPS.find((step) => Math.abs(seconds) >= step[1]) ?? ["second", 1];
  if (unit === "second") return "just now";
  return relative.format(Math.round(seconds / length), unit);
}

export function exact(date) {
  return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** A time as people say it; the exact one on hovering, and kept up to date. */
export function time(text) {
  const date = new Date(text ?? NaN);
  if (Number.isNaN(date.getTime())) return h("span", {}, "–");
  return h("time", { datetime: date.toISOString(), title: exact(date) }, ago(date));
}

export function refreshTimes() {
  for (const element of document.querySelectorAll("time")) {
    element.textContent = ago(new Date(element.dateTime));
  }
}

/** A digest or an id: short to see, whole to copy. */
export function digest(text, what = "digest") {
  if (!text) return h("span", { class: "muted" }, "–");
  const [body, mark] = text.split("+");
  const shown = body.length > 14 ? `${body.slice(0, 12)}…` : body;
  const button = h(
    "button",
    {
      type: "button",
      class: "digest",
      title: `${text}\nClick to copy`,
      "aria-label": `Copy ${what} ${text}`,
      onclick: () => copy(text, button),
    },
    shown + (mark ? `+${mark}` : ""),
  );
  return button;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "hidden" });
    area.value = text;
    button.after(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.classList.add("copied");
  tell(`Copied ${text}`);
  setTimeout(() => button.classList.remove("copied"), 1500);
}

/** A word on how something is; never by its colour alone. */
export function pill(text, kind = "plain", title = null) {
  return h("span", { class: `pill ${kind}`, title }, text);
}

/** What to say where there is nothing, or it cannot be had. */
export function message(title, text, ...more) {
  return h("div", { class: "message" }, h("h2", {}, title), text ? h("p", {}, text) : null, ...more);
}

export function table(caption, columns, rows, empty = "Nothing yet.") {
  const heads = columns.map((column) => h("th", { scope: "col" }, column || h("span", { class: "hidden" }, "actions")));
  const cells = (row) => row.map((cell, place) => h("td", { "data-label": columns[place] }, cell));
  const body = rows.length
    ? rows.map((row) => h("tr", {}, cells(row)))
    : [h("tr", {}, h("td", { colspan: columns.length, class: "muted" }, empty))];
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, heads)),
      h("tbody", {}, body),
    ),
  );
}

export function card(title, ...content) {
  return h("section", { class: "card" }, title ? h("h2", {}, title) : null, ...content);
}
