// Keeps a page as it would be if it were loaded now: a message of the live stream makes it look again, and what
// changed is put in place without touching the rest, so that focus, selection and what was typed stay.

import { steadily } from "./steadily.js";
import { localize } from "./times.js";
import { t } from "./texts.js";

/** Between two looks, in milliseconds: a page is fresh well within a second and never asks for more. */
const LOOK_EVERY = 400;
/** Without a message a page looks again so often, since some things change in silence. */
const LOOK_AT_LEAST_EVERY = 10_000;
/** Names of messages in the stream. */
const MESSAGES = ["readings", "event", "presence", "gap"];

/** What a viewer opened or closed stays so; what a page opened since it was the latest closes when it is not any more. */
const VIEWERS_OWN = ["open", "data-latest"];

/** Makes `old` equal to `fresh`, touching only what differs. */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.dataset?.key !== fresh.dataset?.key) {
    old.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE || old.hasAttribute("data-keep")) return;
  for (const { name, value } of fresh.attributes) {
    if (!VIEWERS_OWN.includes(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    // What a viewer is told stays.
    if (!fresh.hasAttribute(name) && !VIEWERS_OWN.includes(name) && name !== "aria-describedby") old.removeAttribute(name);
  }
  if (old.hasAttribute("data-latest") && !fresh.hasAttribute("data-latest")) {
    old.removeAttribute("data-latest");
    old.removeAttribute("open");
  }
  morphChildren(old, fresh);
}

/** Children with a key are found again by it wherever they stand, the others by their place. */
function morphChildren(old, fresh) {
  const known = new Map();
  for (const child of old.children) if (child.dataset.key !== undefined) known.set(child.dataset.key, child);
  let here = old.firstChild;
  for (const node of fresh.childNodes) {
    const key = node.dataset?.key;
    const found = key === undefined ? undefined : known.get(key);
    if (found) {
      known.delete(key);
      if (found === here) here = here.nextSibling;
      else old.insertBefore(found, here);
      morph(found, node);
    } else if (here && key === undefined && here.dataset?.key === undefined) {
      const next = here.nextSibling;
      morph(here, node);
      here = next;
    } else {
      old.insertBefore(node.cloneNode(true), here);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

let lookedAt = 0;

async function look() {
  lookedAt = performance.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.redirected) location.reload();
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    localize(fresh);
    for (const part of document.querySelectorAll("[data-fresh]")) {
      const other = fresh.getElementById(part.id);
      if (other) morph(part, other);
    }
    document.dispatchEvent(new Event("fresh"));
  } catch {
    // The stream notices when the server is gone, and says so.
  }
}

/** Looks again as soon as that is due. */
export const lookSoon = steadily(LOOK_EVERY, look);

function say(state) {
  const connection = document.getElementById("connection");
  if (!connection || connection.dataset.state === state) return;
  connection.dataset.state = state;
  connection.textContent = t(`js.live_${state}`);
}

/** Follows what the page is about, while somebody looks at it. */
export function keepLive(main) {
  const query = main.dataset.live;
  if (query === undefined) return;
  let stream;
  const start = () => {
    stream = new EventSource(`/api/v1/live?${query}`);
    stream.addEventListener("start", () => {
      say("live");
      lookSoon();
    });
    stream.onerror = () => say("lost");
    for (const name of MESSAGES) {
      stream.addEventListener(name, () => {
        document.dispatchEvent(new CustomEvent("live", { detail: name }));
        lookSoon();
      });
    }
  };
  const stop = () => {
    stream?.close();
    stream = undefined;
  };
  // A browser has few connections to a server: pages that nobody sees give theirs back.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop();
    else if (!stream) start();
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => event.persisted && !stream && start());
  addEventListener("popstate", lookSoon);
  // What comes in moves without a message.
  document.addEventListener("click", (event) => event.target.closest("summary")?.parentElement.removeAttribute("data-latest"));
  const least = () => (main.querySelector("progress[data-coming]") ? LOOK_EVERY : LOOK_AT_LEAST_EVERY);
  setInterval(() => !document.hidden && performance.now() - lookedAt > least() && lookSoon(), 1000);
  if (!document.hidden) start();
}
