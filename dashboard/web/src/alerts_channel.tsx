// One channel: a form for what it tells whom, and what was delivered.
import { useState } from "preact/hooks";
import type { AlertRule, Channel, Delivery, Route, Severity } from "./alerts_api";
import { ApiError, get, type Json, type Page, patch } from "./api";
import { useLoad } from "./hooks";
import { Length, secondsOf } from "./length";
import { usePages } from "./pages";
import { Card, Empty, Fault, Icon, Time } from "./parts";

const ROUTES_MAX = 50;
const severities: Severity[] = ["info", "warning", "critical"];
const looks: Record<Delivery["state"], [tone: string, icon: string, word: string]> = {
  sent: ["online", "online", "Delivered"],
  failed: ["offline", "offline", "Failed"],
  waiting: ["stale", "waiting", "Waiting"],
};
const times: [name: "wait_s" | "interval_s" | "repeat_s", text: string, min: number, max: number][] = [
  ["wait_s", "Waits for more of the same", 0, 3600],
  ["interval_s", "Between two messages at least", 1, 86400],
  ["repeat_s", "Says again what nobody acknowledged, after", 60, 2592000],
];

export const wordsOf = (text: string): string[] => text.split(/[\s,;]+/).filter(Boolean);

export function DeliveryBadge({ state }: { state: Delivery["state"] }) {
  const [tone, icon, word] = looks[state];
  return <span class={`status ${tone}`}><Icon name={icon} />{word}</span>;
}

// What the other side said, and after how many tries.
export function Answer({ delivery: { status, state, attempts, error } }: { delivery: Delivery }) {
  const tries = attempts > 1 ? ` after ${attempts} tries` : "";
  if (error) return <>{error}{tries}</>;
  if (state === "sent") return <>{status === null ? "taken" : `answered ${status}`}{tries}</>;
  return <span class="muted">no answer yet</span>;
}

export function ChannelEditor({ channel, onDone }: { channel: Channel; onDone: (saved: boolean) => void }) {
  const [routes, setRoutes] = useState<Route[]>(channel.routes);
  const [fault, setFault] = useState<ApiError | null>(null);
  const save = (event: SubmitEvent & { currentTarget: HTMLFormElement }) => {
    event.preventDefault();
    const values = new FormData(event.currentTarget);
    const body: { [name: string]: Json } = {
      name: String(values.get("name")),
      enabled: values.has("enabled"),
      routes: routes.map(({ rule, severity }) => ({ rule, severity })),
    };
    if (channel.kind === "email") body["addresses"] = wordsOf(String(values.get("addresses")));
    else body["url"] = String(values.get("url"));
    const bearer = String(values.get("bearer") ?? "");
    if (bearer) body["bearer"] = bearer;
    else if (values.has("no-bearer")) body["bearer"] = null;
    for (const [name] of times) body[name] = secondsOf(values, name);
    patch(`channels/${channel.id}`, body).then(() => onDone(true), (error: ApiError) => setFault(error));
  };
  return (
    <form class="card rule-form" onSubmit={save} data-testid="channel-form">
      <h2>Channel {channel.name}</h2>
      {fault && <Fault error={fault} />}
      <div class="rule-fields">
        <label>Name<input name="name" required maxLength={100} defaultValue={channel.name} /></label>
        {channel.kind === "email" ? (
          <label>Addresses<input name="addresses" required defaultValue={channel.addresses.join(", ")} /></label>
        ) : (
          <>
            <label>URL<input name="url" type="url" required defaultValue={channel.url} /></label>
            <label>Bearer secret
              <input name="bearer" type="password" autocomplete="new-password" maxLength={512} placeholder={channel.bearer ? "set; empty keeps it" : "none"} />
              <small class="muted">Sent in the header Authorization, to this URL only, and never shown again.</small>
            </label>
          </>
        )}
        {times.map(([name, text, min, max]) => (
          <Length key={name} label={text} name={name} seconds={channel[name]} min={min} max={max} />
        ))}
      </div>
      <Routes routes={routes} change={setRoutes} />
      {channel.bearer && <label class="check"><input type="checkbox" name="no-bearer" /> Send no bearer secret any more</label>}
      <label class="check"><input type="checkbox" name="enabled" defaultChecked={channel.enabled} /> Messages are sent</label>
      <div class="buttons">
        <button type="button" onClick={() => onDone(false)}>Cancel</button>
        <button type="submit" class="primary">Save channel</button>
      </div>
    </form>
  );
}

