// Times in the viewer's zone, and ages that grow.

import { language, t } from "./texts.js";

const locale = language === "zh" ? "zh-CN" : navigator.language.startsWith("en") ? navigator.language : "en-GB";
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const moments = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const clocks = new Intl.DateTimeFormat(locale, { timeStyle: "medium", hourCycle: "h23" });
const spans = new Intl.RelativeTimeFormat(language === "zh" ? "zh-CN" : "en", { numeric: "always", style: "short" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** A moment; without its day where that is today. */
export function moment(date) {
  return date.toDateString() === new Date().toDateString() ? clocks.format(date) : moments.format(date);
}

/** A moment with its day. */
export const wholeMoment = (date) => moments.format(date);

/** How long ago. */
export function age(date) {
  const seconds = Math.round((date - Date.now()) / 1000);
  if (Math.abs(seconds) < 1) return t("js.now");
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS.at(-1);
  return spans.format(Math.trunc(seconds / length), unit);
}

function write(element) {
  const date = new Date(element.dateTime);
  if (Number.isNaN(date.getTime())) return;
  const text = element.dataset.look === "age" ? age(date) : moment(date);
  if (element.textContent !== text) element.textContent = text;
  const whose = element.dataset.clock === "device" ? t("js.device_clock", { time: element.dateTime }) : element.dateTime;
  const tip = `${moments.format(date)} (${zone})\n${whose}`;
  if (element.dataset.tip !== tip) element.dataset.tip = tip;
  // What a device's clock says is not to be had otherwise: it is reached without a mouse too.
  if (element.dataset.clock === "device") element.tabIndex = 0;
}

/** Shows what more is known of a time while it is pointed at, touched, or has the focus. */
function keepTip() {
  const tip = Object.assign(document.createElement("p"), { id: "tip", className: "tip", hidden: true });
  tip.setAttribute("role", "tooltip");
  document.body.append(tip);
  let told;
  const stand = () => {
    const place = told.getBoundingClientRect();
    const below = place.bottom + 6 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(6, Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - 6))}px`;
    tip.style.top = `${below ? place.bottom + 6 : place.top - 6 - tip.offsetHeight}px`;
  };
  const tell = (event) => {
    const time = event.target.closest?.("time[data-tip]");
    if (!time) return;
    if (told !== time) forget();
    told = time;
    tip.textContent = time.dataset.tip;
    tip.hidden = false;
    time.setAttribute("aria-describedby", tip.id);
    stand();
  };
  const forget = () => {
    told?.removeAttribute("aria-describedby");
    told = undefined;
    tip.hidden = true;
  };
  for (const begin of ["pointerover", "focusin", "click"]) document.addEventListener(begin, tell);
  document.addEventListener("pointerout", (event) => event.pointerType === "mouse" && told !== document.activeElement && forget());
  document.addEventListener("pointerdown", (event) => !event.target.closest?.("time[data-tip]") && forget());
  document.addEventListener("focusout", forget);
  document.addEventListener("keydown", (event) => event.key === "Escape" && forget());
  addEventListener("scroll", () => told && stand(), { passive: true, capture: true });
}

/** Writes every time below an element as the viewer reads it. */
export function localize(root) {
  for (const element of root.querySelectorAll("time[data-look]")) write(element);
}

/** Does so now, and keeps ages right. */
export function keepTimes() {
  localize(document);
  keepTip();
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll('time[data-look="age"]')) write(element);
  }, 1000);
}
