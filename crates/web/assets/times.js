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
  const title = `${moments.format(date)} (${zone})\n${whose}`;
  if (element.title !== title) element.title = title;
}

/** Writes every time below an element as the viewer reads it. */
export function localize(root) {
  for (const element of root.querySelectorAll("time[data-look]")) write(element);
}

/** Does so now, and keeps ages right. */
export function keepTimes() {
  localize(document);
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll('time[data-look="age"]')) write(element);
  }, 1000);
}
