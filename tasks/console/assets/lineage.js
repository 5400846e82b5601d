// What a version was made from, as boxes and arrows from left to right.

import { get } from "./api.js";
import { head } from "./detector.js";
import { link } from "./detectors.js";
import { digest, h, s } from "./dom.js";
import { session } from "./key.js";

const NARROW = 900;
const NAMES = { data: "data digest", code: "commit", validation: "run id", pretext: "run id", fit: "run id", flow: "flow run id", model: "model digest", source: "model digest", statistics: "statistics digest" };

export function lineage(name, version) {
  return {
    title: `${name}: lineage`,
    fresh: true,
    async load(signal) {
      const path = `/api/detectors/${encodeURIComponent(name)}`;
      const detector = await get(path, signal);
      const chosen = version ?? detector.champion ?? detector.versions.at(-1)?.version;
      const graph = chosen ? await get(`${path}/lineage?version=${chosen}`, signal) : null;
      return { detector, graph };
    },
    render({ detector, graph }) {
      if (!graph) return h("div", {}, head(name, "/lineage"), h("p", { class: "muted" }, "There is no version yet."));
      const options = detector.versions.toReversed().map((each) =>
        h("option", { value: each.version, selected: each.version === graph.version }, `Version ${each.version}${each.version === detector.champion ? " (champion)" : ""}`),
      );
      const select = h("select", { id: "version", onchange: () => { location.hash = link(name, `/lineage/${select.value}`); } }, options);
      const notes = graph.notes.map((each) => h("li", {}, each));
      return h(
        "div",
        {},
        head(name, "/lineage"),
        h(
          "section",
          { class: "card" },
          h("div", { class: "row" }, h("h2", {}, "From the bytes to what serves"), h("label", { class: "inline" }, "Version ", select)),
          draw(graph),
          notes.length ? h("ul", { class: "notes" }, notes) : null,
          h("p", { class: "muted" }, "On the command line: ", h("code", {}, `unseen trace ${name}@${graph.version}`), ". To have the bytes back: ", h("code", {}, `unseen trace ${name}@${graph.version} --restore DIR`)),
        ),
      );
    },
  };
}

function draw(graph) {
  const layers = [...new Set(graph.boxes.map((box) => box.layer))].sort((a, b) => a - b);
  const elements = new Map();
  const columns = layers.map((layer) => {
    const boxes = graph.boxes.filter((box) => box.layer === layer).map((box) => {
      const element = draw_box(box, graph);
      elements.set(box.id, element);
      return h("li", {}, element);
    });
    return h("ol", {}, boxes);
  });
  const lines = s("svg", { class: "arrows", "aria-hidden": "true" });
  const place = h("div", { class: "graph", role: "group", "aria-label": `Lineage of ${graph.model} version ${graph.version}` }, lines, columns);
  const connect = () => lines.replaceChildren(...arrows(graph, elements, place));
  new ResizeObserver(connect).observe(place);
  return place;
}

function draw_box(box, graph) {
  const titles = new Map(graph.boxes.map((each) => [each.id, each.title]));
  const from = graph.arrows.filter((each) => each.target === box.id).map((each) => titles.get(each.source));
  const state = { ok: null, warning: "needs a look", lost: "lost" }[box.state];
  const run = session.mlflow && ["validation", "pretext", "fit"].includes(box.kind) ? `${session.mlflow}/#/runs/${box.name}` : "";
  const inside = box.kind === "validation" && box.state !== "lost" ? h("a", { href: `#/validations/${box.name}` }, "Results") : null;
  return h(
    "article",
    { class: `box ${box.kind} ${box.state}` },
    h("h3", {}, box.title, state ? h("span", { class: "pill warn" }, state) : null),
    box.name ? digest(box.name, NAMES[box.kind] ?? "id") : null,
    box.facts.map((fact) => h("p", {}, fact.replace(/^(registered|since) (\d{4}-\d\d-\d\d)T(\d\d:\d\d).*$/, "$1 $2 $3 UTC"))),
    inside,
    box.url || run ? h("a", { href: box.url || run, target: "_blank", rel: "noopener noreferrer" }, box.url ? "in Prefect" : "in MLflow") : null,
    from.length ? h("p", { class: "from" }, `from: ${from.join(", ")}`) : null,
  );
}

function arrows(graph, elements, place) {
  const outer = place.getBoundingClientRect();
  if (outer.width < NARROW * 0.75) return [];
  const spot = (id) => elements.get(id).getBoundingClientRect();
  return graph.arrows.flatMap(({ source, target }) => {
    const [a, b] = [spot(source), spot(target)];
    const [x1, y1] = [a.right - outer.left, a.top + a.height / 2 - outer.top];
    const [x2, y2] = [b.left - outer.left, b.top + b.height / 2 - outer.top];
    if (x2 <= x1) {
      const x = (a.left + a.right) / 2 - outer.left;
      const [from, to] = a.top < b.top ? [a.bottom - outer.top, b.top - outer.top] : [a.top - outer.top, b.bottom - outer.top];
      return [s("path", { d: `M${x} ${from}L${x} ${to}` })];
    }
    const bend = Math.max((x2 - x1) / 2, 18);
    return [s("path", { d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 5} ${y2}` }), s("path", { class: "tip-of", d: `M${x2 - 6} ${y2 - 4}L${x2} ${y2}L${x2 - 6} ${y2 + 4}Z` })];
  });
}
