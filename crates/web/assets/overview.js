// How fast things go: figures of the API's status, once a second, and their course over the last minutes.

import { get } from "./api.js";

/** Between two questions, in milliseconds. */
const EVERY = 1000;
/** Over how many of them a rate is taken: a logger may report every few seconds only. */
const OVER = 10;
/** Rates that are drawn: five minutes. */
const DRAWN = 300;

const figures = Object.fromEntries(
  [...document.querySelectorAll("[data-figure]")].map((element) => [element.dataset.figure, element]),
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

async function look() {
  try {
    const status = await get("/api/v1/status");
    const now = { at: performance.now(), ...status.pace };
    seen.push(now);
    if (seen.length > OVER + 1) seen.shift();
    const before = seen[0];
    write("connections", String(now.connections));
    if (before === now) return;
    const seconds = (now.at - before.at) / 1000;
    const rate = (now.readings - before.readings) / seconds;
    write("readings", rounded(rate));
    write("packets", rounded((now.packets - before.packets) / seconds));
    write("ack", latency(quantile(before, now, 0.5)));
    write("ack-slow", latency(quantile(before, now, 0.99)));
    course.push(rate);
    if (course.length > DRAWN) course.shift();
    draw();
  } catch {
    for (const name of Object.keys(figures)) write(name, "–");
    seen.length = 0;
  }
}

(async () => {
  for (;;) {
    if (!document.hidden) await look();
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
})();
