// Shows the configuration that would add the same device as the form.

import { typed } from "./forms.js";

const form = document.getElementById("new-device");
const place = document.getElementById("configuration");

/** A text as TOML has it. */
function quoted(text) {
  return JSON.stringify(text).replace(/\u007f/g, "\\u007f");
}

function show() {
  const { protocol, identity = "", id, site, login, secret, settings = {} } = typed(form);
  const lines = ["[[device]]"];
  if (id) lines.push(`id = ${quoted(id)}`);
  lines.push(`protocol = ${quoted(protocol)}`, `identity = ${quoted(identity)}`);
  if (site) lines.push(`site = ${quoted(site)}`);
  if (login && login !== "secret") lines.push(`login = ${quoted(login)}`);
  if (secret) lines.push(`secret = ${quoted(secret)}`);
  const names = Object.keys(settings);
  if (names.length) lines.push("", `[device.${protocol}]`, ...names.map((name) => `${name} = ${quoted(settings[name])}`));
  place.textContent = lines.join("\n");
}

form.addEventListener("input", () => setTimeout(show));
form.addEventListener("change", () => setTimeout(show));
show();
