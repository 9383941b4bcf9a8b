// How fast things go: figures of the API's status, whenever something came in, and their course over the last minutes.

import { get } from "./api.js";
import { steadily } from "./steadily.js";

/** Between two questions, in milliseconds: what came in is seen within a second. */
const LOOK_EVERY = 400;
/** From one rate that is drawn to the next, in milliseconds. */
const DRAW_EVERY = 1000;
/** Over which time a rate is taken, in milliseconds: a logger may report every few seconds only. */
const OVER = 10_000;
/** Rates that are drawn: five minutes. */
const DRAWN = 300;

const figures = Object.fromEntries(
  [...document.querySelectorAll("#pace [data-figure]")].map((element) => [element.dataset.figure, element]),
);
const canvas = document.getElementById("course");
const seen = [];
const course = [];

/** Below which time a share of the acknowledgements stayed, in milliseconds, between two looks. */
function quantile(before, after, share) {
  const counts = after.ack.map(({ count }, place) => count - before.ack[place].count);
  const all = after.acks - before.acks;
  if (all <= 0) return undefined;
  const place = counts.findIndex((count) => count >= all * share);
  return place < 0 ? Infinity : after.ack[place].at_most_ms;
}

const rounded = (rate) => (rate >= 100 ? Math.round(rate).toLocaleString("en").replaceAll(",", "\u202f") : rate.toFixed(1));

function write(name, text) {
  if (figures[name] && figures[name].textContent !== text) figures[name].textContent = text;
}

function latency(ms) {
  if (ms === undefined) return "–";
  return ms === Infinity ? "> 5 s" : `≤ ${ms < 1 ? ms.toFixed(2) : ms} ms`;
}

function draw() {
  const style = getComputedStyle(canvas);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const most = Math.max(...course, 1);
  const x = (place) => width - ((course.length - 1 - place) * width) / (DRAWN - 1);
  const y = (rate) => height - 1 - (rate / most) * (height - 4);
  pen.beginPath();
  course.forEach((rate, place) => pen.lineTo(x(place), y(rate)));
  pen.strokeStyle = style.color;
  pen.lineWidth = 1.5;
  pen.stroke();
  pen.lineTo(width, height);
  pen.lineTo(x(0), height);
  pen.globalAlpha = 0.15;
  pen.fillStyle = style.color;
  pen.fill();
}

/** Takes note of how far things are now. */
function note(pace) {
  const at = performance.now();
  seen.push({ at, pace });
  // The one before that time is kept: a rate needs two.
  while (seen.length > 2 && at - seen[1].at >= OVER) seen.shift();
}

/** Readings a second at the moment. */
function show() {
  const [{ at: begin, pace: before }, { at: end, pace: now }] = [seen[0], seen.at(-1)];
  write("connections", String(now.connections));
  if (begin === end) return undefined;
  const rate = (name) => ((now[name] - before[name]) * 1000) / (end - begin);
  write("readings", rounded(rate("readings")));
  write("packets", rounded(rate("packets")));
  write("ack", latency(quantile(before, now, 0.5)));
  write("ack-slow", latency(quantile(before, now, 0.99)));
  return rate("readings");
}

const look = steadily(LOOK_EVERY, async () => {
  try {
    note((await get("/api/v1/status")).pace);
    show();
  } catch {
    for (const name of Object.keys(figures)) write(name, "–");
    seen.length = 0;
  }
});

setInterval(() => {
  if (document.hidden || seen.length === 0) return;
  // Nothing came since: otherwise it would have been looked at.
  note(seen.at(-1).pace);
  course.push(show());
  if (course.length > DRAWN) course.shift();
  draw();
}, DRAW_EVERY);
for (const name of ["live", "fresh"]) document.addEventListener(name, look);
look();
