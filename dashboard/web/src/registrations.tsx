import { useEffect, useState } from "preact/hooks";
import { ApiError, get, type Page, post, type Registration } from "./api";
import { useLoad } from "./hooks";
import { Card, Dialog, Fault, Time } from "./parts";

const SHOWN = 5;

// The devices that ask to be let in; nothing at all when there is none.
export function Registrations({ mayDecide }: { mayDecide: boolean }) {
  const [fault, setFault] = useState<ApiError | null>(null);
  const list = useLoad("registrations", (signal) =>
    get<Page<Registration>>("registrations", { state: "pending", limit: SHOWN }, signal));
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) list.reload();
    }, 10_000);
    return () => clearInterval(timer);
  }, []);
  const items = list.data?.items ?? [];
  if (items.length === 0 && !fault) return null;
  const decide = async (item: Registration, verb: "approve" | "reject", body: { [name: string]: string }) => {
    setFault(null);
    try {
      await post(`registrations/${item.id}/${verb}`, body);
    } catch (error) {
      setFault(error instanceof ApiError ? error : new ApiError(0, String(error)));
    }
    list.reload();
  };
  return (
    <Card title="Waiting to be let in" id="registrations-title">
      {fault && <Fault error={fault} />}
      <div class="table-wrap">
        <table class="registrations labelled" data-testid="registrations">
          <thead>
            <tr>
              <th scope="col">Asks to be</th>
              <th scope="col">Serial number</th>
              <th scope="col">Model</th>
              <th scope="col">From</th>
              <th scope="col">Since</th>
              <th scope="col">Its id</th>
              {mayDecide && <th scope="col"><span class="sr">Decide</span></th>}
            </tr>
          </thead>
          <tbody>
            {items.map((item) => (
              <tr key={item.id}>
                <th scope="row" class="device">
                  {item.wish ?? <span class="muted">any name</span>}
                  {item.taken && <span class="tag off">taken</span>}
                </th>
                <td data-label="Serial number">{item.serial ?? <span class="muted">–</span>}</td>
                <td data-label="Model">{says(item.info.model) ?? says(item.info.os_name) ?? <span class="muted">–</span>}</td>
                <td data-label="From">{item.peer}</td>
                <td data-label="Since"><Time at={item.created_at} /></td>
                <td data-label="Its id"><code>{item.id}</code></td>
                {mayDecide && <td class="decide"><Decisions item={item} decide={decide} /></td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {list.data?.next && (
        <p class="registrations-more muted">
          The newest {SHOWN} are shown: <a href="/enrolment">all that wait</a>.
        </p>
      )}
    </Card>
  );
}

export const says = (value: unknown): string | null => (typeof value === "string" && value ? value : null);

type Decide = (item: Registration, verb: "approve" | "reject", body: { [name: string]: string }) => Promise<void>;

export function Decisions({ item, decide }: { item: Registration; decide: Decide }) {
  const approve = (form: FormData) => {
    const device = String(form.get("device") ?? "").trim();
    void decide(item, "approve", device ? { device } : {});
  };
  return (
    <>
      <Dialog
        button="Approve…"
        id={`approve-${item.id}`}
        title={`Let ${item.wish ?? item.id} in?`}
        confirm="Approve"
        disabled={false}
        onConfirm={approve}
      >
        <label>
          Its name
          <input name="device" defaultValue={item.taken ? "" : (item.wish ?? "")} pattern="[a-z0-9][a-z0-9\-]{0,62}" required={item.taken} />
        </label>
        <p class="hint">
          Compare <code>{item.id}</code> with what the device shows. Serial number and model are what it says of itself.
        </p>
      </Dialog>
      <Dialog
        button="Reject…"
        id={`reject-${item.id}`}
        title={`Reject ${item.wish ?? item.id}?`}
        confirm="Reject"
        danger
        disabled={false}
        onConfirm={(form) => void decide(item, "reject", { reason: String(form.get("reason") ?? "") })}
      >
        <label>
          Why
          <input name="reason" maxLength={200} />
        </label>
        <p class="hint">The device is told the reason. An administrator may still approve it later.</p>
      </Dialog>
    </>
  );
}
