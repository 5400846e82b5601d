// What a server can be asked, from its own description of itself, without internet.

import { h, message, pill, table } from "./dom.js";

const content = document.getElementById("content");

/** The schema that a reference such as #/components/schemas/Scored names. */
function resolve(description, schema) {
  if (!schema?.$ref) return schema ?? {};
  const found = schema.$ref.slice(2).split("/").reduce((inner, key) => inner?.[key], description) ?? {};
  return { title: schema.$ref.split("/").at(-1), ...found };
}

function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items ?? {})}`;
  return schema.const ?? schema.type ?? "anything";
}

/** Without the marks that stand around code. */
function plain(text) {
  return text.replaceAll("`", "");
}

function fields(description, schema) {
  const found = resolve(description, schema);
  const rows = Object.entries(found.properties ?? {}).map(([name, each]) => [h("code", {}, name), kind(each), (found.required ?? []).includes(name) ? "yes" : "no", plain(each.description ?? "")]);
  return rows.length ? table(`Fields of ${found.title ?? "the body"}`, ["Field", "Type", "Needed", "What"], rows) : h("p", {}, kind(schema));
}

function operation(description, path, method, each) {
  const parameters = (each.parameters ?? []).map((one) => [h("code", {}, one.name), one.in, kind(one.schema ?? {}), one.required ? "yes" : "no", one.description ?? ""]);
  const bodies = Object.entries(each.requestBody?.content ?? {});
  const answer = each.responses?.["200"]?.content?.["application/json"]?.schema;
  return h(
    "details",
    { class: "operation" },
    h("summary", {}, pill(method.toUpperCase(), method === "get" ? "plain" : "accent"), " ", h("code", {}, path), h("span", { class: "muted" }, plain(each.description ?? each.summary ?? "").split("\n")[0])),
    each.description ? h("p", {}, plain(each.description)) : null,
    parameters.length ? [h("h3", {}, "Parameters"), table("Parameters", ["Name", "In", "Type", "Needed", "What"], parameters)] : null,
    bodies.map(([type, body]) => [h("h3", {}, `Body: ${type}`), fields(description, body.schema)]),
    answer ? [h("h3", {}, `Answer: ${kind(answer)}`), fields(description, answer.type === "array" ? answer.items : answer)] : null,
  );
}

try {
  const description = await (await fetch("/openapi.json", { credentials: "omit" })).json();
  const operations = Object.entries(description.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, each]) => operation(description, path, method, each)));
  document.title = `API · ${description.info.title}`;
  content.replaceChildren(
    h("h1", {}, `${description.info.title}: API`),
    h("p", { class: "intro" }, "What needs a key takes it as ", h("code", {}, "Authorization: Bearer KEY"), ". For tools: ", h("a", { href: "/openapi.json" }, "openapi.json"), "."),
    h("section", { class: "card flush" }, operations),
  );
} catch (error) {
  content.replaceChildren(message("The server does not describe itself", error.message));
}
