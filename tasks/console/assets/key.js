// The operator's key: asked for in a dialog, checked at once, kept in memory alone.

import { get, hasKey, Refused, useKey } from "./api.js";
import { h } from "./dom.js";

/** What the server says of itself and of the key in use. */
export const session = { repository: "", mlflow: "", key: "", rights: [] };

/** Open a dialog; resolves when it closes, to what it was closed with. */
export function open(title, build) {
  const id = `dialog-${Math.random().toString(36).slice(2)}`;
  const dialog = h("dialog", { "aria-labelledby": id });
  const back = document.activeElement;
  return new Promise((resolve) => {
    let outcome = null;
    const close = (value) => {
      outcome = value;
      dialog.close();
    };
    dialog.append(h("h2", { id }, title), ...build(close));
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (back?.isConnected) back.focus();
      resolve(outcome);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A form in a dialog: what goes wrong is told in it, and it stays open. */
export function form(fields, { submit, label, kind = "main", close }) {
  const problem = h("p", { class: "problem", role: "alert" });
  const go = h("button", { type: "submit", class: kind }, label);
  const element = h(
    "form",
    { method: "dialog", novalidate: true },
    fields,
    problem,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => close(null) }, "Cancel"), go),
  );
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = "";
    go.disabled = true;
    try {
      close(await submit());
    } catch (error) {
      problem.textContent = error.message;
      if (error.field) error.field.focus();
    } finally {
      go.disabled = false;
    }
  });
  return element;
}

/** Ask for a key; whether there now is another one, or none. */
export function askForKey(why = "", right = "promote") {
  return open("Key", (close) => {
    const input = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", required: true });
    const forget = h("button", { type: "button", class: "quiet", onclick: () => { useKey(""); close("none"); } }, "Forget the key in use");
    const fields = [
      why ? h("p", {}, why) : null,
      h("label", { for: "token" }, "Key"),
      input,
      h("p", { class: "muted" }, "Whoever runs the server makes one with ", h("code", {}, `unseen keys add NAME --right ${right}`), ". This page keeps it until it is closed or loaded again."),
      hasKey() ? forget : null,
    ];
    return [form(fields, { submit: () => check(input), label: "Use this key", close })];
  });
}

async function check(input) {
  const token = input.value.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw Object.assign(new Error("A key has letters, digits, dashes and no spaces. Paste it whole."), { field: input });
  }
  useKey(token);
  try {
    Object.assign(session, await get("/api/about"));
    return session.key;
  } catch (error) {
    useKey("");
    if (error instanceof Refused) error.field = input;
    throw error;
  }
}

/** Whether the key in use has a right, after asking for one if it has not. */
export async function allowed(right) {
  if (session.key && session.rights.includes(right)) return true;
  const why = session.key
    ? `The key of ${session.key} lacks the right '${right}', which this needs.`
    : `This needs a key with the right '${right}'.`;
  if (!(await askForKey(why, right))) return false;
  document.getElementById("key").textContent = session.key ? `Key: ${session.key}` : "Key";
  return session.rights.includes(right) ? true : allowed(right);
}
