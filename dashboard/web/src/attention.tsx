// What waits for a person: open alerts, devices that ask to be let in, parts of the system that are not well.
import { get, type Overview, type Page } from "./api";
import { type AlertCounts, useOverview } from "./fleet";
import { count } from "./format";
import { useLoad } from "./hooks";
import { Icon, Time } from "./parts";

interface Alert {
  id: number;
  severity: string;
  title: string;
  device: string | null;
  raised_at: string;
}

const severities = ["critical", "warning", "info"] as const;
const SHOWN = 4; // of each severity

// The newest open alerts, asked for anew when their number changes.
function useAlerts(counts: AlertCounts | null): Alert[] {
  const key = counts ? `${counts.active} ${counts.critical} ${counts.warning} ${counts.unacknowledged}` : "";
  const list = useLoad(key, async (signal) =>
    counts && counts.active > 0 ? (await get<Page<Alert>>("alerts", { state: "active", limit: 100 }, signal)).items : []);
  return list.data ?? [];
}

// Parts that say the same, as all do of a broker that does not answer, are one line.
function together(troubled: Overview["system"]["troubled"]): { parts: string[]; silent: boolean; why: string }[] {
  const lines: { parts: string[]; silent: boolean; why: string }[] = [];
  for (const { part, state, why: said } of troubled) {
    const silent = state === "silent";
    const why = silent ? "look whether it runs, and at its log" : said;
    const same = lines.find((line) => line.why === why);
    if (!same) lines.push({ parts: [part], silent, why });
    else if (!same.parts.includes(part)) same.parts.push(part);
  }
  return lines;
}

export function Attention({ data }: { data: Overview }) {
  const { alerts: counts } = useOverview();
  const open = useAlerts(counts);
  const waiting = data.waiting.registrations;
  const { troubled } = data.system;
  if (open.length === 0 && waiting === 0 && troubled.length === 0)
    return (
      <p class="quiet calm" data-testid="attention">
        <span class="status online"><Icon name="online" /></span>
        Nothing waits for you.
      </p>
    );
  return (
    <ul class="attention" data-testid="attention">
      {together(troubled).map(({ parts, silent, why }) => (
        <li key={why}>
          <span class="status offline"><Icon name="alert" /></span>
          <a href="/system">{parts.join(", ")} {parts.length > 1 ? "are" : "is"} {silent ? "silent" : "not well"}</a>
          <span class="muted">{why}</span>
        </li>
      ))}
      {severities.map((severity) => {
        const same = open.filter((alert) => alert.severity === severity);
        return same.length > 0 && <Alerts key={severity} severity={severity} alerts={same} all={counts?.[severity] ?? same.length} />;
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

function Alerts({ severity, alerts, all }: { severity: string; alerts: Alert[]; all: number }) {
  const tone = severity === "critical" ? "offline" : severity === "warning" ? "stale" : "busy";
  const shown = alerts.slice(0, SHOWN);
  return (
    <>
      {shown.map((alert) => (
        <li key={alert.id}>
          <span class={`status ${tone}`}><Icon name="alert" /></span>
          <a href={`/alerts/${alert.id}`}>{alert.title}</a>
          <span class="muted">
            {severity}
            {alert.device ? `, ${alert.device}, ` : ", "}
            <Time at={alert.raised_at} />
          </span>
        </li>
      ))}
      {all > shown.length && (
        <li>
          <span class="status" />
          <a href={`/alerts?state=active&severity=${severity}`}>{count(all - shown.length)} more, {severity}</a>
        </li>
      )}
    </>
  );
}
