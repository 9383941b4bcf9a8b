// The chat: conversations with their unread marks and who is there, what was said, searched and written. Whatever people
// say is put into the page as text.

import { tell } from "./api.js";
import { Link } from "./chat_link.js";
import { t } from "./texts.js";
import { moment, wholeMoment } from "./times.js";

/** Messages of one conversation that the page holds; earlier ones are asked for again. */
const HELD_MAX = 1000;
/** How often it asks who is there, and what became of messages, while somebody looks. */
const ASK_EVERY = 10_000;

const chat = document.getElementById("chat");
const me = chat.dataset.account;
const at = (id) => document.getElementById(id);
const title = document.title;

/**
 * By key: `#room`, or the name of a person. `more`: whether something was said before what is held; not known before the
 * first answer. `heldThrough`: what was held up to when the page was connected anew, until it is known what came after it.
 */
const talks = new Map();
/** Conversations whose history was asked for, in order: answers come in the order of the questions. */
let asked = [];
let open;
/** What was found, while something is searched for. */
let found;

const roomOf = (key) => (key.startsWith("#") ? key.slice(1) : undefined);
const whereOf = (key) => (roomOf(key) === undefined ? { to: key } : { room: roomOf(key) });
const keyOf = (message) => (message.room === undefined ? (message.from === me ? message.to : message.from) : `#${message.room}`);

/** The conversation that the address names; nothing where it is not well-formed, since people write addresses by hand. */
function named() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return undefined;
  }
}

function talkOf(key) {
  if (!talks.has(key)) {
    talks.set(key, { key, messages: new Map(), unread: new Map(), people: new Map(), readThrough: 0, failed: [] });
  }
  return talks.get(key);
}

const link = new Link(me, (reply) => {
  const does = replies[reply.type];
  if (does) does(reply);
  drawTalks();
});

const replies = {
  state() {
    at("chat-state").dataset.state = link.state;
    at("chat-state").textContent = t(`js.chat_${link.state}`);
    at("replaced").hidden = link.state !== "replaced";
    drawSaid();
  },
  welcome({ rooms, partners }) {
    asked = [];
    for (const talk of talks.values()) talk.heldThrough = sorted(talk).at(-1)?.number;
    for (const { room, read_through } of rooms) talkOf(`#${room}`).readThrough = read_through;
    for (const partner of partners) talkOf(partner);
    for (const { room, to } of link.outbox) talkOf(room === undefined ? to : `#${room}`);
    const wanted = open ?? named();
    // Asked once the link is open for questions.
    queueMicrotask(() => {
      if (wanted && (open || talks.has(wanted))) show(wanted);
      askWhoIsThere();
    });
  },
  message({ message }) {
    const talk = take(message);
    const isNew = message.room === undefined ? message.to === me : message.from !== me && message.number > talk.readThrough;
    if (isNew) talk.unread.set(message.id, message);
    if (isNew && talk.key !== open) at("chat-state").title = t("js.chat_came", { name: talk.key });
    if (talk.key === open) drawSaid();
    readWhatIsSeen();
  },
  accepted({ message }) {
    if (take(message).key === open) drawSaid();
  },
  refused({ id, reason, message }) {
    if (!id) return tell(t(`js.chat_reason_${reason}`));
    if (message) talkOf(message.room === undefined ? message.to : `#${message.room}`).failed.push({ ...message, reason });
    drawSaid();
  },
  joined({ room }) {
    show(talkOf(`#${room}`).key);
  },
  parted({ room }) {
    talks.delete(`#${room}`);
    if (open === `#${room}`) show(undefined);
  },
  history({ messages }) {
    const question = asked.shift();
    const talk = question && talks.get(question.key);
    if (!talk) return;
    if (question.search !== undefined) {
      if (question.key === open && at("words").value.trim() === question.search) found = messages;
    } else {
      if (question.before === undefined) bridge(talk, messages);
      else talk.more = messages.length > 0;
      messages.forEach(take);
    }
    drawSaid();
  },
  members({ room, members }) {
    talkOf(`#${room}`).people = new Map(members.map(({ name, here }) => [name, here]));
    drawHead();
  },
  presence({ room, people }) {
    for (const { name, here } of people) {
      if (room === undefined) {
        if (talks.has(name)) talks.get(name).here = here;
      } else talks.get(`#${room}`)?.people.set(name, here);
    }
    drawHead();
  },
};

/**
 * The last messages of a talk are about to be taken in. Those that were held before the page was away go, unless they reach
 * these: what was said between them came to another window or terminal, and nobody would look for it.
 */
function bridge(talk, messages) {
  talk.more ??= messages.length > 0;
  const [first] = messages;
  if (talk.heldThrough !== undefined && first?.number > talk.heldThrough) {
    for (const { id, number } of sorted(talk)) if (number <= talk.heldThrough) talk.messages.delete(id);
    talk.more = true;
  }
  talk.heldThrough = undefined;
}