// Which alerts go there: of one rule or of all, from a severity on.
function Routes({ routes, change }: { routes: Route[]; change: (routes: Route[]) => void }) {
  const rules = useLoad("rules", (signal) => get<Page<AlertRule>>("alert-rules", { limit: 500 }, signal));
  const put = (at: number, next: Partial<Route>) => change(routes.map((one, index) => (index === at ? { ...one, ...next } : one)));
  return (
    <fieldset class="routes" data-testid="routes">
      <legend>Which alerts go there</legend>
      {rules.error && <Fault error={rules.error} retry={rules.reload} />}
      {routes.map((route, index) => (
        <div key={index} class="route">
          <select aria-label={`Rule of route ${index + 1}`} value={route.rule === null ? "" : String(route.rule)}
            onChange={({ currentTarget: { value } }) => put(index, { rule: value === "" ? null : Number(value) })}>
            <option value="">All rules</option>
            {rules.data?.items.map((rule) => <option key={rule.id} value={String(rule.id)}>{rule.name}</option>)}
          </select>
          <span>from</span>
          <select aria-label={`Severity of route ${index + 1}`} value={route.severity}
            onChange={({ currentTarget: { value } }) => put(index, { severity: value as Severity })}>
            {severities.map((one) => <option key={one}>{one}</option>)}
          </select>
          <span>on</span>
          {routes.length > 1 && (
            <button type="button" class="plain" aria-label={`Remove route ${index + 1}`}
              onClick={() => change(routes.filter((_, other) => other !== index))}>Remove</button>
          )}
        </div>
      ))}
      {routes.length < ROUTES_MAX && (
        <button type="button" onClick={() => change([...routes, { rule: null, severity: "critical" }])}>Add route</button>
      )}
    </fieldset>
  );
}

export function Deliveries({ channel, close }: { channel: Channel; close: () => void }) {
  // Anew with each message that was made, or that fared otherwise than before.
  const key = JSON.stringify([channel.id, channel.last]);
  const list = usePages<Delivery>(key, (after, signal) =>
    get<Page<Delivery>>(`channels/${channel.id}/deliveries`, { after, limit: 50 }, signal));
  return (
    <Card id="deliveries" title={`Messages of ${channel.name}`} aside={<button type="button" class="plain" onClick={close}>Close</button>}>
      {list.error && <Fault error={list.error} retry={list.reload} />}
      {list.items?.length === 0 && <Empty title="Nothing was sent yet">A test shows whether messages arrive.</Empty>}
      {list.items && list.items.length > 0 && (
        <div class="table-wrap">
          <table class="commands" data-testid="deliveries">
            <thead>
              <tr><th scope="col">State</th><th scope="col">Made</th><th scope="col">What</th><th scope="col">Tries</th><th scope="col">Answer</th></tr>
            </thead>
            <tbody>
              {list.items.map((one) => (
                <tr key={one.id}>
                  <td class="state"><DeliveryBadge state={one.state} /></td>
                  <td class="at"><Time at={one.at} /></td>
                  <td class="result">{one.subject}</td>
                  <td class="number">{one.attempts}</td>
                  <td class="result"><Answer delivery={one} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {list.next && <p class="foot inside"><button type="button" onClick={list.more} disabled={list.loading}>Show 50 more</button></p>}
    </Card>
  );
}
