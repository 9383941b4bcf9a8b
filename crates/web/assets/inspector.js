// Sends what is pasted or dropped to be explained, keys and captures too, and shows what comes back in its place.

import { tell } from "./api.js";
import { t } from "./texts.js";

/** Largest file: the server takes no more. */
const FILE_BYTES_MAX = 8 * 1024 * 1024;
/** Longest text of digits that stands in the address, so that it can be passed on. */
const ADDRESS_CHARS_MAX = 4000;

const form = document.getElementById("inspect");
const hex = document.getElementById("hex");
const keys = document.getElementById("keys");
const file = document.getElementById("file");
const result = document.getElementById("result");

function digits(bytes) {
  const pairs = new Array(bytes.length);
  for (let place = 0; place < bytes.length; place += 1) pairs[place] = bytes[place].toString(16).padStart(2, "0");
  return pairs.join("");
}

async function explain(text) {
  const typedKeys = keys.value.split(/\s+/).filter(Boolean);
  const protocol = document.getElementById("protocol").value;
  result.setAttribute("aria-busy", "true");
  try {
    const headers = { accept: "application/json", "content-type": "application/json" };
    const csrf = document.querySelector('meta[name="csrf-token"]')?.content;
    if (csrf) headers["x-csrf-token"] = csrf;
    const answer = await fetch("/inspector", {
      method: "POST",
      headers,
      body: JSON.stringify({ protocol, hex: text, keys: typedKeys }),
    });
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new Error([problem.title, problem.detail].filter(Boolean).join(": ") || answer.statusText);
    }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    result.replaceChildren(...fresh.body.children);
    const words = new URLSearchParams(text.length <= ADDRESS_CHARS_MAX ? { protocol, hex: text } : { protocol });
    history.replaceState(null, "", `?${words}`);
  } catch (problem) {
    const place = Object.assign(document.createElement("section"), { className: "problem", textContent: problem.message });
    place.setAttribute("role", "alert");
    result.replaceChildren(place);
  } finally {
    result.setAttribute("aria-busy", "false");
  }
}

async function take(chosen) {
  if (!chosen) return;
  if (chosen.size > FILE_BYTES_MAX) {
    tell(t("js.file_too_large"));
    return;
  }
  await explain(digits(new Uint8Array(await chosen.arrayBuffer())));
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (hex.value.trim()) explain(hex.value);
  else if (file.files.length) take(file.files[0]);
  else hex.focus();
});
file.addEventListener("change", () => take(file.files[0]));
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });
}
document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