/** Takes a message in; the same one again is the same one, as it is now. */
function take(message) {
  const talk = talkOf(keyOf(message));
  talk.messages.set(message.id, message);
  if (talk.messages.size > HELD_MAX) {
    const first = sorted(talk)[0];
    talk.messages.delete(first.id);
    talk.more = true;
  }
  return talk;
}

const sorted = (talk) => [...talk.messages.values()].sort((one, other) => one.number - other.number);

function askHistory(key, more) {
  // Once it is connected again, the page asks anew.
  if (link.state !== "live") return;
  asked.push({ key, ...more });
  const room = roomOf(key);
  link.ask({ type: "history", ...(room === undefined ? { with: key } : { room }), ...more });
}

function askWhoIsThere() {
  const names = [...talks.keys()].filter((key) => roomOf(key) === undefined);
  if (names.length > 0) link.ask({ type: "presence", names });
}

/** Whether what stands last is in sight. */
function isAtEnd() {
  const { scrollHeight, scrollTop, clientHeight } = at("said");
  return scrollHeight - scrollTop - clientHeight < 40;
}

/** Says that what stands before somebody's eyes is read. */
function readWhatIsSeen() {
  const talk = talks.get(open);
  if (!talk || talk.unread.size === 0 || document.hidden || !document.hasFocus() || link.state !== "live") return;
  // Nobody sees it who looks at what was found, or at what was said earlier.
  if (found || !isAtEnd()) return;
  const unread = [...talk.unread.values()];
  talk.unread.clear();
  if (roomOf(open) === undefined) for (const { id } of unread) link.ask({ type: "confirm", id });
  else {
    talk.readThrough = Math.max(...unread.map(({ number }) => number));
    link.ask({ type: "read", room: roomOf(open), number: talk.readThrough });
  }
}

/** Opens a conversation, or none. */
function show(key) {
  const changed = open !== key;
  open = key;
  if (changed) {
    found = undefined;
    at("words").value = "";
    at("said").replaceChildren();
  }
  history.replaceState(null, "", key === undefined ? location.pathname : `#${encodeURIComponent(key)}`);
  if (key !== undefined) {
    talkOf(key);
    askHistory(key, {});
    if (roomOf(key) === undefined) askWhoIsThere();
    else link.ask({ type: "members", room: roomOf(key) });
  }
  for (const id of ["search", "say"]) at(id).hidden = key === undefined;
  at("leave").hidden = key === undefined || roomOf(key) === undefined;
  if (key === undefined) at("talk-title").textContent = t("js.chat_pick");
  drawHead();
  look();
}

/** Shows what stands in the open conversation, which is read then. */
function look() {
  drawSaid();
  readWhatIsSeen();
  drawTalks();
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) if (value !== undefined) made.setAttribute(key, value);
  return made;
}

