// Data versions, what validation said of them, and who learned from them.

import { get } from "./api.js";
import { link } from "./detectors.js";
import { card, digest, figure, h, megabytes, message, number, pill, table, time, words } from "./dom.js";
import { open, session } from "./key.js";

export function list() {
  return {
    title: "Data",
    fresh: true,
    load: (signal) => get("/api/data", signal),
    render(found) {
      if (!found.length) {
        return message("No data version is known yet", "Bring a folder in:", h("pre", {}, "unseen ingest DIR --as NAME"));
      }
      const names = [...new Set(found.map((each) => each.name))];
      return h("div", {}, h("h1", {}, "Data versions"), names.map((name) => set(name, found.filter((each) => each.name === name))));
    },
  };
}

function set(name, versions) {
  const rows = versions.map((each) => [
    h("div", {}, digest(each.digest, "data digest"), " ", each.current ? pill("in data.dvc now", "accent") : null),
    h("div", {}, `${each.num_files || "–"} files`, h("small", {}, each.num_bytes === null ? "" : megabytes(each.num_bytes))),
    validations(each),
    h("div", { class: "chips" }, each.used_by.length ? each.used_by.map((use) => h("a", { class: `chip ${use.serves ? "serves" : ""}`, href: link(use.model, `/lineage/${use.version}`) }, `${use.model} ${use.version}${use.serves ? " · serves" : ""}`)) : h("span", { class: "muted" }, "nobody")),
    digest(each.git_commit, "commit"),
    versions.length > 1 ? compare(name, each, versions) : null,
  ]);
  return h("section", { class: "card flush" }, h("h2", {}, name), table(`Versions of ${name}`, ["Version", "Size", "Validation", "Learned from by", "Commit", ""], rows));
}

function verdict(run) {
  if (run.failed === null) return pill("did not end", "bad");
  if (run.critical) return pill(`${run.critical} critical failed`, "bad");
  return run.failed ? pill(`${run.failed} warnings`, "warn") : pill("all met", "good");
}

function validations(version) {
  if (!version.validations.length) return h("span", { class: "muted" }, "not validated");
  const [last, ...older] = version.validations;
  return h("div", {}, h("a", { href: `#/validations/${last.run_id}`, "aria-label": `Validation results of ${version.name}` }, verdict(last)), h("small", {}, time(last.when), ` for ${last.model}`, older.length ? ` · ${older.length} before` : ""));
}

function compare(name, version, versions) {
  const other = versions.find((each) => each.current && each !== version) ?? versions.find((each) => each !== version);
  const show = () => open(`What changed in ${name}`, (close) => {
    const place = h("div", {}, h("p", { class: "loading" }, "Reading both lists of files …"));
    const query = new URLSearchParams({ before: version.digest, after: other.digest });
    get(`/api/data/${encodeURIComponent(name)}/changes?${query}`).then(
      (found) => place.replaceChildren(...["added", "removed", "changed"].map((kind) => h("details", {}, h("summary", {}, `${found[kind]} files ${kind}`), h("pre", {}, found.examples[kind].join("\n") || "none")))),
      (error) => place.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message)),
    );
    return [h("p", {}, "From ", digest(version.digest), " to ", digest(other.digest)), place, h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => close(null) }, "Close"))];
  });
  return h("button", { type: "button", "aria-label": `Compare ${version.digest} with ${other.digest}`, onclick: show }, "Compare …");
}

export function validation(runId) {
  return {
    title: "Validation",
    load: (signal) => get(`/api/validations/${runId}`, signal),
    render(found) {
      const rows = found.expectations
        .toSorted((a, b) => a.success - b.success)
        .map((each) => [
          each.success ? pill("met", "good") : pill(each.severity, each.severity === "critical" ? "bad" : "warn"),
          h("div", {}, h("strong", {}, each.name), h("small", {}, each.description)),
          each.observed ?? h("span", { class: "muted" }, "–"),
          each.files.length ? h("details", {}, h("summary", {}, `${each.num_files} files`), h("pre", {}, each.files.join("\n"))) : h("span", { class: "muted" }, "none"),
        ]);
      const met = found.expectations.filter((each) => each.success).length;
      const figures = Object.entries(found.statistics).map(([name, value]) => h("div", {}, h("dt", {}, words(name)), h("dd", {}, figure(name, value))));
      const docs = session.key
        ? h("p", { class: "muted" }, "The Data Docs of Great Expectations are in this MLflow run, under validation/data_docs.")
        : h("p", {}, h("a", { href: `/api/validations/${runId}/docs`, target: "_blank", rel: "noopener noreferrer" }, "Data Docs of Great Expectations"), h("span", { class: "muted" }, ", without its styles, which it would take from the internet"));
      return h(
        "div",
        {},
        h("p", { class: "crumbs" }, h("a", { href: "#/data" }, "Data versions"), " / "),
        h("h1", {}, `Validation of ${found.data.name}`),
        h("div", { class: "row intro" }, found.success ? pill("all met", "good") : pill(`${number(found.expectations.length - met)} not met`, "warn"), h("span", {}, `${met} of ${found.expectations.length} expectations met`), h("span", {}, "data ", digest(found.data.digest, "data digest")), h("span", {}, "run ", digest(runId, "run id"))),
        h("section", { class: "card flush" }, h("h2", {}, "Expectations"), table("Expectations", ["", "Expectation", "Observed", "Files that fail"], rows)),
        card("Figures of the images", h("dl", { class: "figures" }, figures)),
        docs,
      );
    },
  };
}
