// Certificates by the time they end, and the authorities that stand behind them.
import { useState } from "preact/hooks";
import { get, type Page, withQuery } from "./api";
import { absolute, count } from "./format";
import { useLoad } from "./hooks";
import { Card, Empty, Fault, Filter, Icon, Segments, Short, Time } from "./parts";
import { useQuery } from "./router";

const PAGE = 100;

interface Certificate {
  serial: string;
  device: string;
  not_before: string;
  not_after: string;
  revoked_at: string | null;
  overdue: boolean;
  in_use: boolean | null; // null: the device has not said
  last_seen: string | null;
  state: "valid" | "expired" | "revoked";
}

interface Authority {
  sha256: string;
  kind: "device" | "service";
  state: "current" | "next" | "old";
  not_after: string;
  changed_at: string;
  certificates: number | null;
}

interface Summary {
  valid: number;
  expiring: number;
  expired: number;
  days: number;
  authorities: Authority[];
}

export default function CertificatesView() {
  const [q, setQ] = useQuery("q");
  const [state, setState] = useQuery("state");
  const summary = useLoad("summary", (signal) => get<Summary>("certificates/summary", {}, signal));
  const sums = summary.data;
  const options = [
    { value: "", text: `Ending within ${sums?.days ?? 30} days`, count: sums?.expiring },
    { value: "valid", text: "Valid", count: sums?.valid },
    { value: "expired", text: "Expired", count: sums?.expired },
    { value: "revoked", text: "Revoked" },
  ];
  return (
    <>
      <div class="heading">
        <h1>Certificates</h1>
        <p class="muted">Devices renew theirs by themselves at two thirds of its life.</p>
      </div>
      {summary.error && <Fault error={summary.error} retry={summary.reload} />}
      {sums && <Authorities items={sums.authorities} />}
      <div class="toolbar">
        <Filter label="Filter" placeholder="Device or serial" value={q} onChange={setQ} />
        <Segments label="State" value={state} options={options} onChange={setState} />
      </div>
      <List key={`${q} ${state}`} q={q} state={state || "expiring"} clear={() => { setQ(""); setState("valid"); }} />
    </>
  );
}

const stages: { [state in Authority["state"]]: string } = {
  current: "signs",
  next: "trusted, does not sign yet",
  old: "trusted until all have renewed",
};

function Authorities({ items }: { items: Authority[] }) {
  return (
    <Card id="authorities-title" title="Authorities">
      {items.length === 0 ? (
        <Empty title="None is recorded">
          <code>muster ca rotate device</code> records them.
        </Empty>
      ) : (
        <div class="table-wrap">
          <table class="labelled" data-testid="authorities">
            <thead>
              <tr>
                <th scope="col">For</th>
                <th scope="col">State</th>
                <th scope="col">SHA-256</th>
                <th scope="col" class="number">Certificates that stand</th>
                <th scope="col">Ends</th>
                <th scope="col">To rotate it</th>
              </tr>
            </thead>
            <tbody>
              {items.map((item) => (
                <tr key={item.sha256}>
                  <th scope="row">{item.kind === "device" ? "Devices" : "Services and servers"}</th>
                  <td data-label="State">{stages[item.state]}</td>
                  <td data-label="SHA-256"><Short text={item.sha256} what="fingerprint" /></td>
                  <td data-label="Certificates that stand" class="number">{item.certificates === null ? "–" : count(item.certificates)}</td>
                  <td data-label="Ends"><Time at={item.not_after} /></td>
                  <td data-label="To rotate it"><Short text={`muster ca rotate ${item.kind}`} what="command" whole /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

async function load(q: string, state: string, wanted: number, signal: AbortSignal): Promise<Page<Certificate>> {
  const items: Certificate[] = [];
  let next: string | null = null;
  do {
    const limit = Math.min(500, wanted - items.length);
    const page: Page<Certificate> = await get(withQuery("certificates", { q, state, limit, after: next }), {}, signal);
    items.push(...page.items);
    next = page.next;
  } while (next && items.length < wanted);
  return { items, next };
}

function List({ q, state, clear }: { q: string; state: string; clear: () => void }) {
  const [shown, setShown] = useState(PAGE);
  const list = useLoad(String(shown), (signal) => load(q, state, shown, signal));
  const items = list.data?.items;
  if (!items) return list.error ? <Fault error={list.error} retry={list.reload} /> : <div class="card skeleton tall" role="status" aria-label="Loading" />;
  if (items.length === 0)
    return (
      <div class="card">
        <Empty title={q ? "No certificate matches" : state === "expiring" ? "None ends soon" : "None"}>
          {q || state !== "valid" ? <button type="button" onClick={clear}>Show all that are valid</button> : "The first is issued when a device enrols."}
        </Empty>
      </div>
    );
  return (
    <>
      <div class="card table-wrap">
        <table class="labelled" data-testid="certificates">
          <thead>
            <tr>
              <th scope="col">Device</th>
              <th scope="col">Serial</th>
              <th scope="col">State</th>
              <th scope="col">Issued</th>
              <th scope="col">{state === "expired" ? "Ended" : "Ends"}</th>
              <th scope="col">Device last seen</th>
            </tr>
          </thead>
          <tbody>
            {items.map((item) => (
              <tr key={item.serial} data-serial={item.serial}>
                <th scope="row" class="device"><a href={`/devices/${encodeURIComponent(item.device)}`}>{item.device}</a></th>
                <td data-label="Serial"><Short text={item.serial} what="serial" /></td>
                <td data-label="State"><Standing item={item} /></td>
                <td data-label="Issued"><Time at={item.not_before} /></td>
                <td data-label="Ends"><Time at={item.not_after} /></td>
                <td data-label="Device last seen"><Time at={item.last_seen} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="foot">
        <span>{count(items.length)} shown</span>
        {list.data?.next && (
          <button type="button" disabled={list.loading} onClick={() => setShown(shown + PAGE)}>Show {PAGE} more</button>
        )}
      </p>
    </>
  );
}

// To revoke, or to enrol again, is done where the device is.
function Standing({ item }: { item: Certificate }) {
  if (item.state === "revoked")
    return (
      <span class="status never" title={item.revoked_at ? absolute(item.revoked_at) : ""}>
        <Icon name="revoked" />
        Revoked
      </span>
    );
  if (item.state === "expired")
    return (
      <span class="status offline" title="The device must be enrolled again: open it.">
        <Icon name="offline" />
        Expired
      </span>
    );
  if (item.overdue)
    return (
      <span class="status stale" title="Renewal is overdue: the device has not been here to do it, or could not.">
        <Icon name="stale" />
        Renewal overdue
      </span>
    );
  return (
    <span class="status online">
      <Icon name="online" />
      {item.in_use ? "In use" : "Valid"}
    </span>
  );
}