function drawTalks() {
  const list = at("talks");
  const keys = [...talks.keys()].sort((one, other) => one.localeCompare(other));
  const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
  let unread = 0;
  keys.forEach((key, place) => {
    const talk = talks.get(key);
    unread += talk.unread.size;
    let row = rows.get(key);
    rows.delete(key);
    if (!row) {
      row = element("li", "", { "data-key": key });
      const button = element("button", "", { type: "button" });
      button.append(element("span", key, { class: "who" }), element("span", "", { class: "state" }), element("span", "", { class: "unread" }));
      row.append(button);
    }
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
    const [button] = row.children;
    if (key === open) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    const [, state, count] = button.children;
    state.hidden = talk.here === undefined;
    state.dataset.state = talk.here ? "here" : "away";
    write(state, t(talk.here ? "js.chat_here" : "js.chat_away"));
    write(count, talk.unread.size > 0 ? t("js.chat_unread", { count: talk.unread.size }) : "");
  });
  for (const row of rows.values()) row.remove();
  document.title = unread > 0 ? `(${unread}) ${title}` : title;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function drawHead() {
  const talk = talks.get(open);
  if (!talk) return write(at("talk-people"), "");
  write(at("talk-title"), open);
  const here = [...talk.people].filter(([, here]) => here).map(([name]) => name);
  const ofPerson = talk.here === undefined ? "" : t(talk.here ? "js.chat_here" : "js.chat_away");
  write(at("talk-people"), roomOf(open) === undefined ? ofPerson : t("js.chat_members", { here: here.join(", "), count: talk.people.size }));
}

/** What stands in the open conversation: what was said, what could not be said, what is still to be said. */
function lines(talk) {
  if (found) return found.map((message) => ({ ...message }));
  const isHere = ({ room, to }) => (room === undefined ? to : `#${room}`) === talk.key;
  const failed = talk.failed.map((message) => ({ ...message, from: me, state: "failed" }));
  const pending = link.outbox.filter(isHere).map((message) => ({ ...message, from: me, state: "pending" }));
  return [...sorted(talk), ...failed, ...pending];
}

function drawSaid() {
  const talk = talks.get(open);
  const said = at("said");
  at("earlier").hidden = !talk?.more || found !== undefined;
  write(at("found"), found ? t("js.chat_found", { count: found.length }) : "");
  if (!talk) return said.replaceChildren();
  const wasAtEnd = isAtEnd();
  const rows = new Map([...said.children].map((row) => [row.dataset.key, row]));
  lines(talk).forEach((line, place) => {
    const row = rows.get(line.id) ?? element("article", "", { class: "message", "data-key": line.id });
    rows.delete(line.id);
    draw(row, line);
    if (said.children[place] !== row) said.insertBefore(row, said.children[place] ?? null);
  });
  for (const row of rows.values()) row.remove();
  if (wasAtEnd) said.scrollTop = said.scrollHeight;
}

function draw(row, line) {
  const state = line.from === me ? line.state : undefined;
  const look = JSON.stringify([state, line.at, line.reason]);
  if (row.dataset.look === look) return;
  row.dataset.look = look;
  row.toggleAttribute("data-own", line.from === me);
  row.dataset.state = state ?? "";
  const head = element("header", "");
  head.append(element("strong", line.from));
  if (line.at) head.append(element("time", moment(new Date(line.at)), { datetime: line.at, title: wholeMoment(new Date(line.at)) }));
  if (state) head.append(element("span", t(`js.chat_message_${state}`), { class: "said-state" }));
  row.replaceChildren(head, element("p", line.text));
  if (state !== "failed") return;
  const again = element("button", t("js.chat_again"), { type: "button", class: "quiet", "data-again": line.id });
  row.append(element("p", t(`js.chat_reason_${line.reason}`)), again);
}

at("talks").addEventListener("click", (event) => {
  const row = event.target.closest("li");
  if (!row) return;
  show(row.dataset.key);
  at("text").focus();
});
// Up and down go through the conversations.
at("talks").addEventListener("keydown", (event) => {
  const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const next = step && event.target.closest("li")?.[step];
  if (!next) return;
  event.preventDefault();
  next.firstElementChild.focus();
});
for (const id of ["begin", "join"]) {
  at(id).addEventListener("submit", (event) => {
    event.preventDefault();
    const name = event.target.elements.name.value.trim();
    if (!name || (id === "begin" && name.startsWith("#"))) return;
    event.target.reset();
    if (id === "join") return link.ask({ type: "join", room: name });
    show(name);
    at("text").focus();
  });
}
at("leave").addEventListener("click", () => link.ask({ type: "leave", room: roomOf(open) }));
at("take-back").addEventListener("click", () => link.connect());
at("earlier").addEventListener("click", () => {
  const first = sorted(talks.get(open))[0];
  if (first) askHistory(open, { before: first.number });
});
at("said").addEventListener("scroll", () => (readWhatIsSeen(), drawTalks()));
at("said").addEventListener("click", (event) => {
  const id = event.target.dataset.again;
  const talk = talks.get(open);
  const failed = id && talk.failed.find((message) => message.id === id);
  if (!failed) return;
  talk.failed = talk.failed.filter((message) => message !== failed);
  link.say(whereOf(open), failed.text);
  drawSaid();
});

function search() {
  const words = at("words").value.trim();
  if (words) return askHistory(open, { search: words });
  found = undefined;
  look();
}
at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
// Also when the field is emptied.
at("words").addEventListener("search", search);
at("words").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  at("words").value = "";
  search();
});

at("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = at("text").value;
  if (!text.trim() || open === undefined) return;
  at("text").value = "";
  found = undefined;
  at("words").value = "";
  link.say(whereOf(open), text);
  drawSaid();
  at("said").scrollTop = at("said").scrollHeight;
  look();
});
at("text").addEventListener("keydown", (event) => {
  // Enter also ends what an input method offers.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  at("say").requestSubmit();
});

for (const event of ["focus", "pageshow"]) addEventListener(event, () => (readWhatIsSeen(), drawTalks()));
document.addEventListener("visibilitychange", () => (readWhatIsSeen(), drawTalks()));
addEventListener("beforeunload", (event) => link.outbox.length > 0 && event.preventDefault());
setInterval(() => {
  if (document.hidden || link.state !== "live") return;
  askWhoIsThere();
  const isOwnUnread = ({ from, state }) => from === me && state && state !== "confirmed";
  if (open !== undefined && [...talks.get(open).messages.values()].some(isOwnUnread)) askHistory(open, {});
}, ASK_EVERY);
