// All detectors at a glance.

import { get } from "./api.js";
import { sparkline } from "./charts.js";
import { figure, h, message, pill, table, time, words } from "./dom.js";

const SERVING = {
  ok: ["serving", "good"],
  degraded: ["degraded", "warn"],
  waiting: ["waiting", "warn"],
  silent: ["no answer", "bad"],
  none: ["not running", "plain"],
};

export function servingPill(health) {
  const [text, kind] = SERVING[health.state];
  const about = [health.version && `version ${health.version}`, health.problem, health.url].filter(Boolean);
  return pill(text, kind, about.join("\n") || "Start it with 'unseen up' or 'unseen serve'");
}

export function driftPill(drift) {
  if (!drift) return pill("not looked", "plain", "'unseen monitor' looks; 'unseen up' does so regularly");
  return pill(drift.verdict, drift.verdict === "drift" ? "bad" : "good", drift.why);
}

export function versionOf(detector, number) {
  return detector.versions.find((each) => each.version === number) ?? null;
}

export function link(name, part = "") {
  return `#/detectors/${encodeURIComponent(name)}${part}`;
}

export function list() {
  return {
    title: "Detectors",
    fresh: true,
    async load(signal) {
      const found = await get("/api/detectors", signal);
      const asked = found.map((each) => get(`/api/detectors/${encodeURIComponent(each.name)}/serving`, signal));
      return { detectors: found, health: await Promise.all(asked) };
    },
    render({ detectors, health }) {
      if (!detectors.length) {
        return message(
          "No detector is registered yet",
          "Train the first one on the embedded data; it takes a few minutes:",
          h("pre", {}, "unseen retrain"),
        );
      }
      const rows = detectors.map((each, index) => row(each, health[index]));
      const columns = ["Detector", "Champion", "Score", "Challenger", "Serving", "Drift"];
      return h("div", {}, h("h1", {}, "Detectors"), h("div", { class: "card flush cards" }, table("Detectors", columns, rows)));
    },
  };
}

function row(detector, health) {
  const champion = versionOf(detector, detector.champion);
  const name = h("div", {}, h("a", { class: "strong", href: link(detector.name) }, detector.name), h("small", {}, detector.kind));
  const serves = champion
    ? h("div", {}, `version ${champion.version}`, h("small", {}, "since ", time(detector.since ?? champion.created)))
    : h("span", { class: "muted" }, "none yet");
  const history = detector.versions.map((each) => each.metrics[detector.metric]).filter((each) => each !== undefined);
  const value = champion?.metrics[detector.metric];
  const score = h(
    "div",
    { class: "score" },
    h("div", {}, h("strong", {}, figure(detector.metric, value)), h("small", {}, words(detector.metric))),
    sparkline(history),
  );
  const newer = detector.challenger && detector.challenger !== detector.champion;
  const challenger = newer
    ? h("div", {}, `version ${detector.challenger}`, h("small", {}, figure(detector.metric, versionOf(detector, detector.challenger)?.metrics[detector.metric])))
    : h("span", { class: "muted" }, "–");
  return [name, serves, score, challenger, servingPill(health), driftPill(champion?.drift)];
}
