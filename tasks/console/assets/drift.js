// Is what a served version is shown still like what it learned? Over time, and now.

import { get } from "./api.js";
import { bars, lineChart } from "./charts.js";
import { head } from "./detector.js";
import { driftPill } from "./detectors.js";
import { exact, h, message, number, percent, pill, table, time } from "./dom.js";

const KINDS = { drift: "bad", "no drift": "good" };

export function drift(name) {
  return {
    title: `${name}: drift`,
    fresh: true,
    load: (signal) => get(`/api/detectors/${encodeURIComponent(name)}/drift`, signal),
    render({ looks, now }) {
      if (!looks.length && !now) {
        return h("div", {}, head(name, "/drift"), message(
          "Nobody has looked yet",
          "Drift is told from what the serving process is shown. 'unseen up' starts that process and looks every quarter of an hour; by hand:",
          h("pre", {}, `unseen serve ${name}\nunseen monitor ${name}`),
        ));
      }
      return h("div", {}, head(name, "/drift"), now ? present(now) : null, looks.length ? past(looks) : null);
    },
  };
}

function present(now) {
  const { recent, overall } = now;
  const pairs = [
    ["frames", number(recent.frames), number(overall.frames)],
    ["clips, in effect", number(recent.clips), number(overall.clips)],
    ["alarm rate", percent(recent.alarm_rate), percent(overall.alarm_rate)],
    ["its 95 % interval", `${percent(recent.alarm_rate_low)} to ${percent(recent.alarm_rate_high)}`, `${percent(overall.alarm_rate_low)} to ${percent(overall.alarm_rate_high)}`],
    ["Fréchet distance, squared", number(recent.distance), number(overall.distance)],
    ["p-values: distance from uniform", number(recent.uniformity), number(overall.uniformity)],
    ["p-value of that distance", number(recent.uniformity_p_value), number(overall.uniformity_p_value)],
  ];
  return h(
    "section",
    { class: "card" },
    h("div", { class: "row" }, h("h2", {}, `Now, by the serving process (version ${now.version})`), pill(now.verdict, KINDS[now.verdict] ?? "plain"), h("span", { class: "grow" }), h("small", {}, "counted since ", time(now.since))),
    h("p", {}, now.why),
    h("div", { class: "split" },
      table("Recent frames and all", ["", "Recent", "All"], pairs),
      h("div", {},
        bars({ title: "Recent frames by p-value; the line is where normal frames would be", counts: recent.p_values, low: 0, high: 1, lowText: "0, strange", highText: "1, usual", even: true }),
        bars({ title: "Recent frames by image score", counts: recent.scores, low: now.score_edges[0], high: now.score_edges.at(-1), lowText: `up to ${number(now.score_edges[0])}`, highText: `from ${number(now.score_edges.at(-1))}` }))),
    now.limit === null ? h("p", { class: "muted" }, "No limit of the distance is known: it takes three normal clips that were held out.") : h("p", { class: "muted" }, `Normal clips stay below ${number(now.limit)}, half of them below ${number(now.typical)}; the threshold promises at most ${percent(now.promised_alarm_rate)} alarms on normal frames.`),
    now.lost ? h("p", { class: "note" }, `${now.lost} requests were not counted, because too many came at once.`) : null,
  );
}

function past(looks) {
  const distance = series(looks, "frechet", "Fréchet distance, squared");
  const limit = plain(looks, "frechet_limit", "limit of normal clips");
  const alarms = series(looks, "alarm_rate", "alarm rate", percent);
  const promised = plain(looks, "alarm_rate_promised", "promised at most");
  const x = { format: day(looks), ticks: spread };
  return h(
    "div",
    {},
    h("section", { class: "card" }, h("h2", {}, "Fréchet distance from what was learned"), distance.points.length ? lineChart({ title: "Fréchet distance over time", series: [distance, limit], x, y: { bottom: 0 } }) : h("p", { class: "muted" }, "This detector has no Gaussian to measure it by.")),
    h("section", { class: "card" }, h("h2", {}, "Alarm rate"), lineChart({ title: "Alarm rate over time", series: [alarms, promised], x, y: { format: percent, bottom: 0 }, height: 200 })),
    h("section", { class: "card flush" }, h("h2", {}, "Looks"), table("Looks", ["When", "Version", "Verdict", "Frames", "Fréchet distance", "Alarm rate", "Why"], looks.toReversed().slice(0, 50).map((each) => [
      time(each.when), String(each.version), driftPill(each), number(each.figures.frames), number(each.figures.frechet), percent(each.figures.alarm_rate), each.why,
    ]))),
  );
}

function series(looks, key, name, format = number) {
  const known = looks.filter((each) => each.figures[key] !== undefined);
  const points = known.map((each) => ({
    x: Date.parse(each.when),
    y: each.figures[key],
    mark: each.verdict === "drift" ? "drifted" : "",
    read: [`${name}: ${format(each.figures[key])}`, exact(new Date(each.when)), `version ${each.version}: ${each.verdict}`],
  }));
  return { name, kind: "main", points };
}

function plain(looks, key, name) {
  const known = looks.filter((each) => each.figures[key] !== undefined);
  return { name, kind: "limit", points: known.map((each) => ({ x: Date.parse(each.when), y: each.figures[key] })) };
}

function day(looks) {
  const span = Date.parse(looks.at(-1).when) - Date.parse(looks[0].when);
  const short = span < 36 * 3600 * 1000;
  return (value) => new Date(value).toISOString().slice(...(short ? [11, 16] : [5, 10]));
}

function spread(left, right, most) {
  if (left === right) return [left];
  return Array.from({ length: most + 1 }, (_, place) => left + ((right - left) * place) / most);
}
