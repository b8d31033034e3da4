// Silences: times in which nobody is told.
import { useState } from "preact/hooks";
import type { AlertRule, Silence } from "./alerts_api";
import { ApiError, del, get, type Json, type Page, post } from "./api";
import { useLoad } from "./hooks";
import { Dialog, Empty, Fault, Time } from "./parts";

const words = { on: "On", coming: "Later", waiting: "Outside its window", over: "Over" };

const days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

// Without a day it counts all the time.
function bodyOf(form: FormData): { [name: string]: Json } {
  const body: { [name: string]: Json } = {
    query: String(form.get("query")), for_s: Math.round(Number(form.get("hours")) * 3600), reason: String(form.get("reason")),
  };
  const chosen = form.getAll("day").map(Number);
  if (form.get("rule")) body["rule"] = Number(form.get("rule"));
  if (chosen.length > 0) {
    body["week"] = { days: chosen, from: String(form.get("from")), to: String(form.get("to")) };
    body["time_zone"] = String(form.get("time_zone"));
  }
  return body;
}

function Week() {
  return (
    <details class="week">
      <summary>Only at some times of the week</summary>
      <fieldset class="days">
        <legend>On these days</legend>
        {days.map((name, index) => <label key={name}><input type="checkbox" name="day" value={index + 1} />{name}</label>)}
      </fieldset>
      <label>From<input name="from" type="time" defaultValue="22:00" /></label>
      <label>To, on the next day if that is earlier<input name="to" type="time" defaultValue="05:00" /></label>
      <label>Time zone<input name="time_zone" maxLength={63} defaultValue={Intl.DateTimeFormat().resolvedOptions().timeZone} /></label>
    </details>
  );
}

function When({ silence: { week, time_zone: zone } }: { silence: Silence }) {
  if (!week) return null;
  return <span class="muted">{week.days.map((day) => days[day - 1]).join(", ")} {week.from}–{week.to} {zone}</span>;
}

export function Silences({ may }: { may: boolean }) {
  const silences = useLoad("silences", (signal) => get<Page<Silence>>("silences", { limit: 500 }, signal));
  const rules = useLoad("rules", (signal) => get<Page<AlertRule>>("alert-rules", { limit: 500 }, signal));
  const [fault, setFault] = useState<ApiError | null>(null);
  const change = (what: Promise<unknown>) => {
    setFault(null);
    what.then(silences.reload, (error: ApiError) => setFault(error));
  };
  const items = silences.data?.items;
  return (
    <>
      {(fault ?? silences.error) && <Fault error={(fault ?? silences.error)!} retry={silences.reload} />}
      {may && (
        <div class="toolbar">
          <Dialog button="New silence" title="Tell nobody for a while" confirm="Begin silence" disabled={false}
            onConfirm={(form) => change(post("silences", bodyOf(form)))}>
            <p>Alerts are raised and shown all the same; nobody gets a message. What is still wrong at the end is told then.</p>
            <label>Which devices<input name="query" placeholder="group:berlin; everything when empty" /></label>
            <label>Of which rule
              <select name="rule">
                <option value="">all rules</option>
                {rules.data?.items.map((rule) => <option key={rule.id} value={rule.id}>{rule.name}</option>)}
              </select>
            </label>
            <label>For how many hours<input name="hours" type="number" min={0.1} max={8760} step="any" required defaultValue="2" /></label>
            <Week />
            <label>Why<input name="reason" required maxLength={400} /></label>
          </Dialog>
        </div>
      )}
      {items && (
        <div class="card table-wrap">
          {items.length === 0 ? <Empty title="No silence">People are told of every alert that has a channel.</Empty> : (
            <table class="commands alerts" data-testid="silences">
              <thead><tr><th scope="col">State</th><th scope="col">Which devices</th><th scope="col">Why</th><th scope="col">Until</th>{may && <th scope="col"><span class="sr">End</span></th>}</tr></thead>
              <tbody>
                {items.map((one) => (
                  <tr key={one.id}>
                    <td class="state">{words[one.state]}</td>
                    <td class="device">{one.query ? <code>{one.query}</code> : "everything"} {one.rule !== null && <span class="muted">{rules.data?.items.find(({ id }) => id === one.rule)?.name ?? `rule ${one.rule}`}</span>}</td>
                    <td class="result">{one.reason} <When silence={one} /> <span class="muted">{one.created_by}</span></td>
                    <td class="at"><Time at={one.until} /></td>
                    {may && <td class="decide"><button type="button" class="plain" onClick={() => change(del(`silences/${one.id}`))}>End now<span class="sr">: {one.reason}</span></button></td>}
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </div>
      )}
    </>
  );
}
