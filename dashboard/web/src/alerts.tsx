// Alerts: what is wrong now and what was, and how that is looked for, kept quiet and told.
import { useEffect, useState } from "preact/hooks";
import { type Alert, type Severity } from "./alerts_api";
import { Channels } from "./alerts_channels";
import { Rules } from "./alerts_rules";
import { Silences } from "./alerts_silences";
import { ApiError, get, type Page, post } from "./api";
import { count } from "./format";
import { useLoad, useThrottled } from "./hooks";
import { subscribe } from "./live";
import { Dialog, Empty, Fault, Icon, Segments, Time } from "./parts";
import { useQuery } from "./router";
import type { ViewProps } from "./views";

const PAGE = 50;
const looks: Record<Severity, [tone: string, icon: string, word: string]> = {
  critical: ["offline", "alert", "Critical"],
  warning: ["stale", "alert", "Warning"],
  info: ["never", "waiting", "Info"],
};

export function SeverityBadge({ severity, over }: { severity: Severity; over?: boolean }) {
  const [tone, icon, word] = looks[severity];
  return (
    <span class={`status ${over ? "never" : tone}`} data-testid="severity">
      <Icon name={over ? "online" : icon} />
      {over ? `${word}, over` : word}
    </span>
  );
}

// Asks again soon after an alert changed that concerns what is shown.
export function useAlerts(reload: () => void, concerns: (alert: Alert) => boolean = () => true, device?: string) {
  const soon = useThrottled(reload, 1000);
  useEffect(
    () =>
      subscribe({ refresh: soon, alerts: (changed) => changed.some(concerns) && soon() }, device === undefined ? null : [device]),
    [device],
  );
}

export default function AlertsView({ who }: ViewProps) {
  const [tab, setTab] = useQuery("tab");
  const admin = who.role === "administrator";
  const tabs = [
    { value: "", text: "Alerts" },
    { value: "rules", text: "Rules" },
    { value: "silences", text: "Silences" },
    ...(admin || who.role === "auditor" ? [{ value: "channels", text: "Channels" }] : []),
  ];
  return (
    <>
      <div class="heading">
        <h1>Alerts</h1>
        <p class="muted">What is wrong now, what was, and who is told.</p>
      </div>
      <div class="toolbar">
        <Segments label="What to show" value={tab} options={tabs} onChange={setTab} />
      </div>
      {tab === "rules" ? (
        <Rules admin={admin} />
      ) : tab === "silences" ? (
        <Silences may={admin || who.role === "operator"} />
      ) : tab === "channels" ? (
        <Channels admin={admin} />
      ) : (
        <List may={admin || who.role === "operator"} />
      )}
    </>
  );
}

interface Summary {
  active: number;
  unacknowledged: number;
  critical: number;
  warning: number;
  info: number;
}

// What a choice of the page asks for.
const asked: { [state: string]: { state: string; acknowledged: string } } = {
  all: { state: "", acknowledged: "" },
  cleared: { state: "cleared", acknowledged: "" },
  new: { state: "active", acknowledged: "no" },
};

function List({ may }: { may: boolean }) {
  const [state, setState] = useQuery("state");
  const [severity, setSeverity] = useQuery("severity");
  const [shown, setShown] = useState(PAGE);
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  useEffect(() => setChosen(new Set()), [state, severity]);
  const sums = useLoad("summary", (signal) => get<Summary>("alerts/summary", {}, signal));
  const alerts = useLoad(`${state} ${severity} ${shown}`, (signal) =>
    get<Page<Alert>>("alerts", { ...(asked[state] ?? { state: "active", acknowledged: "" }), severity, limit: shown }, signal));
  useAlerts(() => {
    alerts.reload();
    sums.reload();
  });
  const items = alerts.data?.items;
  const picked = items?.filter((alert) => chosen.has(alert.id)) ?? [];
  return (
    <>
      <div class="toolbar">
        <Segments
          label="Only alerts that are"
          value={state}
          options={[
            { value: "", text: "Active", count: sums.data?.active },
            { value: "new", text: "New", count: sums.data?.unacknowledged },
            { value: "cleared", text: "Cleared" },
            { value: "all", text: "All" },
          ]}
          onChange={setState}
        />
        <Segments
          label="Only of this severity"
          value={severity}
          options={[
            { value: "", text: "Any" },
            { value: "critical", text: "Critical", count: sums.data?.critical },
            { value: "warning", text: "Warning", count: sums.data?.warning },
            { value: "info", text: "Info", count: sums.data?.info },
          ]}
          onChange={setSeverity}
        />
      </div>
      {alerts.error && alerts.error.status !== 503 && <Fault error={alerts.error} retry={alerts.reload} />}
      {may && picked.length > 0 && <Together picked={picked} done={() => { setChosen(new Set()); alerts.reload(); sums.reload(); }} />}
      {!items ? (
        !alerts.error && <div class="card skeleton tall" role="status" aria-label="Loading" />
      ) : items.length === 0 ? (
        <div class="card">
          <Empty title={state || severity ? "No alert matches" : "Nothing is wrong"}>
            {state || severity ? (
              <button type="button" onClick={() => { setState("all"); setSeverity(""); }}>Show all alerts</button>
            ) : (
              <>What is looked for stands under <a href="/alerts?tab=rules">Rules</a>, and who is told under Channels.</>
            )}
          </Empty>
        </div>
      ) : (
        <>
          <Table items={items} chosen={chosen} choose={may ? setChosen : null} />
          <p class="foot">
            <span>{count(items.length)} shown</span>
            {alerts.data?.next && shown < 500 && (
              <button type="button" onClick={() => setShown(Math.min(500, shown + PAGE))}>Show {PAGE} more</button>
            )}
          </p>
        </>
      )}
    </>
  );
}

