// The connection to the head-end's chat. It comes back by itself, asks whether the other side is still there, and keeps
// what is to be said until the head-end has stored it.

/** Milliseconds until it connects again for the first time; each time that fails doubles them. */
const WAIT_FIRST = 500;
/** The longest of these waits: a server that comes back finds everybody within half a minute. */
const WAIT_MAX = 30_000;
/** How long the head-end may take to answer when it is asked whether it is there. */
const ANSWER_WITHIN = 10_000;
/** When a message is offered again that the head-end could not take right now. */
const OFFER_AGAIN_AFTER = 1_000;
/** Why the head-end ends a connection: a text is over its limit (RFC 6455). */
const TOO_BIG = 1009;
/** Why a message is not taken that may be taken a moment later. */
const FOR_NOW = ["busy", "not_stored"];

/** A name that nobody else gives: a UUID, also where the page is not from a secure origin. */
function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Half of a wait that doubles, and as much again by chance: many pages must not come back at once. */
function wait(failures) {
  const whole = Math.min(WAIT_MAX, WAIT_FIRST * 2 ** failures);
  return whole / 2 + (Math.random() * whole) / 2;
}

export class Link {
  /** What is to be said, in order: `{ id, room | to, text }`. It outlives a reload of the page. */
  outbox = [];
  state = "waiting";
  #tell;
  #shelf;
  #socket;
  #failures = 0;
  #timer;
  #underway = false;
  #heardAt = 0;
  #askedAt = 0;
  #pingAfter = 25_000;

  /** For an account; `tell(reply)` hears every text of the head-end, and `{ type: "state" }` when the state changed. */
  constructor(account, tell) {
    this.#tell = tell;
    this.#shelf = `chat.outbox.${account}`;
    this.outbox = JSON.parse(sessionStorage.getItem(this.#shelf) ?? "[]");
    setInterval(() => this.#look(), 1000);
    // What stopped it may be over.
    const again = () => this.state === "lost" && !document.hidden && this.connect();
    addEventListener("online", again);
    document.addEventListener("visibilitychange", again);
    addEventListener("pageshow", (event) => event.persisted && again());
    this.connect();
  }

  /** Says a message, now or as soon as that can be. */
  say(target, text) {
    this.outbox.push({ id: newId(), ...target, text });
    this.#keep();
    this.#pump();
  }

  /** Asks for something that needs no second try: the page asks anew when it is connected again. */
  ask(request) {
    if (this.state === "live") this.#socket.send(JSON.stringify(request));
  }

  connect() {
    clearTimeout(this.#timer);
    this.#drop();
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/api/v1/chat`);
    this.#socket = socket;
    this.#heardAt = performance.now();
    this.#askedAt = 0;
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#hear(JSON.parse(event.data));
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.#socket) return;
      // Said again, it would end the next connection as well.
      if (code === TOO_BIG && this.#underway) this.#refused({ type: "refused", id: this.outbox[0].id, reason: "too_long" });
      this.#lost();
    };
  }

  #hear(reply) {
    this.#heardAt = performance.now();
    this.#askedAt = 0;
    if (reply.type === "welcome") {
      this.#failures = 0;
      this.#pingAfter = reply.ping_s * 1000;
    }
    if (reply.type === "accepted") this.#settled(reply.message.id);
    if (reply.type === "refused" && reply.id) {
      if (FOR_NOW.includes(reply.reason)) {
        setTimeout(() => {
          this.#underway = false;
          this.#pump();
        }, OFFER_AGAIN_AFTER);
        return;
      }
      return this.#refused(reply);
    }
    if (reply.type === "replaced") this.#turn("replaced");
    this.#tell(reply);
    if (reply.type === "welcome") this.#turn("live");
    this.#pump();
  }

  /** A message cannot be said. */
  #refused(reply) {
    const message = this.outbox.find(({ id }) => id === reply.id);
    this.#settled(reply.id);
    this.#tell({ ...reply, message });
    this.#pump();
  }

  #settled(id) {
    this.outbox = this.outbox.filter((message) => message.id !== id);
    this.#underway = false;
    this.#keep();
  }

  /** Offers the first message; the next one follows its answer, so that none overtakes another. */
  #pump() {
    const [first] = this.outbox;
    if (!first || this.#underway || this.state !== "live") return;
    this.#underway = true;
    this.ask({ type: "say", ...first });
  }

  #keep() {
    sessionStorage.setItem(this.#shelf, JSON.stringify(this.outbox));
  }

  #turn(state) {
    if (this.state === state) return;
    this.state = state;
    this.#tell({ type: "state" });
  }

  /** Asks who was silent for long whether it is there, and gives it up when it does not answer. */
  #look() {
    const now = performance.now();
    if (this.state !== "live") {
      // Somebody took the connection and says nothing.
      if (this.#socket && now - this.#heardAt > ANSWER_WITHIN) this.#lost();
      return;
    }
    if (this.#askedAt) {
      if (now - this.#askedAt > ANSWER_WITHIN) this.#lost();
    } else if (now - this.#heardAt > this.#pingAfter) {
      this.#askedAt = now;
      this.ask({ type: "ping" });
    }
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#underway = false;
    socket?.close();
  }

  async #lost() {
    this.#drop();
    // Whoever has the name now would lose it again, and so on.
    if (this.state === "replaced") return;
    this.#turn("lost");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), wait(this.#failures++));
    const known = await fetch("/api/v1/me", { credentials: "same-origin" }).catch(() => undefined);
    if (known?.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.hash)}`);
  }
}
