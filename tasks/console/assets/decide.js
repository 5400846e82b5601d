// Promotion and rollback: what will change, a reason, and what to do if somebody was quicker.

import { post } from "./api.js";
import { versionOf } from "./detectors.js";
import { figure, h, tell, words } from "./dom.js";
import { allowed, form, open, session } from "./key.js";

const LEAST = 3;
const MOST = 1000;

/** Promote a version; what was decided, or null. */
export async function promote(detector, version) {
  if (!(await allowed("promote"))) return null;
  const champion = versionOf(detector, detector.champion);
  const told = detector.decisions.findLast((each) => each.version === version.version);
  const text = champion
    ? `Version ${version.version} will serve instead of version ${champion.version}.`
    : `Version ${version.version} will serve; none does now.`;
  return confirm(`Promote ${detector.name} version ${version.version}`, {
    text,
    more: [compare(detector, champion, version), told?.action === "refuse" ? h("p", { class: "note" }, `${told.metric ? "The comparison had refused it" : "It was refused"}: ${told.why}`) : null],
    label: `Promote version ${version.version}`,
    send: (why) => post(`/api/detectors/${encodeURIComponent(detector.name)}/promote`, { version: version.version, expected: detector.champion ?? 0, why }),
    done: (decision) => `Version ${decision.champion} of ${detector.name} serves now.`,
  });
}

/** Roll back; what was decided, or null. */
export async function rollBack(detector) {
  if (!(await allowed("promote"))) return null;
  const [champion, former] = [versionOf(detector, detector.champion), versionOf(detector, detector.rollback_to)];
  return confirm(`Roll back ${detector.name}`, {
    text: `Version ${detector.rollback_to} will serve again instead of version ${detector.champion}.`,
    more: [former ? compare(detector, champion, former) : null],
    label: `Roll back to version ${detector.rollback_to}`,
    kind: "danger",
    send: (why) => post(`/api/detectors/${encodeURIComponent(detector.name)}/rollback`, { expected: detector.champion ?? 0, why }),
    done: (decision) => `Version ${decision.champion} of ${detector.name} serves again.`,
  });
}

/** Stop automatic promotion, or let retrains promote again; what was decided, or null. */
export async function pin(detector) {
  if (!(await allowed("promote"))) return null;
  const verb = detector.pinned ? "unpin" : "pin";
  return confirm(detector.pinned ? `Unpin ${detector.name}` : `Pin ${detector.name}`, {
    text: detector.pinned
      ? "Retrains will promote again what is not worse than the champion."
      : `Version ${detector.champion} goes on serving, and no retrain promotes another until it is unpinned.`,
    more: [],
    label: detector.pinned ? "Unpin" : `Pin version ${detector.champion}`,
    send: (why) => post(`/api/detectors/${encodeURIComponent(detector.name)}/${verb}`, { expected: detector.champion ?? 0, why }),
    done: () => (detector.pinned ? `${detector.name} is promoted by retrains again.` : `Only people decide who serves ${detector.name} now.`),
  });
}

function confirm(title, { text, more, label, kind = "main", send, done }) {
  return open(title, (close) => {
    const reason = h("textarea", { id: "why", rows: 3, maxlength: MOST, required: true, "aria-describedby": "why-help" });
    const fields = [
      h("p", {}, text),
      more,
      h("label", { for: "why" }, "Reason"),
      reason,
      h("p", { class: "muted", id: "why-help" }, `It is kept for good in the history, under the name of the key: ${session.key}.`),
    ];
    const submit = async () => {
      const why = reason.value.trim();
      if (why.length < LEAST) throw Object.assign(new Error("Say why, for those who read the history."), { field: reason });
      const decision = await send(why);
      tell(done(decision));
      return decision;
    };
    return [form(fields, { submit, label, kind, close })];
  });
}

function compare(detector, before, after) {
  const value = (version) => figure(detector.metric, version?.metrics[detector.metric]);
  return h(
    "dl",
    { class: "compare" },
    h("div", {}, h("dt", {}, "figure"), h("dd", {}, words(detector.metric))),
    h("div", {}, h("dt", {}, before ? `now: version ${before.version}` : "now"), h("dd", {}, before ? value(before) : "none")),
    h("div", {}, h("dt", {}, `then: version ${after.version}`), h("dd", {}, value(after))),
  );
}
