// Silences: times in which nobody is told.
import { useState } from "preact/hooks";
import type { Silence } from "./alerts_api";
import { ApiError, del, get, type Page, post } from "./api";
import { useLoad } from "./hooks";
import { Dialog, Empty, Fault, Time } from "./parts";

const words = { on: "On", coming: "Later", waiting: "Outside its window", over: "Over" };

export function Silences({ may }: { may: boolean }) {
  const silences = useLoad("silences", (signal) => get<Page<Silence>>("silences", { limit: 500 }, signal));
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
            onConfirm={(form) => change(post("silences", {
              query: String(form.get("query")), for_s: Number(form.get("hours")) * 3600, reason: String(form.get("reason")),
            }))}>
            <p>Alerts are raised and shown all the same; nobody gets a message. What is still wrong at the end is told then.</p>
            <label>Which devices<input name="query" placeholder="group:berlin; everything when empty" /></label>
            <label>For how many hours<input name="hours" type="number" min={0.1} max={8760} step="any" required defaultValue="2" /></label>
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
                    <td class="device">{one.query ? <code>{one.query}</code> : "everything"}</td>
                    <td class="result">{one.reason} <span class="muted">{one.created_by}</span></td>
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
