// What waits for a person: open alerts, devices that ask to be let in, parts of the system that are not well.
import { useEffect } from "preact/hooks";
import { ApiError, get, type Json, type Overview, type Page } from "./api";
import { setBadge } from "./badges";
import { count } from "./format";
import { useLoad } from "./hooks";
import { Icon, Time } from "./parts";

interface Alert {
  id: number | string;
  severity: string;
  device?: string | null;
  [name: string]: Json | undefined;
}

const severities = ["critical", "error", "warning", "info"];
const EVERY_MS = 15_000;
const SHOWN = 4;

// Null while there is no such resource, or nothing known yet.
function useAlerts(): Page<Alert> | null {
  const alerts = useLoad<Page<Alert> | null>("alerts", (signal) =>
    get<Page<Alert>>("alerts", { state: "active", limit: 100 }, signal).catch((error: unknown) => {
      if (error instanceof ApiError && (error.status === 404 || error.status === 403)) return null;
      throw error;
    }));
  const { data, reload } = alerts;
  useEffect(() => {
    if (data === null) return;
    const timer = setInterval(() => {
      if (!document.hidden) reload();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, [data === null]);
  useEffect(() => {
    if (data) setBadge("/alerts", { count: data.items.length, words: "open alerts", tone: "bad" });
  }, [data]);
  return data;
}

const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");

export function Attention({ data }: { data: Overview }) {
  const alerts = useAlerts();
  const waiting = data.waiting.registrations;
  const { troubled } = data.system;
  const open = alerts?.items ?? [];
  if (open.length === 0 && waiting === 0 && troubled.length === 0)
    return (
      <p class="quiet calm" data-testid="attention">
        <span class="status online"><Icon name="online" /></span>
        Nothing waits for you.
      </p>
    );
  return (
    <ul class="attention" data-testid="attention">
      {troubled.map(({ part, state, why }) => (
        <li key={part}>
          <span class="status offline"><Icon name="alert" /></span>
          <a href="/system">{part} {state === "silent" ? "is silent" : "is not well"}</a>
          <span class="muted">{state === "silent" ? "look whether it runs, and at its log" : why}</span>
        </li>
      ))}
      {severities.map((severity) => {
        const same = open.filter((alert) => alert.severity === severity);
        return same.length > 0 && <Alerts key={severity} severity={severity} alerts={same} more={alerts?.next !== null} />;
      })}
      {waiting > 0 && (
        <li>
          <span class="status stale"><Icon name="waiting" /></span>
          <a href="/enrolment">{count(waiting)} {waiting === 1 ? "device asks" : "devices ask"} to be let in</a>
        </li>
      )}
    </ul>
  );
}

function Alerts({ severity, alerts, more }: { severity: string; alerts: Alert[]; more: boolean }) {
  const bad = severity === "critical" || severity === "error";
  return (
    <>
      {alerts.slice(0, SHOWN).map((alert) => (
        <li key={alert.id}>
          <span class={`status ${bad ? "offline" : severity === "warning" ? "stale" : "busy"}`}><Icon name="alert" /></span>
          <a href={`/alerts/${alert.id}`}>{text(alert.title) || text(alert.summary) || text(alert.rule) || severity}</a>
          <span class="muted">
            {severity}
            {alert.device ? `, ${alert.device}` : ""}
            {" "}
            {text(alert.raised_at) && <Time at={text(alert.raised_at)} />}
          </span>
        </li>
      ))}
      {alerts.length > SHOWN && (
        <li>
          <span class="status" />
          <a href={`/alerts?state=active&severity=${severity}`}>
            {count(alerts.length - SHOWN)}
            {more ? " or" : ""} more of {severity}
          </a>
        </li>
      )}
    </>
  );
}
