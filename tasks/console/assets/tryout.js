// Drop an image, or the frames of a clip: what a detector says of each, and where.

import { get, predict, Refused } from "./api.js";
import { lineChart, whole } from "./charts.js";
import { head } from "./detector.js";
import { h, message, number, pill, table, tell } from "./dom.js";
import { viewer } from "./viewer.js";

const IMAGES = /\.(png|jpe?g)$/i;
const order = new Intl.Collator("en", { numeric: true });

export function tryout(name, { signal }) {
  return {
    title: `${name}: try images`,
    fresh: false,
    async load() {
      const path = `/api/detectors/${encodeURIComponent(name)}`;
      const [detector, health] = await Promise.all([get(path, signal), get(`${path}/serving`, signal)]);
      return { detector, health };
    },
    render({ detector, health }) {
      if (!detector.versions.length) return h("div", {}, head(name, "/try"), message("There is no version yet", "Train one:", h("pre", {}, `unseen retrain --recipe ${name}`)));
      const results = h("div", { id: "results" });
      const choice = versions(detector, health);
      const send = (files) => score(name, files, choice.value, results, signal);
      return h(
        "div",
        {},
        head(name, "/try"),
        h("section", { class: "card" }, h("div", { class: "row" }, h("h2", {}, "Images to score"), h("label", { class: "inline" }, "By ", choice)), dropzone(send)),
        results,
      );
    },
  };
}

function versions(detector, health) {
  const serving = ["ok", "degraded"].includes(health.state);
  const options = detector.versions.toReversed().map((each) => h("option", { value: each.version }, `version ${each.version}, in this console; not counted`));
  if (serving) options.unshift(h("option", { value: "", selected: true }, "the serving process; counts for drift like any request"));
  else if (detector.champion) options.unshift(h("option", { value: "", selected: true }, `the champion (version ${detector.champion}), in this console; not counted`));
  return h("select", { id: "by" }, options);
}

function dropzone(send) {
  const input = h("input", { type: "file", id: "files", multiple: true, accept: "image/*,video/*,.tif,.tiff,.ppm,.pgm,.mkv", class: "hidden", tabindex: "-1", "aria-label": "Image or video files" });
  const zone = h(
    "div",
    { class: "drop" },
    h("p", {}, "Drop an image here, the frames of a clip, or a video. Or "),
    h("button", { type: "button", class: "main", id: "choose", onclick: () => input.click() }, "Choose files …"),
    h("p", { class: "muted" }, "Images of any usual format, or MP4, AVI, MKV. Frames are taken in the order of their names. Nothing is kept."),
    input,
  );
  const take = (files) => {
    if (!files.length) return;
    zone.classList.add("small");
    send([...files]);
  };
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files);
  });
  return zone;
}

async function score(name, given, version, results, signal) {
  const files = given.toSorted((a, b) => order.compare(a.name, b.name));
  results.replaceChildren(h("p", { class: "loading", role: "status" }, `Scoring ${files.length === 1 ? files[0].name : `${files.length} files`} …`));
  try {
    const found = await withMaps(name, files, version, signal);
    const frames = files.every((file) => IMAGES.test(file.name)) ? files : [];
    results.replaceChildren(show(found, frames));
    const alarms = found.frames.filter((each) => each.anomalous).length;
    tell(`${found.frames.length} frames scored, ${alarms} anomalous.`);
  } catch (error) {
    if (!(error instanceof Refused)) {
      if (error.name === "AbortError") return;
      throw error;
    }
    results.replaceChildren(message("These files cannot be scored", error.message));
  }
}

/** With anomaly maps, or without if the detector makes none. */
async function withMaps(name, files, version, signal) {
  try {
    return await predict(name, files, version, true, signal);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 422) throw error;
    try {
      return await predict(name, files, version, false, signal);
    } catch {
      throw error;
    }
  }
}

function show(found, files) {
  const facts = h("div");
  const view = viewer(found, files, (index) => facts.replaceChildren(describe(found, found.frames[index])));
  const alarms = found.frames.filter((each) => each.anomalous).length;
  const by = found.answeredBy === "console" ? "scored in this console" : `answered by ${found.answeredBy}`;
  const clip = found.clip_p_value === null ? null : h("span", {}, `clip p-value ${number(found.clip_p_value)}`);
  return h(
    "section",
    { class: "card", id: "scored" },
    h("div", { class: "row" }, h("h2", {}, found.frames.length === 1 ? "One frame" : `${found.frames.length} frames`), pill(alarms ? `${alarms} anomalous` : "all normal", alarms ? "bad" : "good"), clip, h("span", { class: "grow" }), h("small", {}, `version ${found.version}, ${by}`)),
    h("div", { class: "split wide" }, view.element, facts),
    found.frames.length > 1 ? timeline(found, view.select) : null,
    h("p", { class: "muted" }, `p-values rest on ${found.calibration_clips} held-out normal clips: none is below ${number(1 / (found.calibration_clips + 1))}.`),
  );
}

function describe(found, frame) {
  const rows = [
    ["decision", frame.anomalous ? pill("anomalous", "bad") : pill("normal", "good")],
    ["frame", `${frame.frame} of the request, from 0`],
    ["image score", number(frame.image_score, 4)],
    ["threshold", `${number(frame.threshold, 4)} and above is anomalous`],
    ["p-value", number(frame.p_value)],
    ["q-value", number(frame.q_value)],
  ];
  if (frame.cluster !== null) rows.push(["cluster", `${frame.cluster}, with probability ${number(frame.soft_assignment[frame.cluster])}`]);
  const list = h("dl", { class: "figures" }, rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  const regions = frame.regions ?? [];
  const boxes = regions.slice(0, 12).map((each, index) => [String(index + 1), `${each.width} × ${each.height} at ${each.left}, ${each.top}`, number(each.score), number(each.p_value)]);
  return h(
    "div",
    {},
    list,
    frame.soft_assignment ? clusters(frame.soft_assignment) : null,
    frame.anomaly_map ? table("Anomalous regions", ["Box", "Pixels", "Score", "p-value"], boxes, "No region reaches the threshold of pixels.") : h("p", { class: "muted" }, "This detector scores whole images and makes no map."),
    regions.length > 12 ? h("p", { class: "muted" }, `and ${regions.length - 12} smaller ones`) : null,
  );
}

function clusters(assignment) {
  const rows = assignment.map((value, index) => {
    const meter = h("meter", { min: 0, max: 1, value, "aria-label": `cluster ${index}` });
    return h("div", {}, h("dt", {}, `cluster ${index}`), h("dd", {}, meter, " ", number(value)));
  });
  return h("dl", { class: "figures" }, rows);
}

function timeline(found, select) {
  const points = found.frames.map((each, index) => ({
    x: each.frame,
    y: each.image_score,
    index,
    mark: each.anomalous ? "drifted" : found.frames.length > 60 ? "small" : "",
    read: [`Frame ${each.frame}: ${number(each.image_score)}`, each.anomalous ? "anomalous" : "normal", `p-value ${number(each.p_value)}`],
  }));
  const limit = [found.frames[0], found.frames.at(-1)].map((each) => ({ x: each.frame, y: each.threshold }));
  return lineChart({
    title: "Image score by frame",
    series: [{ name: "image score", kind: "main", points }, { name: "threshold", kind: "limit", points: limit }],
    x: { format: String, ticks: whole },
    y: {},
    height: 180,
    pick: (point) => select(point.index),
  });
}