// What is done with all that are chosen, in one request.
function Together({ picked, done }: { picked: Alert[]; done: () => void }) {
  const [fault, setFault] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const ids = picked.map((alert) => alert.id);
  const say = (acknowledged: boolean, comment: string) => {
    setBusy(true);
    setFault(null);
    post("alerts/acknowledge", { ids, acknowledged, comment }).then(done, (error: ApiError) => setFault(error)).finally(() => setBusy(false));
  };
  return (
    <>
      {fault && <Fault error={fault} />}
      <div class="toolbar chosen-alerts" role="group" aria-label="What is chosen" data-testid="chosen-alerts">
        <strong>{count(ids.length)} chosen</strong>
        <button type="button" class="primary" disabled={busy} onClick={() => say(true, "")}>Acknowledge</button>
        <Dialog button="With a comment" title={`Acknowledge ${count(ids.length)} alerts`} confirm="Acknowledge" disabled={busy}
          onConfirm={(form) => say(true, String(form.get("comment")))}>
          <label>What is known<input name="comment" required maxLength={2000} /></label>
        </Dialog>
        {picked.some((alert) => alert.acknowledged_at !== null) && (
          <button type="button" disabled={busy} onClick={() => say(false, "")}>Take back</button>
        )}
      </div>
    </>
  );
}

// Who sees to it.
function With({ alert }: { alert: Alert }) {
  const who = alert.assigned_to || alert.acknowledged_by;
  if (!who) return alert.state === "active" ? <span class="tag new">new</span> : <span class="muted">nobody</span>;
  return <>{who} {alert.acknowledged_at === null && alert.state === "active" && <span class="muted">has not said so</span>}</>;
}

function Table({ items, chosen, choose }: {
  items: Alert[];
  chosen: ReadonlySet<number>;
  choose: ((next: ReadonlySet<number>) => void) | null; // null: nobody to choose
}) {
  const put = (id: number, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    choose?.(next);
  };
  return (
    <div class="card table-wrap">
      <table class="commands alerts" data-testid="alerts">
        <thead>
          <tr>
            {choose && (
              <th scope="col" class="choose">
                <input type="checkbox" aria-label="Choose all that are shown" checked={items.every(({ id }) => chosen.has(id))}
                  onChange={({ currentTarget: { checked } }) => choose(new Set(checked ? items.map(({ id }) => id) : []))} />
              </th>
            )}
            <th scope="col">Severity</th>
            <th scope="col">About</th>
            <th scope="col">What</th>
            <th scope="col">Raised</th>
            <th scope="col">With</th>
          </tr>
        </thead>
        <tbody>
          {items.map((alert) => (
            <tr key={alert.id}>
              {choose && (
                <td class="choose">
                  <input type="checkbox" aria-label={`Choose ${alert.object}: ${alert.title}`} checked={chosen.has(alert.id)}
                    onChange={({ currentTarget: { checked } }) => put(alert.id, checked)} />
                </td>
              )}
              <td class="state"><SeverityBadge severity={alert.severity} over={alert.state === "cleared"} /></td>
              <td class="device"><a href={`/alerts/${alert.id}`}>{alert.object}</a></td>
              <td class="result">
                {alert.title} <span class="muted">{alert.rule_name}</span>
                {alert.silence !== null && alert.state === "active" && <> <span class="tag">silenced</span></>}
              </td>
              <td class="at"><Time at={alert.raised_at} /></td>
              <td class="by"><With alert={alert} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
