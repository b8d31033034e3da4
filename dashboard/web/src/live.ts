// One server-sent event stream for the whole page: what its parts want to hear of, and what is known of its health and
// the database's. The server sends what is on screen and no more (docs/protocol.md, section 26).
import type { Alert } from "./alerts_api";
import { type Campaign, type Command, type Device, type DeviceEvent, get, type Json, onCall, post, type Registration, type Session } from "./api";
import type { Export } from "./exports_api";

export interface LiveState {
  connected: boolean;
  lostAt: number | null; // Date.now() when the last sign of life came; null while they come or before the first
  databaseUp: boolean;
  databaseLostAt: number | null; // Date.now() when it was first heard that it is away
}

// A chunk of what a command prints; data is null where it is long: ask for it.
export interface Printed {
  device: string;
  command: string;
  n: number;
  end: boolean;
  cut: boolean;
  data: string | null;
}

export interface Row {
  [name: string]: Json;
}

interface Topics {
  devices: Device[];
  commands: Command[];
  events: DeviceEvent[]; // only of devices that are named
  outputs: Printed[]; // likewise
  registrations: Registration[];
  campaigns: Campaign[];
  audit: Row[]; // administrators and auditors
  alerts: Alert[];
  exports: Export[]; // one's own
}

// A handler for a topic is what asks for it.
export type Handlers = { [Topic in keyof Topics]: (rows: Topics[Topic]) => void } & {
  refresh: () => void; // more changed than was sent one by one: ask again for what is shown
};

const TOPICS: (keyof Topics)[] = ["devices", "commands", "events", "outputs", "registrations", "campaigns", "audit", "alerts", "exports"];
const OF_DEVICES = new Set<string>(["devices", "commands", "events", "outputs", "alerts"]);
const NAMED_ONLY = new Set<string>(["events", "outputs"]);
const NAMES_MAX = 200; // beyond, all are asked for

const RETRY_MS = [1000, 2000, 4000, 8000, 15000];
const HIDDEN_MS = 30_000;
const SILENT_MS = 12_000; // the server gives a sign of life every 5 s
const WATCH_MS = 1000;
const SETTLE_MS = 50; // parts of the page come and go together
const RECENT_S = 10; // what changed since the page's parts may have asked for their rows

interface Subscriber {
  handlers: Partial<Handlers>;
  devices: readonly string[] | null; // null: all
}

const subscribers = new Set<Subscriber>();
const stateListeners = new Set<() => void>();
const returnListeners = new Set<() => void>();
const fresh: LiveState = { connected: false, lostAt: null, databaseUp: true, databaseLostAt: null };
let state = fresh;
let source: EventSource | null = null;
let streamId = "";
let lastId = "";
let heardAt = 0;
let attempt = 0;
let retryTimer = 0;
let watchTimer = 0;
let settleTimer = 0;
let told = ""; // the interest that the server knows of
let onEnd: () => void = () => {};
// The server's clock less ours, so that a device does not look stale because this computer's clock is off.
let clockOffset = 0;

export const serverNow = (): number => Date.now() + clockOffset;
export function noteServerTime(text: string): void {
  clockOffset = Date.parse(text) - Date.now();
}

export const liveState = (): LiveState => state;
export function onLiveState(listener: () => void): () => void {
  stateListeners.add(listener);
  return () => stateListeners.delete(listener);
}

// Told when the server or its database is back: whatever is shown may have changed meanwhile.
export function onReturn(listener: () => void): () => void {
  returnListeners.add(listener);
  return () => returnListeners.delete(listener);
}

// What load brings, tried again when the server is back: a part of the page may be wanted while it is away.
export const lasting = <T>(load: () => Promise<T>): Promise<T> =>
  load().catch(() => new Promise<T>((resolve) => {
    const end = onReturn(() => {
      end();
      resolve(lasting(load));
    });
  }));

function change(next: Partial<LiveState>): void {
  if (next.databaseUp !== undefined) next.databaseLostAt = next.databaseUp ? null : (state.databaseLostAt ?? Date.now());
  const changed = (Object.keys(next) as (keyof LiveState)[]).some((name) => next[name] !== state[name]);
  if (!changed) return;
  state = { ...state, ...next };
  stateListeners.forEach((listener) => listener());
}

// ---- interest ----

interface Interest {
  topics: string[];
  devices: string[];
}

// All subscribers together. A topic that somebody wants of all devices has a star where others name theirs.
function interest(): Interest {
  const topics: string[] = [];
  const devices = new Set<string>();
  for (const topic of TOPICS) {
    const wanting = [...subscribers].filter(({ handlers }) => handlers[topic]);
    const bound = OF_DEVICES.has(topic);
    if (bound && wanting.some((one) => one.devices === null) && !NAMED_ONLY.has(topic)) topics.push(`${topic}*`);
    else if (bound && wanting.some((one) => one.devices?.length)) {
      topics.push(topic);
      for (const one of wanting) one.devices?.forEach((device) => devices.add(device));
    } else if (!bound && wanting.length > 0) topics.push(topic);
  }
  if (devices.size > NAMES_MAX) return { topics: topics.filter((topic) => !NAMED_ONLY.has(topic)), devices: [] };
  // The page always asks for something, so that it hears from the server at all.
  return { topics: topics.length > 0 ? topics : ["campaigns"], devices: [...devices].sort() };
}

