// Questions to the API of this server, and what goes wrong with them.

import { t } from "./texts.js";

/** What an answer says that is not good, or that there was none. */
export class Problem extends Error {
  constructor(status, title, detail, remedy) {
    super(detail || title);
    Object.assign(this, { status, title, detail, remedy });
  }
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    // Whoever changed its mind is not told that nobody answered.
    if (error.name === "AbortError") throw error;
    throw new Problem(0, t("js.unreachable"), "", t("js.unreachable_do"));
  }
  if (answer.ok) return answer;
  const details = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, details.title ?? answer.statusText, details.detail ?? "", details.remedy ?? "");
}

/** Asks for JSON. */
export async function get(path, signal) {
  return (await ask(path, { signal, headers: { accept: "application/json" } })).json();
}

/** Asks for something to be done. Gives the JSON of the answer, or nothing where it has none. */
export async function send(method, path, body) {
  const headers = { accept: "application/json" };
  const csrf = document.querySelector('meta[name="csrf-token"]')?.content;
  if (csrf) headers["x-csrf-token"] = csrf;
  if (body !== undefined) headers["content-type"] = "application/json";
  const answer = await ask(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return answer.status === 204 ? undefined : answer.json();
}

/** Says something to everybody, also to those who listen to the screen. */
export function tell(text) {
  const told = document.getElementById("told");
  told.textContent = text;
  told.classList.add("shown");
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => told.classList.remove("shown"), 6000);
}
