// What every page does: times in the viewer's zone, live parts, forms, signing out, rows that can be walked through.

import { send, tell } from "./api.js";
import { keepForms } from "./forms.js";
import { keepLive } from "./live.js";
import { keepTimes } from "./times.js";

document.documentElement.classList.add("scripted");
keepTimes();
keepForms();
keepLive(document.getElementById("content"));

document.addEventListener("click", async (event) => {
  if (!event.target.closest?.("[data-sign-out]")) return;
  try {
    await send("DELETE", "/api/v1/session");
    location.assign("/login");
  } catch (problem) {
    tell(problem.message);
  }
});

// Filters work at once; without scripts their button does the same.
document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.hasAttribute("data-filter")) form.requestSubmit();
});

// Empty fields are left out of the address, so that links stay short.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.hasAttribute("data-filter")) return;
  for (const field of form.elements) if (field.name && field.value === "") field.disabled = true;
});
addEventListener("pageshow", () => {
  for (const field of document.querySelectorAll("form[data-filter] :disabled")) field.disabled = false;
});

// "/" goes to the search, as in most places.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const search = document.querySelector('input[type="search"]');
  if (!search) return;
  event.preventDefault();
  search.focus();
});