function tell(): void {
  clearTimeout(settleTimer);
  settleTimer = window.setTimeout(() => {
    const next = interest();
    const text = JSON.stringify(next);
    if (!streamId || text === told) return;
    told = text;
    const id = streamId;
    post(`stream/${id}`, { topics: next.topics, devices: next.devices }).catch(() => {
      if (streamId === id) told = ""; // it is told again with the next change, or when the stream is opened anew
    });
  }, SETTLE_MS);
}

// devices: those whose rows are shown; left out: all. What is returned ends it, and its show() changes the devices.
export interface Subscription {
  (): void;
  show: (devices: readonly string[] | null) => void;
}

export function subscribe(handlers: Partial<Handlers>, devices: readonly string[] | null = null): Subscription {
  const subscriber: Subscriber = { handlers, devices };
  subscribers.add(subscriber);
  tell();
  const end = () => {
    subscribers.delete(subscriber);
    tell();
  };
  return Object.assign(end, {
    show: (names: readonly string[] | null) => {
      subscriber.devices = names;
      tell();
    },
  });
}

function emit<K extends keyof Handlers>(name: K, ...args: Parameters<Handlers[K]>): void {
  for (const { handlers } of [...subscribers]) {
    const handler = handlers[name] as ((...all: Parameters<Handlers[K]>) => void) | undefined;
    handler?.(...args);
  }
}

// ---- the connection ----

function back(): void {
  emit("refresh");
  setTimeout(() => returnListeners.forEach((listener) => listener()), SETTLE_MS);
}

function lost(): void {
  streamId = told = "";
  change({ connected: false, lostAt: state.lostAt ?? (heardAt || Date.now()) });
}

async function reconnect(): Promise<void> {
  source?.close();
  source = null;
  lost();
  clearTimeout(retryTimer);
  try {
    await get<Session>("session");
  } catch (error) {
    if ((error as { status?: number }).status === 401) {
      onEnd();
      return;
    }
  }
  const wait = RETRY_MS[Math.min(attempt++, RETRY_MS.length - 1)]!;
  retryTimer = window.setTimeout(connect, wait * (0.75 + Math.random() / 2));
}

function address(): string {
  const { topics, devices } = interest();
  told = JSON.stringify({ topics, devices });
  const query = new URLSearchParams({ topics: topics.join(",") });
  if (devices.length > 0) query.set("device", devices.join(","));
  if (lastId) query.set("after", lastId);
  else query.set("recent_s", String(RECENT_S));
  return `/api/v1/stream?${query}`;
}

function connect(): void {
  source?.close();
  clearInterval(watchTimer);
  const stream = new EventSource(address());
  const opened = Date.now();
  source = stream;
  // A connection may be dead without anybody being told: then no sign of life comes.
  watchTimer = window.setInterval(() => {
    if (source === stream && Date.now() - Math.max(heardAt, opened) >= SILENT_MS) void reconnect();
  }, WATCH_MS);
  const on = <T>(name: string, handle: (data: T) => void) =>
    stream.addEventListener(name, (event) => {
      heardAt = Date.now();
      if (event.lastEventId) lastId = event.lastEventId;
      handle(JSON.parse(event.data as string) as T);
    });
  for (const topic of TOPICS) on<never>(topic, (rows) => emit(topic, rows));
  on("beat", () => {});
  on("resync", () => emit("refresh"));
  on<{ up: boolean }>("database", ({ up }) => {
    change({ databaseUp: up });
    if (up) back();
  });
  on<{ replayed: boolean; stream: string }>("ready", ({ replayed, stream: id }) => {
    // What was asked for while the server or its database was away has failed: ask again.
    const missed = !replayed || state.lostAt !== null || !state.databaseUp;
    attempt = 0;
    streamId = id;
    change({ connected: true, lostAt: null, databaseUp: true });
    if (missed) back();
    tell(); // parts that came meanwhile
  });
  on("end", () => {
    stop();
    onEnd();
  });
  stream.onerror = () => {
    // The browser would try again by itself, but with the address, and so the interest, of before.
    if (source === stream) void reconnect();
  };
}

// A browser keeps six connections to a server at most, for all its tabs: one that nobody looks at gives its own back.
let hiddenTimer = 0;
let resting = false;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = window.setTimeout(() => {
      if (!source) return;
      source.close();
      source = null;
      streamId = "";
      resting = true;
    }, HIDDEN_MS);
  } else if (resting) {
    resting = false;
    connect();
  }
});

export function start(ended: () => void): void {
  onEnd = ended;
  connect();
}

export function stop(): void {
  clearTimeout(retryTimer);
  clearInterval(watchTimer);
  resting = false;
  source?.close();
  source = null;
  lastId = streamId = told = "";
  heardAt = 0;
  attempt = 0;
  change(fresh);
}

onCall((error) => {
  if (error?.status === 503) change({ databaseUp: false });
  else if (!error) change({ databaseUp: true });
  if (error?.status === 401 && source) {
    stop();
    onEnd();
  }
});
