// Takes the secret of a link from behind the `#`, where no log sees it, and out of the address.

for (const field of document.querySelectorAll("[data-from-hash]")) field.value = decodeURIComponent(location.hash.slice(1));
if (location.hash) history.replaceState(null, "", location.pathname);
for (const form of document.querySelectorAll("form[data-at-once]")) {
  // The console's own script serves forms; it may come after this one.
  addEventListener("load", () => form.requestSubmit());
}
