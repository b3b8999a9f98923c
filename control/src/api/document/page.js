"use strict";
// Shows /openapi.json. Everything is set as text: nothing of the document becomes markup.
const add = (parent, name, text) => {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
};
const shape = (api, schema, depth = 0) => {
  if (!schema || depth > 5) return {};
  if (schema.$ref) return shape(api, api.components.schemas[schema.$ref.split("/").pop()], depth);
  if (schema.properties) {
    const entries = Object.entries(schema.properties);
    return Object.fromEntries(entries.map(([name, inner]) => [name, shape(api, inner, depth + 1)]));
  }
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.const !== undefined) return schema.const;
  const choices = (schema.anyOf ?? schema.oneOf ?? []).filter((one) => one.type !== "null");
  if (choices.length > 0) {
    const shapes = choices.map((one) => shape(api, one, depth + 1));
    return shapes.length === 1 ? shapes[0] : { "one of": shapes };
  }
  if (schema.items) return [shape(api, schema.items, depth + 1)];
  if (schema.additionalProperties instanceof Object) {
    return { "…": shape(api, schema.additionalProperties, depth + 1) };
  }
  return [schema.type].flat().join(" or ") || "any";
};
const operation = (api, main, path, method, described) => {
  const details = add(main, "details");
  const summary = add(details, "summary");
  add(summary, "code", method.toUpperCase());
  add(summary, "code", ` ${path} `);
  add(summary, "span", described.summary ?? "");
  if (described.deprecated) add(summary, "strong", " deprecated");
  const needed = (described.security ?? []).flatMap((one) => Object.keys(one));
  for (const name of needed) {
    add(details, "p", `Needs: ${api.components.securitySchemes[name].description}`);
  }
  for (const parameter of described.parameters ?? []) {
    add(details, "p", `${parameter.in} ${parameter.name}: ${parameter.description ?? ""}`);
  }
  const body = described.requestBody?.content?.["application/json"];
  if (body) {
    add(details, "h3", "Body");
    add(details, "pre", JSON.stringify(shape(api, body.schema), null, 2));
  }
  for (const [status, response] of Object.entries(described.responses ?? {})) {
    add(details, "h3", status);
    for (const content of Object.values(response.content ?? {})) {
      add(details, "pre", JSON.stringify(shape(api, content.schema), null, 2));
    }
  }
};
fetch("/openapi.json").then((answer) => answer.json()).then((api) => {
  const main = document.getElementById("operations");
  main.replaceChildren();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, described] of Object.entries(methods)) {
      operation(api, main, path, method, described);
    }
  }
});
