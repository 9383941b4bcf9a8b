// Shows the configuration that would add the same device as the form.

import { settingsOf, typed } from "./forms.js";
import { t } from "./texts.js";

const form = document.getElementById("new-device");
const place = document.getElementById("configuration");

/** A text, number, flag or list as TOML has it. */
function quoted(value) {
  return JSON.stringify(value).replace(/\u007f/g, "\\u007f");
}

/** What the browser itself does not see: a line that sets nothing, and a login by a key that is not given. */
function check() {
  const { settings, login } = form.elements;
  const { wrong } = settingsOf(settings.value);
  settings.setCustomValidity(wrong === undefined ? "" : t("js.settings_line", { line: wrong }));
  form.elements.namedItem("settings.aes_key").required = login.value === "cipher";
}

function show() {
  check();
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
