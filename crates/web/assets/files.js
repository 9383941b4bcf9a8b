// Sends files from a page by tus 1.0.0: in pieces, so that a bar shows how far they are, and on from where the line broke.

import { Problem, tell } from "./api.js";
import { lookSoon } from "./live.js";

/** What goes in one request. */
const PIECE_BYTES = 8 * 1024 * 1024;
/** How often in a row a piece is tried again, and how long it waits before that, in milliseconds. */
const TRIES_MAX = 20;
const TRY_EVERY = 1000;

async function ask(method, path, headers, body) {
  const csrf = document.querySelector('meta[name="csrf-token"]')?.content;
  const common = { "tus-resumable": "1.0.0", accept: "application/json", ...(csrf && { "x-csrf-token": csrf }) };
  const answer = await fetch(path, { method, headers: { ...common, ...headers }, body });
  if (answer.ok) return answer;
  const details = await answer.json().catch(() => ({}));
  throw new Problem(answer.status, details.title ?? answer.statusText, details.detail ?? "", details.remedy ?? "");
}

/** Text in base 64, by way of UTF-8. */
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

const offsetOf = (answer) => Number(answer.headers.get("upload-offset"));

/** Whether it may work when it is tried again: the line broke, or somebody else was at it. */
const isPassing = (error) => !(error instanceof Problem) || [409, 429, 503].includes(error.status);

async function sendFile(path, file, moved) {
  const headers = { "upload-length": String(file.size), "upload-metadata": `filename ${base64(file.name)}` };
  const upload = (await ask("POST", path, headers)).headers.get("location");
  let offset = 0;
  let tries = 0;
  while (offset < file.size) {
    try {
      if (tries > 0) offset = offsetOf(await ask("HEAD", upload, {}));
      if (offset < file.size) {
        const headers = { "upload-offset": String(offset), "content-type": "application/offset+octet-stream" };
        offset = offsetOf(await ask("PATCH", upload, headers, file.slice(offset, offset + PIECE_BYTES)));
      }
      tries = 0;
    } catch (error) {
      tries += 1;
      if (!isPassing(error) || tries > TRIES_MAX) throw error;
      await new Promise((again) => setTimeout(again, TRY_EVERY));
    }
    moved(offset);
  }
}

async function sendAll(form) {
  const [bar, problem] = [form.querySelector("progress"), form.querySelector(".problem")];
  const files = [...form.elements.files.files];
  const path = `${form.dataset.upload}?device=${encodeURIComponent(form.elements.device.value.trim())}`;
  bar.max = Math.max(1, files.reduce((bytes, file) => bytes + file.size, 0));
  bar.value = 0;
  bar.hidden = false;
  problem.hidden = true;
  form.setAttribute("aria-busy", "true");
  for (const field of form.elements) field.disabled = true;
  let before = 0;
  try {
    for (const file of files) {
      await sendFile(path, file, (offset) => (bar.value = before + offset));
      before += file.size;
    }
    tell(form.dataset.done);
    form.elements.files.value = "";
  } catch (error) {
    problem.textContent = error instanceof Problem ? `${error.title}: ${error.message}` : form.dataset.broken;
    problem.hidden = false;
  } finally {
    bar.hidden = true;
    form.removeAttribute("aria-busy");
    for (const field of form.elements) field.disabled = false;
    lookSoon();
  }
}

const form = document.querySelector("form[data-upload]");
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  sendAll(form);
});
