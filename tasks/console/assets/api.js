// The API, with the operator's key, which this page forgets when it is closed.

let key = "";

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export function useKey(token) {
  key = token;
}

export function hasKey() {
  return key !== "";
}

async function send(path, options = {}) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let reply;
  try {
    reply = await fetch(path, { ...options, headers, credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The console does not answer. Look whether 'unseen console' still runs.");
  }
  if (reply.ok) return reply;
  const found = await reply.json().catch(() => null);
  throw new Refused(reply.status, found?.error ?? `The console answered ${reply.status}.`);
}

async function ask(path, options) {
  const reply = await send(path, options);
  return { found: await reply.json().catch(() => null), reply };
}

export async function bytes(path, signal) {
  return (await send(path, { signal })).blob();
}

export async function get(path, signal) {
  return (await ask(path, { signal })).found;
}

export async function post(path, content) {
  const headers = { "Content-Type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(content) })).found;
}

/** What a detector says of files; and who has answered. */
export async function predict(name, files, version, maps, signal) {
  const body = new FormData();
  for (const file of files) body.append("files", file, file.name);
  const query = new URLSearchParams({ anomaly_map: String(maps) });
  if (version) query.set("version", version);
  const path = `/api/detectors/${encodeURIComponent(name)}/predict?${query}`;
  const { found, reply } = await ask(path, { method: "POST", body, signal });
  return { ...found, answeredBy: reply.headers.get("X-Answered-By") ?? "" };
}
