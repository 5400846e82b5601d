// The frame of the page: which view is shown, the key, the colours, and what changes meanwhile.

import { get, Refused } from "./api.js";
import { askForKey, session } from "./key.js";
import { h, message, refreshTimes, tell } from "./dom.js";
import * as detectors from "./detectors.js";
import * as detector from "./detector.js";
import * as data from "./data.js";

const REFRESH = 20_000;
const content = document.getElementById("content");
const changed = document.getElementById("changed");
const ROUTES = [
  [/^\/$/, detectors.list, "detectors"],
  [/^\/detectors\/([^/]+)$/, detector.overview, "detectors"],
  [/^\/detectors\/([^/]+)\/lineage(?:\/(\d+))?$/, detector.lineage, "detectors"],
  [/^\/detectors\/([^/]+)\/drift$/, detector.drift, "detectors"],
  [/^\/detectors\/([^/]+)\/try$/, detector.tryout, "detectors"],
  [/^\/detectors\/([^/]+)\/inbox$/, detector.inbox, "detectors"],
  [/^\/data$/, data.list, "data"],
  [/^\/validations\/([0-9a-f]{32})$/, data.validation, "data"],
];

let view = null;
let shown = "";
let first = true;
let leave = new AbortController();

async function show({ keepFocus = false } = {}) {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const path = decodeURI(location.hash.slice(1)) || "/";
  const found = ROUTES.find(([pattern]) => pattern.test(path));
  changed.hidden = true;
  view = null;
  mark(found?.[2]);
  if (!found) {
    put(message("There is no such page", `${path} leads nowhere.`, h("a", { href: "#/" }, "All detectors")));
    return;
  }
  const parameters = found[0].exec(path).slice(1).map((each) => each && decodeURIComponent(each));
  const made = found[1](...parameters, { again: () => show({ keepFocus: true }), signal });
  if (!keepFocus) put(h("p", { class: "loading", role: "status" }, "Loading …"));
  try {
    const loaded = await made.load(signal);
    if (signal.aborted) return;
    shown = JSON.stringify(loaded);
    const focus = keepFocus ? document.activeElement?.id : "";
    put(made.render(loaded));
    view = made;
    document.title = `${made.title} · unseen`;
    if (focus) document.getElementById(focus)?.focus();
    else if (!keepFocus && !first) content.focus({ preventScroll: true });
    if (!keepFocus) window.scrollTo(0, 0);
    first = false;
  } catch (error) {
    if (!signal.aborted) put(explain(error));
  }
}

function put(element) {
  content.replaceChildren(element);
}

function mark(page) {
  for (const link of document.querySelectorAll("nav [data-page]")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function explain(error) {
  if (!(error instanceof Refused)) throw error;
  const again = h("button", { type: "button", onclick: () => show() }, "Try again");
  if (error.status === 401) {
    const enter = h("button", { type: "button", class: "main", onclick: () => enterKey() }, "Enter a key");
    return message("A key is needed to look", error.message, enter);
  }
  const title = error.status === 404 ? "There is no such thing" : "This cannot be shown now";
  return message(title, error.message, again, " ", h("a", { href: "#/" }, "All detectors"));
}

async function enterKey() {
  if (await askForKey()) {
    await about();
    await show({ keepFocus: true });
  }
}

async function about() {
  const key = document.getElementById("key");
  try {
    Object.assign(session, await get("/api/about"));
    document.getElementById("where").textContent = session.repository;
    key.textContent = session.key ? `Key: ${session.key}` : "Key";
    key.title = session.key ? `May ${session.rights.join(" and ")}` : "Promoting needs a key";
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    key.textContent = "Key";
  }
}

async function look() {
  refreshTimes();
  if (!view?.fresh || document.hidden || document.querySelector("dialog[open]")) return;
  const looked = view;
  try {
    const loaded = await looked.load(leave.signal);
    if (looked !== view || JSON.stringify(loaded) === shown) return;
    if (content.contains(document.activeElement) && document.activeElement !== content) {
      changed.hidden = false;
      tell("Something has changed.");
      return;
    }
    shown = JSON.stringify(loaded);
    put(looked.render(loaded));
  } catch (error) {
    if (!(error instanceof Refused) && error.name !== "AbortError") throw error;
  }
}

function themes() {
  const button = document.getElementById("theme");
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const label = () => {
    button.textContent = dark() ? "☀" : "☾";
    button.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours");
    button.title = button.getAttribute("aria-label");
  };
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = dark() ? "light" : "dark";
    localStorage.setItem("theme", document.documentElement.dataset.theme);
    label();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", label);
  label();
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  content.focus();
});
document.getElementById("key").addEventListener("click", enterKey);
document.getElementById("show-changes").addEventListener("click", () => show({ keepFocus: true }));
window.addEventListener("hashchange", () => show());
setInterval(look, REFRESH);
themes();
await about();
await show();
