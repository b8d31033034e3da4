// The fleet in numbers: asked for once for the whole page, by the frame, and read by whoever shows some of it.
import { useEffect, useState } from "preact/hooks";
import { ApiError, get, type Overview } from "./api";
import { setBadge } from "./badges";
import { noteServerTime, subscribe } from "./live";

const EVERY_MS = 10_000;
const CLOSELY_MS = 3000; // while somebody looks at the overview
const SOON_MS = 2000; // after a change, at most this often

// Open alerts.
export interface AlertCounts {
  active: number;
  unacknowledged: number;
  critical: number;
  warning: number;
  info: number;
}

export interface Fleet {
  data: Overview | null;
  error: ApiError | null;
  alerts: AlertCounts | null; // null: not known, or nothing looks for any
}

const nothing: Fleet = { data: null, error: null, alerts: null };
let state = nothing;
let alertsThere = true; // until the server says that it has no such resource
const listeners = new Set<() => void>();

function change(next: Fleet): void {
  state = next;
  listeners.forEach((listener) => listener());
}

export async function askFleet(): Promise<void> {
  try {
    const data = await get<Overview>("overview");
    noteServerTime(data.at);
    setBadge("/enrolment", { count: data.waiting.registrations, words: "waiting to be let in", tone: "warn" });
    setBadge("/system", { count: data.system.troubled.length, words: "parts not well", tone: "bad" });
    change({ ...state, data, error: null });
  } catch (thrown) {
    change({ ...state, error: thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown)) });
  }
}

async function askAlerts(): Promise<void> {
  if (!alertsThere) return;
  try {
    const alerts = await get<AlertCounts>("alerts/summary");
    setBadge("/alerts", { count: alerts.unacknowledged, words: "new alerts", tone: "bad" });
    change({ ...state, alerts });
  } catch (thrown) {
    if (thrown instanceof ApiError && (thrown.status === 404 || thrown.status === 403)) alertsThere = false;
  }
}

const ask = (): void => {
  void askFleet();
  void askAlerts();
};

// Runs while somebody is logged in. Devices and commands are not listened to: the frame would hear of the whole fleet, whatever
// is on screen; their numbers are asked for.
export function watchFleet(): () => void {
  let soonTimer = 0;
  const soon = () => {
    soonTimer ||= window.setTimeout(() => {
      soonTimer = 0;
      void askFleet();
    }, SOON_MS);
  };
  const timer = setInterval(() => {
    if (!document.hidden) ask();
  }, EVERY_MS);
  const unsubscribe = subscribe({ registrations: soon, campaigns: soon, refresh: soon });
  alertsThere = true;
  ask();
  return () => {
    clearInterval(timer);
    clearTimeout(soonTimer);
    unsubscribe();
    state = nothing;
  };
}

export function useOverviewClosely(): Fleet {
  useEffect(() => {
    void askFleet();
    const timer = setInterval(() => {
      if (!document.hidden) void askFleet();
    }, CLOSELY_MS);
    return () => clearInterval(timer);
  }, []);
  return useOverview();
}

export function useOverview(): Fleet {
  const [fleet, setFleet] = useState(state);
  useEffect(() => {
    const update = () => setFleet(state);
    listeners.add(update);
    update();
    return () => {
      listeners.delete(update);
    };
  }, []);
  return fleet;
}
