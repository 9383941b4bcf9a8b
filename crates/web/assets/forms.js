// Forms that ask the API: what is typed becomes JSON, what is wrong is said beside the form.
//
// `data-api="POST /api/v1/devices"` names the question, with {name} for what stands in the path. Values: `data-type` is
// text where nothing is said, or number, time, lines, flag. A name with dots makes tables. Empty fields are left out.
// `data-when="order=period"` shows and sends a group only with that choice. `data-then` is an address to go to, or `fresh`.

import { send, tell, Problem } from "./api.js";
import { lookSoon } from "./live.js";
import { t } from "./texts.js";

/** `name = value` lines as a table; `wrong` is the first line that is none. Values are as in TOML, as far as JSON has them too. */
export function settingsOf(text) {
  const table = {};
  let wrong;
  for (const line of text.split("\n").map((line) => line.trim()).filter(Boolean)) {
    const [, name, written] = /^([\w-]+)\s*=\s*(.+)$/.exec(line) ?? [];
    try {
      table[name] = JSON.parse(written.replace(/^'(.*)'$/, (_, literal) => JSON.stringify(literal)));
    } catch {
      wrong ??= line;
    }
  }
  return { table, wrong };
}

function value(field) {
  if (field.type === "checkbox") return field.checked || undefined;
  const text = field.value.trim();
  if (text === "") return undefined;
  switch (field.dataset.type) {
    case "number":
      return Number(text);
    case "time":
      return new Date(text).toISOString();
    case "settings":
      return settingsOf(text).table;
    case "lines":
      return text.split(/[\n,]/).map((line) => line.trim()).filter(Boolean);
    default:
      return text;
  }
}

/** What is typed, as the API takes it. */
export function typed(form) {
  const body = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled || field.closest("[hidden]")) continue;
    if (field.type === "radio" && !field.checked) continue;
    const held = value(field);
    if (held === undefined) continue;
    const path = field.name.split(".");
    const last = path.pop();
    let table = body;
    path.forEach((name, place) => {
      const isList = /^\d+$/.test(path[place + 1] ?? last);
      table = table[name] ??= isList ? [] : {};
    });
    table[last] = field.dataset.type === "settings" ? { ...table[last], ...held } : held;
  }
  return body;
}

function show(form, problem) {
  let place = form.querySelector(".problem");
  if (!place) {
    place = Object.assign(document.createElement("div"), { className: "problem", tabIndex: -1 });
    place.setAttribute("role", "alert");
    form.prepend(place);
  }
  const line = (text, name) => {
    const paragraph = document.createElement(name);
    paragraph.textContent = text;
    return paragraph;
  };
  place.replaceChildren(line(problem.title, "strong"), line(problem.detail, "p"), line(problem.remedy, "p"));
  place.hidden = false;
  place.focus();
}

async function submit(event) {
  const form = event.target.closest("form[data-api]");
  if (!form) return;
  event.preventDefault();
  const question = event.submitter?.dataset.ask;
  if (question && !confirm(question)) return;
  const body = typed(form);
  const [method, pattern] = (event.submitter?.dataset.api ?? form.dataset.api).split(" ");
  const path = pattern.replace(/\{(\w+)\}/g, (_, name) => {
    const part = encodeURIComponent(body[name] ?? "");
    delete body[name];
    return part;
  });
  const buttons = [...form.querySelectorAll("button")].filter((button) => !button.disabled);
  for (const button of buttons) button.disabled = true;
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await send(method, path, method === "DELETE" ? undefined : body);
    form.querySelector(".problem")?.setAttribute("hidden", "");
    form.dispatchEvent(new CustomEvent("answered", { bubbles: true, detail: answer }));
    const then = form.dataset.then;
    if (then && then !== "fresh") {
      location.assign(then.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(answer?.[name] ?? "")));
      return;
    }
    tell(form.dataset.done ?? t("js.done"));
    if (!form.hasAttribute("data-stay")) form.reset();
    arrange(form);
    lookSoon();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    show(form, problem);
  } finally {
    form.removeAttribute("aria-busy");
    for (const button of buttons) button.disabled = false;
  }
}

/** Shows the groups that go with what is chosen. */
function arrange(form) {
  for (const group of form.querySelectorAll("[data-when]")) {
    const [name, choices] = group.dataset.when.split("=");
    const shown = choices.split("|").includes(form.elements.namedItem(name)?.value);
    group.hidden = !shown;
    if (group instanceof HTMLOptionElement) {
      group.disabled = !shown;
      // What does not go with the choice is not chosen any more.
      if (!shown && group.selected) group.closest("select").selectedIndex = 0;
    }
    for (const field of group.querySelectorAll("input, select, textarea")) field.disabled = !shown;
  }
}

/** Serves every form of the page that asks the API. */
export function keepForms() {
  document.addEventListener("submit", submit);
  document.addEventListener("change", (event) => event.target.form?.dataset.api && arrange(event.target.form));
  for (const form of document.querySelectorAll("form[data-api]")) arrange(form);
}
