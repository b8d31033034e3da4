// One alert: what it is, what happened to it, and what a person can do.
import { useState } from "preact/hooks";
import { SeverityBadge, useAlerts } from "./alerts";
import type { Alert } from "./alerts_api";
import { ApiError, get, type Json, post } from "./api";
import { useLoad } from "./hooks";
import { Card, Dialog, Fault, Icon, Time } from "./parts";
import type { ViewProps } from "./views";

const words: { [type: string]: string } = {
  raised: "Raised", returned: "Came back", cleared: "Cleared", acknowledged: "Acknowledged", unacknowledged: "No longer acknowledged",
  assigned: "Assigned", comment: "Comment", silenced: "Silenced", unsilenced: "No longer silenced", told: "Told",
};

export default function AlertView({ who, args }: ViewProps) {
  const id = args[0]!;
  const alert = useLoad(id, (signal) => get<Alert>(`alerts/${encodeURIComponent(id)}`, {}, signal));
  useAlerts(alert.reload, (one) => String(one.id) === id);
  if (alert.error && !alert.data) return <Fault error={alert.error} retry={alert.reload} />;
  if (!alert.data) return <div class="card skeleton tall" role="status" aria-label="Loading" />;
  return <Shown alert={alert.data} me={who.name} may={who.role === "operator" || who.role === "administrator"} reload={alert.reload} />;
}

function Shown({ alert, me, may, reload }: { alert: Alert; me: string; may: boolean; reload: () => void }) {
  const active = alert.state === "active";
  return (
    <>
      <a class="back" href="/alerts"><Icon name="back" /> Alerts</a>
      <div class="heading">
        <h1>{alert.object}: {alert.title}</h1>
        <SeverityBadge severity={alert.severity} over={!active} />
        {may && <Acts alert={alert} me={me} reload={reload} />}
      </div>
      <Card id="alert-facts" title="What it is">
        <dl class="facts">
          <div><dt>Rule</dt><dd>{alert.rule_name}</dd></div>
          {alert.device && <div><dt>Device</dt><dd><a href={`/devices/${encodeURIComponent(alert.device)}`}>{alert.device}</a></dd></div>}
          <div><dt>Since</dt><dd><Time at={alert.since} /></dd></div>
          <div><dt>Raised</dt><dd><Time at={alert.raised_at} /></dd></div>
          {!active && <div><dt>Cleared</dt><dd><Time at={alert.cleared_at} /> <span class="muted">{alert.cleared_by || alert.cleared_why}</span></dd></div>}
          <div><dt>Acknowledged by</dt><dd>{alert.acknowledged_by || "nobody"}</dd></div>
          <div><dt>Assigned to</dt><dd>{alert.assigned_to || "nobody"}</dd></div>
          {active && alert.silence !== null && (
            <div><dt>Silenced</dt><dd><a href="/alerts?tab=silences">nobody is told</a></dd></div>
          )}
          {alert.flaps > 0 && <div><dt>Came back</dt><dd>{alert.flaps} times</dd></div>}
        </dl>
      </Card>
      <Card id="alert-events" title="What happened">
        <div class="table-wrap">
          <table class="events" data-testid="alert-events">
            <thead><tr><th scope="col">When</th><th scope="col">What</th><th scope="col">Details</th></tr></thead>
            <tbody>
              {[...(alert.events ?? [])].reverse().map((event, index) => (
                <tr key={index}>
                  <td class="at"><Time at={event.at} /></td>
                  <td class="type">{words[event.type] ?? event.type}</td>
                  <td class="details">{event.actor && <strong>{event.actor}</strong>} {event.text}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
    </>
  );
}

type Send = (path: string, body: Json) => void;

// Of what this alert is about: its rule, for its device, or for everything where it is about none.
function Silence({ alert, busy, send }: { alert: Alert; busy: boolean; send: Send }) {
  const body = (form: FormData) => ({
    query: alert.device ? `device:${alert.device}` : "",
    for_s: Math.round(Number(form.get("hours")) * 3600),
    reason: String(form.get("reason")),
    ...(form.get("what") === "rule" && alert.rule !== null ? { rule: alert.rule } : {}),
  });
  return (
    <Dialog button="Silence" title="Tell nobody for a while" confirm="Begin silence" disabled={busy} onConfirm={(form) => send("silences", body(form))}>
      <p>The alert stays here; nobody gets a message. If it is still so at the end, it is told then.</p>
      <label>What is not told
        <select name="what">
          {alert.rule !== null && <option value="rule">{alert.rule_name}{alert.device ? ` of ${alert.device}` : ""}</option>}
          {alert.device && <option value="all">everything about {alert.device}</option>}
        </select>
      </label>
      <label>For how many hours<input name="hours" type="number" min={0.1} max={8760} step="any" required defaultValue="2" /></label>
      <label>Why<input name="reason" required maxLength={400} /></label>
    </Dialog>
  );
}

function Acts({ alert, me, reload }: { alert: Alert; me: string; reload: () => void }) {
  const [fault, setFault] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const send: Send = (path, body) => {
    setBusy(true);
    setFault(null);
    post(path, body)
      .then(reload, (error: ApiError) => setFault(error))
      .finally(() => setBusy(false));
  };
  const act = (verb: string, body: Json) => send(`alerts/${alert.id}/${verb}`, body);
  const acknowledged = alert.acknowledged_at !== null;
  const byHand = ["fingerprint", "command", "campaign", "quarantine"].includes(alert.kind) && alert.state === "active";
  return (
    <>
      <div class="end">
        <button type="button" class="primary" disabled={busy} onClick={() => act("acknowledge", { acknowledged: !acknowledged })}>
          {acknowledged ? "Take acknowledgement back" : "Acknowledge"}
        </button>
        <button type="button" disabled={busy} onClick={() => act("assign", { to: alert.assigned_to === me ? "" : me })}>
          {alert.assigned_to === me ? "Give it back" : "Assign to me"}
        </button>
        {alert.state === "active" && (alert.device !== null || alert.rule !== null) && <Silence alert={alert} busy={busy} send={send} />}
        <Dialog button="Comment" title="Comment on this alert" confirm="Add comment" disabled={busy}
          onConfirm={(form) => act("comment", { text: String(form.get("text")) })}>
          <label>What is known<input name="text" required maxLength={2000} /></label>
        </Dialog>
        {byHand && (
          <Dialog button="Clear" title="Clear this alert" confirm="Clear" disabled={busy}
            onConfirm={(form) => act("clear", { reason: String(form.get("reason")) })}>
            <p>It does not go away by itself. If it happens again, there will be another alert.</p>
            <label>Why<input name="reason" maxLength={2000} /></label>
          </Dialog>
        )}
      </div>
      {fault && <Fault error={fault} />}
    </>
  );
}
