// Pictures to judge, one after the other, by keyboard or mouse; nothing is loaded anew meanwhile.

import { bytes, get, post, Refused } from "./api.js";
import { head } from "./detector.js";
import { h, message, number, pill, tell, time } from "./dom.js";
import { allowed } from "./key.js";
import { viewer } from "./viewer.js";

const KEYS = { n: "normal", d: "defect", s: "skip" };

export function inbox(name, { signal }) {
  const api = `/api/detectors/${encodeURIComponent(name)}`;
  const done = [];
  let items = [];
  let place = 0;
  let leave = new AbortController();

  const stage = h("div", { id: "stage" });
  const count = h("span", { id: "count", role: "status" });
  const problem = h("p", { class: "problem", role: "alert" });
  const kind = h("input", { id: "kind", value: "defect", size: 14, maxlength: 64, spellcheck: "false" });

  function act(title, key, run, kindOf = "") {
    return h("button", { type: "button", class: kindOf, id: `key-${key}`, onclick: run }, title, " ", h("kbd", {}, key));
  }

  async function show() {
    leave.abort();
    leave = new AbortController();
    signal.addEventListener("abort", () => leave.abort(), { once: true });
    const turn = leave.signal;
    count.textContent = `${items.length} to judge, ${done.length} judged in this sitting`;
    const item = items[place];
    if (!item) {
      stage.replaceChildren(message("Nothing to judge", "unseen serve NAME --keep alarms keeps pictures that raise an alarm; they are shown here."));
      return;
    }
    const facts = h("div");
    const frame = { frame: 0, image_score: item.image_score, p_value: item.p_value, anomalous: item.anomalous };
    const draw = (found, files, nearest) => {
      stage.replaceChildren(h("div", { class: "split wide" }, viewer(found, files, () => {}).element, facts));
      facts.replaceChildren(describe(item, nearest));
      stage.dataset.prediction = item.prediction;
    };
    try {
      const files = await Promise.all(item.files.map((each) => bytes(`${api}/pictures/${each}`, turn)));
      draw({ frames: [frame] }, files, null);
      const found = await get(`${api}/look?prediction=${encodeURIComponent(item.prediction)}`, turn);
      if (!turn.aborted) draw(found.scored, files, found.nearest);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Refused)) throw error;
      facts.append(h("p", { class: "note" }, error.message));
    }
  }

  async function guarded(run) {
    problem.textContent = "";
    try {
      if (await allowed("label")) await run();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      problem.textContent = error.message;
    }
  }

  const judge = (verdict) => guarded(async () => {
    const item = items[place];
    if (!item) return;
    await post(`${api}/judgements`, { prediction: item.prediction, verdict, kind: verdict === "defect" ? kind.value.trim() : "" });
    done.push(item);
    items = items.filter((each) => each !== item);
    place = Math.min(place, Math.max(items.length - 1, 0));
    tell(`Judged ${verdict}. ${items.length} to judge.`);
    if (!items.length) await refill();
    await show();
  });

  const undo = () => guarded(async () => {
    const said = await post(`${api}/judgements/undo`, {});
    const known = done.findIndex((each) => each.prediction === said.prediction);
    if (known < 0) await refill();
    else items.splice(place, 0, ...done.splice(known, 1));
    tell(`Undone: ${said.verdict} of ${said.prediction}.`);
    await show();
  });

  const absorb = () => guarded(async () => {
    const found = await post(`${api}/absorb`, {});
    const more = [["known", found.known], ["disputed", found.disputed.length], ["gone", found.lost.length]];
    const told = more.filter(([, size]) => size).map(([word, size]) => `, ${size} ${word}`).join("");
    problem.replaceChildren(h("span", { id: "absorbed" }, `${found.pictures.length} absorbed into ${found.version.name}${told}. The next retrain learns from them.`));
  });

  async function refill() {
    items = await get(`${api}/inbox`, signal);
    place = 0;
  }

  function move(step) {
    place = Math.min(Math.max(place + step, 0), Math.max(items.length - 1, 0));
    return show();
  }

  function press(event) {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "range";
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const run = { j: () => move(1), k: () => move(-1), u: undo }[event.key] ?? (KEYS[event.key] && (() => judge(KEYS[event.key])));
    if (!run) return;
    event.preventDefault();
    run();
  }

  return {
    title: `${name}: inbox`,
    fresh: false,
    load: () => get(`${api}/inbox`, signal),
    render(found) {
      items = found;
      document.addEventListener("keydown", press, { signal });
      show();
      return h(
        "div",
        {},
        head(name, "/inbox", h("button", { type: "button", id: "absorb", onclick: absorb }, "Absorb judged pictures")),
        h(
          "section",
          { class: "card" },
          h("div", { class: "row" }, h("h2", {}, "What is this?"), count),
          h("div", { class: "row", id: "verdicts" }, act("Normal", "n", () => judge("normal"), "main"), act("Defect", "d", () => judge("defect"), "danger"), h("label", { class: "inline", for: "kind" }, "of kind ", kind), act("Skip", "s", () => judge("skip")), h("span", { class: "grow" }), act("Undo", "u", undo), act("Back", "k", () => move(-1)), act("Next", "j", () => move(1))),
          problem,
          stage,
        ),
      );
    },
  };
}

function describe(item, nearest) {
  const rows = [
    ["p-value", number(item.p_value)],
    ["score", `${number(item.image_score)}, threshold ${number(item.threshold)}`],
    ["scored", [time(item.when), ` by version ${item.version}`]],
    ["prediction", item.prediction],
    ...item.opinions.map((each) => [each.who, `${each.verdict} ${each.kind}`]),
  ];
  const state = item.opinions.length ? pill("people differ", "warn") : item.anomalous ? pill("alarm", "bad") : pill("close to an alarm", "plain");
  const picture = nearest ? h("img", { src: URL.createObjectURL(decoded(nearest.png)), alt: `Nearest normal picture, ${nearest.path}`, id: "nearest" }) : null;
  return h("div", {}, state, h("dl", {}, rows.map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value)))), nearest ? h("h3", {}, "Nearest normal picture") : null, picture, nearest ? h("small", {}, nearest.path) : null);
}

function decoded(png) {
  return new Blob([Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0))], { type: "image/png" });
}
