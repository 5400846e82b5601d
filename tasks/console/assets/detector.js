// One detector: its versions, their scores, and what was decided about them.

import { get } from "./api.js";
import { lineChart, whole } from "./charts.js";
import { pin, promote, rollBack } from "./decide.js";
import { driftPill, link, servingPill, versionOf } from "./detectors.js";
import { card, digest, exact, figure, h, message, number, pill, table, time, words } from "./dom.js";

export { lineage } from "./lineage.js";
export { drift } from "./drift.js";
export { tryout } from "./tryout.js";
export { inbox } from "./inbox.js";

const PARTS = [["", "Overview"], ["/lineage", "Lineage"], ["/drift", "Drift"], ["/try", "Try images"], ["/inbox", "Inbox"]];

/** The head that all pages of a detector share. */
export function head(name, part, ...actions) {
  const links = PARTS.map(([path, title]) =>
    h("a", { href: link(name, path), "aria-current": path === part ? "page" : null }, title),
  );
  return h(
    "div",
    { class: "head" },
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Detectors"), " / "),
    h("div", { class: "title" }, h("h1", {}, name), h("div", { class: "actions" }, actions)),
    h("nav", { class: "tabs", "aria-label": `Pages of ${name}` }, links),
  );
}

export function overview(name, { again }) {
  let metric = null;
  return {
    title: name,
    fresh: true,
    async load(signal) {
      const path = `/api/detectors/${encodeURIComponent(name)}`;
      const [detector, health] = await Promise.all([get(path, signal), get(`${path}/serving`, signal)]);
      return { detector, health };
    },
    render({ detector, health }) {
      const undo = detector.rollback_to
        ? h("button", { type: "button", id: "rollback", onclick: async () => (await rollBack(detector)) && again() }, `Roll back to version ${detector.rollback_to} …`)
        : null;
      const hold = detector.pinned || detector.champion
        ? h("button", { type: "button", id: "pin", onclick: async () => (await pin(detector)) && again() }, detector.pinned ? "Unpin …" : "Pin …")
        : null;
      metric ??= detector.metric;
      const chart = h("div");
      const draw = () => chart.replaceChildren(scores(detector, metric));
      draw();
      const choice = selector(detector, metric, (chosen) => { metric = chosen; draw(); });
      return h(
        "div",
        {},
        head(name, "", hold, undo),
        detector.pinned ? h("p", { class: "note" }, `No retrain promotes a version: pinned by ${detector.pinned.who.replace(/ <[^>]*>/, "")}, ${detector.pinned.why}`) : null,
        tiles(detector, health),
        h("section", { class: "card" }, h("div", { class: "row" }, h("h2", {}, "Score by version"), choice), chart),
        h("section", { class: "card flush" }, h("h2", {}, "Versions"), versions(detector, again)),
        h("section", { class: "card" }, h("h2", {}, "Decisions"), decisions(detector)),
      );
    },
  };
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function tile(title, value, ...more) {
  return h("div", { class: "tile" }, h("h2", {}, title), h("div", { class: "value" }, value), h("small", {}, more));
}

function tiles(detector, health) {
  const champion = versionOf(detector, detector.champion);
  if (!champion) {
    const text = "A version serves once it is promoted: by the next retrain, or by you, below.";
    return message("No version serves", text);
  }
  const value = champion.metrics[detector.metric];
  const mismatch = health.version && health.version !== champion.version ? `serves version ${health.version}` : null;
  return h(
    "div",
    { class: "tiles" },
    tile("Champion", `Version ${champion.version}`, "since ", time(detector.since ?? champion.created)),
    tile(capital(words(detector.metric)), figure(detector.metric, value), `decides promotions · ${detector.kind}`),
    tile("Serving", servingPill(health), mismatch ?? (health.since ? ["ready ", time(health.since)] : health.url || "Start it with unseen up")),
    tile("Drift", driftPill(champion.drift), champion.drift ? ["looked ", time(champion.drift.when)] : "No look yet at this version"),
  );
}

function selector(detector, metric, choose) {
  const names = [...new Set(detector.versions.flatMap((each) => Object.keys(each.metrics)))].sort();
  if (!names.length) return null;
  const options = names.map((each) => h("option", { value: each, selected: each === metric }, words(each)));
  const select = h("select", { id: "metric", onchange: () => choose(select.value) }, options);
  return h("label", { class: "inline" }, "Metric ", select);
}

function lastAbout(detector, version) {
  return detector.decisions.findLast((each) => each.version === version) ?? null;
}

function scores(detector, metric) {
  const points = detector.versions
    .filter((each) => each.metrics[metric] !== undefined)
    .map((each) => point(detector, each, metric));
  if (!points.length) return h("p", { class: "muted" }, "No version has this figure. 'unseen retrain' evaluates every version that it makes.");
  const unit = /^(frame_auc|image_auroc|pixel_auroc|cluster_)/.test(metric);
  return h(
    "div",
    {},
    lineChart({
      title: `${words(metric)} by version`,
      series: [{ name: words(metric), kind: "main", points }],
      x: { format: (value) => `v${value}`, ticks: whole },
      y: { high: unit ? 1 : undefined, least: unit ? 0.01 : undefined },
    }),
    h("p", { class: "legend" }, h("span", { class: "key champion" }, "champion"), h("span", { class: "key main" }, "promoted once"), h("span", { class: "key refused" }, "never served")),
  );
}

function point(detector, version, metric) {
  const about = lastAbout(detector, version.version);
  const serves = version.version === detector.champion;
  const served = detector.decisions.some((each) => MOVES.has(each.action) && [each.champion, each.former].includes(version.version));
  return {
    x: version.version,
    y: version.metrics[metric],
    mark: serves ? "champion" : served ? "" : "refused",
    label: serves ? "champion" : null,
    read: [
      `Version ${version.version}: ${figure(metric, version.metrics[metric])}`,
      exact(new Date(version.created)),
      about ? `${ACTIONS[about.action][0]}: ${about.why}` : "Not decided yet",
    ],
  };
}

const MOVES = new Set(["promote", "rollback", "pin", "set in MLflow"]);
const ALIASES = { champion: "good", challenger: "accent", "former-champion": "plain" };
const ACTIONS = { promote: ["promoted", "good"], refuse: ["not promoted", "plain"], rollback: ["rolled back", "warn"], pin: ["pinned", "accent"], unpin: ["unpinned", "plain"], "set in MLflow": ["set in MLflow", "warn"], unreadable: ["unreadable", "bad"] };

function versions(detector, again) {
  const columns = ["Version", "Score", "Registered", "Data", "Model", "Last decision", ""];
  const rows = detector.versions.toReversed().map((each) => {
    const about = lastAbout(detector, each.version);
    const aliases = each.aliases.map((alias) => pill(alias, ALIASES[alias] ?? "plain"));
    const decide = h("button", { type: "button", id: `promote-${each.version}`, "aria-label": `Promote version ${each.version}`, onclick: async () => (await promote(detector, each)) && again() }, "Promote …");
    return [
      h("div", {}, h("a", { class: "strong", href: link(detector.name, `/lineage/${each.version}`), title: "Show its lineage" }, `Version ${each.version}`), " ", aliases),
      h("div", {}, figure(detector.metric, each.metrics[detector.metric]), figures(each)),
      time(each.created),
      h("div", {}, each.data_name, " ", digest(each.data_digest, "data digest")),
      digest(each.digest, "model digest"),
      about ? pill(...ACTIONS[about.action], about.why) : h("span", { class: "muted" }, "none"),
      each.version === detector.champion ? null : decide,
    ];
  });
  return table("Versions", columns, rows);
}

function figures(version) {
  const rows = Object.entries(version.metrics).map(([name, value]) => h("div", {}, h("dt", {}, words(name)), h("dd", {}, figure(name, value))));
  const more = version.seed === null ? [] : [h("div", {}, h("dt", {}, "seed"), h("dd", {}, String(version.seed)))];
  return h("details", {}, h("summary", {}, "all figures"), h("dl", {}, rows, more));
}

function decisions(detector) {
  if (!detector.decisions.length) {
    return h("p", { class: "muted" }, "Nothing was decided yet. Every promotion, refusal and rollback is told here, with who and why.");
  }
  const terms = new Set(["margin", "confidence", "num_resamples", "seed", "floor"]);
  const entries = detector.decisions.toReversed().map((each) => {
    const serves = each.champion ? `version ${each.champion} serves` : "none serves";
    const instead = each.former && each.former !== each.champion ? ` instead of version ${each.former}` : "";
    const numbers = Object.entries(each.figures).filter(([name]) => !terms.has(name)).map(([name, value]) => `${words(name)} ${number(value)}`);
    return h(
      "li",
      { class: each.action === "set in MLflow" ? "rollback" : each.action },
      h("div", { class: "row" }, h("strong", {}, each.version ? `Version ${each.version} ` : ""), pill(...ACTIONS[each.action]), h("span", { class: "muted" }, `${serves}${instead}`), h("span", { class: "grow" }), time(each.when)),
      h("p", {}, each.why),
      h("small", {}, each.who.replace(/ <[^>]*>/, ""), numbers.length ? ` · ${numbers.join(" · ")}` : ""),
    );
  });
  return h("ol", { class: "decisions" }, entries);
}
