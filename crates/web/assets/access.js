// Shows what a new token opens with: the answer to the form is the only place where it stands.

document.getElementById("new-token").addEventListener("answered", ({ detail }) => {
  document.getElementById("made-secret").textContent = detail.secret;
  const made = document.getElementById("made");
  made.hidden = false;
  made.focus();
});
