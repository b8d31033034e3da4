// One server-sent event stream for the whole page, and what is known of its health and the database's.
import { type Command, type Device, get, onCall, type Session } from "./api";

export interface LiveState {
  connected: boolean;
  lostAt: number | null; // Date.now() when live updates stopped; null while they run or before the first
  databaseUp: boolean;
}

interface Handlers {
  devices: (devices: Device[]) => void;
  commands: (commands: Command[]) => void;
  refresh: () => void; // more changed than was sent one by one: ask again for what is shown
}

const RETRY_MS = [1000, 2000, 4000, 8000, 15000];
const HIDDEN_MS = 30_000;
const subscribers = new Set<Partial<Handlers>>();
const stateListeners = new Set<() => void>();
let state: LiveState = { connected: false, lostAt: null, databaseUp: true };
let source: EventSource | null = null;
let lastId = "";
let attempt = 0;
let retryTimer = 0;
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

function change(next: Partial<LiveState>): void {
  const changed = (Object.keys(next) as (keyof LiveState)[]).some((name) => next[name] !== state[name]);
  if (!changed) return;
  state = { ...state, ...next };
  stateListeners.forEach((listener) => listener());
}

export function subscribe(handlers: Partial<Handlers>): () => void {
  subscribers.add(handlers);
  return () => subscribers.delete(handlers);
}

function emit<K extends keyof Handlers>(name: K, ...args: Parameters<Handlers[K]>): void {
  for (const subscriber of subscribers) {
    const handler = subscriber[name] as ((...all: Parameters<Handlers[K]>) => void) | undefined;
    handler?.(...args);
  }
}

function lost(): void {
  change({ connected: false, lostAt: state.lostAt ?? Date.now() });
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

function connect(): void {
  source?.close();
  const stream = new EventSource(`/api/v1/stream${lastId ? `?after=${lastId}` : ""}`);
  source = stream;
  const on = <T>(name: string, handle: (data: T) => void) =>
    stream.addEventListener(name, (event) => {
      if (event.lastEventId) lastId = event.lastEventId;
      handle(JSON.parse(event.data as string) as T);
    });
  on<Device[]>("devices", (devices) => emit("devices", devices));
  on<Command[]>("commands", (commands) => emit("commands", commands));
  on("resync", () => emit("refresh"));
  on<{ up: boolean }>("database", ({ up }) => {
    change({ databaseUp: up });
    if (up) emit("refresh");
  });
  on<{ replayed: boolean }>("ready", ({ replayed }) => {
    // What was asked for while the server or its database was away has failed: ask again.
    const missed = !replayed || state.lostAt !== null || !state.databaseUp;
    attempt = 0;
    change({ connected: true, lostAt: null, databaseUp: true });
    if (missed) emit("refresh");
  });
  on("end", () => {
    stop();
    onEnd();
  });
  stream.onerror = () => {
    // The browser tries again by itself after a cut, but not after an error answer such as 503.
    if (stream.readyState === EventSource.CLOSED) void reconnect();
    else lost();
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
  resting = false;
  source?.close();
  source = null;
  lastId = "";
  attempt = 0;
  change({ connected: false, lostAt: null, databaseUp: true });
}

onCall((error) => {
  if (error?.status === 503) change({ databaseUp: false });
  else if (error?.status === 0 && state.connected) lost();
  else if (!error) change({ databaseUp: true });
  if (error?.status === 401 && source) {
    stop();
    onEnd();
  }
});
