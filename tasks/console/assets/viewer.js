// A frame with its anomaly map laid over it, the anomalous boxes, and a way through the frames.

import { h, number } from "./dom.js";

// Inferno's hues, from calm to strange, as stops of (red, green, blue).
const STOPS = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];
const FRAMES_PER_SECOND = 8;
const LEAST_WIDTH = 640;

function hue(share) {
  const place = Math.min(Math.max(share, 0), 1) * (STOPS.length - 1);
  const left = Math.min(Math.floor(place), STOPS.length - 2);
  return STOPS[left].map((value, index) => value + (STOPS[left + 1][index] - value) * (place - left));
}

/** The scale that all frames share: a pixel at the threshold has the same colour in each. */
function scaleOf(frames) {
  const maps = frames.map((each) => each.anomaly_map).filter(Boolean);
  if (!maps.length) return null;
  const { threshold } = maps[0];
  const low = Math.min(...maps.map((each) => each.low));
  const high = Math.max(...maps.map((each) => each.high), threshold + (threshold - low) * 0.25);
  return { low, high, threshold, share: (value) => (high > low ? (value - low) / (high - low) : 0) };
}

/** Gray values of a map, as the server sent them. */
async function pixelsOf(map) {
  const bytes = Uint8Array.from(atob(map.png), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }), { colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height);
}

async function overlay(map, scale) {
  const data = await pixelsOf(map);
  for (let place = 0; place < data.data.length; place += 4) {
    const value = map.low + (data.data[place] * (map.high - map.low)) / 255;
    const share = scale.share(value);
    const calm = scale.share(scale.threshold) * 0.5;
    const opacity = Math.min(Math.max((share - calm * 0.5) / Math.max(scale.share(scale.threshold) - calm * 0.5, 1e-6), 0), 1);
    data.data.set([...hue(0.25 + 0.75 * share), 255 * opacity * opacity], place);
  }
  const canvas = new OffscreenCanvas(data.width, data.height);
  canvas.getContext("2d").putImageData(data, 0, 0);
  return canvas;
}

/** The viewer of a scored request; `chosen` is told the number of the frame that is shown. */
export function viewer(found, files, chosen) {
  const { frames } = found;
  const scale = scaleOf(frames);
  const canvas = h("canvas", { role: "img" });
  const strength = h("input", { type: "range", id: "strength", min: 0, max: 100, value: 60 });
  const boxes = h("input", { type: "checkbox", id: "boxes", checked: true });
  const slider = h("input", { type: "range", id: "frame", min: 0, max: frames.length - 1, value: strangest(frames), "aria-label": "Frame" });
  const play = h("button", { type: "button", "aria-pressed": "false" }, "Play");
  const cache = new Map();
  let asked = 0;

  async function draw() {
    const index = Number(slider.value);
    const frame = frames[index];
    const turn = (asked += 1);
    if (!cache.has(index)) {
      const file = files[frame.frame];
      cache.set(index, Promise.all([
        file ? createImageBitmap(file).catch(() => null) : null,
        frame.anomaly_map ? overlay(frame.anomaly_map, scale) : null,
      ]));
    }
    const [picture, map] = await cache.get(index);
    if (turn !== asked) return;
    paint(canvas, picture, map, { opacity: strength.value / 100, regions: boxes.checked ? frame.regions ?? [] : [] });
    canvas.setAttribute("aria-label", `Frame ${frame.frame}: ${frame.anomalous ? "anomalous" : "normal"}, score ${number(frame.image_score)}, ${(frame.regions ?? []).length} anomalous regions`);
    canvas.dataset.frame = String(frame.frame);
    slider.setAttribute("aria-valuetext", `frame ${frame.frame}`);
    chosen(index);
  }

  function select(index) {
    slider.value = String(index);
    draw();
  }

  function toggle() {
    const playing = play.getAttribute("aria-pressed") !== "true";
    play.setAttribute("aria-pressed", String(playing));
    play.textContent = playing ? "Pause" : "Play";
    if (playing) step();
  }

  function step() {
    if (play.getAttribute("aria-pressed") !== "true" || !canvas.isConnected) return;
    select((Number(slider.value) + 1) % frames.length);
    setTimeout(step, 1000 / FRAMES_PER_SECOND);
  }

  play.addEventListener("click", toggle);
  slider.addEventListener("input", draw);
  strength.addEventListener("input", draw);
  boxes.addEventListener("change", draw);
  draw();
  const element = h(
    "div",
    { class: "viewer" },
    canvas,
    frames.length > 1 ? h("div", { class: "controls" }, play, slider) : null,
    scale ? h("div", { class: "controls" }, h("label", { class: "inline", for: "strength" }, "Map"), strength, h("label", { class: "inline" }, boxes, " boxes")) : null,
    scale ? ramp(scale) : null,
  );
  return { element, select };
}

function strangest(frames) {
  return frames.reduce((best, each, index) => (each.image_score > frames[best].image_score ? index : best), 0);
}

function paint(canvas, picture, map, { opacity, regions }) {
  const width = picture?.width ?? map?.width ?? 1;
  const height = picture?.height ?? map?.height ?? 1;
  const zoom = Math.max(1, Math.ceil(LEAST_WIDTH / width));
  canvas.width = width * zoom;
  canvas.height = height * zoom;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = width * 4 > LEAST_WIDTH;
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (map) {
    context.globalAlpha = picture ? opacity : 1;
    context.drawImage(map, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
  }
  context.lineWidth = 2;
  context.font = "600 13px system-ui, sans-serif";
  for (const [index, each] of regions.slice(0, 12).entries()) {
    context.strokeStyle = "#000";
    context.strokeRect(each.left * zoom - 1, each.top * zoom - 1, each.width * zoom + 2, each.height * zoom + 2);
    context.strokeStyle = "#fff";
    context.strokeRect(each.left * zoom - 2.5, each.top * zoom - 2.5, each.width * zoom + 5, each.height * zoom + 5);
    context.fillStyle = "#fff";
    context.strokeStyle = "#000";
    const [x, y] = [Math.max(each.left * zoom, 4), Math.max(each.top * zoom - 7, 13)];
    context.strokeText(String(index + 1), x, y);
    context.fillText(String(index + 1), x, y);
  }
}

/** The colours beside their scores. */
function ramp(scale) {
  const canvas = h("canvas", { class: "ramp", width: 256, height: 10, "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  for (let place = 0; place < 256; place += 1) {
    context.fillStyle = `rgb(${hue(0.25 + (0.75 * place) / 255).map(Math.round).join(",")})`;
    context.fillRect(place, 0, 1, 10);
  }
  const share = scale.share(scale.threshold);
  const mark = h("span", { class: "mark" }, `threshold ${number(scale.threshold)}`);
  mark.style.left = `${100 * share}%`;
  return h("div", { class: "scale", role: "img", "aria-label": `Pixel scores from ${number(scale.low)} to ${number(scale.high)}; anomalous from ${number(scale.threshold)}` }, canvas, mark, h("div", { class: "ends" }, h("span", {}, number(scale.low)), h("span", {}, number(scale.high))));
}
