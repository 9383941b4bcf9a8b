// What scripts say, in the language of the page.

const texts = JSON.parse(document.getElementById("texts").textContent);

/** The text of a key, each {name} in it replaced. */
export function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const language = document.documentElement.lang;
