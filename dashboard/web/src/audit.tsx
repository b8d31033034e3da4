// The audit: who changed what, and whether all of it is there, unchanged.
import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, type AuditRow as Row, get, type Json, type Page } from "./api";
import { Chunks } from "./chunks";
import { count } from "./format";
import { usePages } from "./pages";
import { Card, Empty, ExportLink, Fault, Filter, Icon, Pairs, Short, Time } from "./parts";
import { useQuery } from "./router";

interface Check {
  start: number;
  checked: number;
  hash: string;
  ok: boolean;
  wrong: number | null;
  fault: "changed" | "deleted" | "missing" | "broken" | null;
  head: { position: number; hash: string };
}

const PAGE = 100;
const FILTERS = ["actor", "action", "target", "device", "from", "to"] as const;
type Filters = { [name in (typeof FILTERS)[number]]: string };

export default function AuditView() {
  const queries = FILTERS.map((name) => [name, ...useQuery(name)] as const);
  const filters = Object.fromEntries(queries.map(([name, value]) => [name, value])) as Filters;
  const clear = () => queries.forEach(([, , set]) => set(""));
  return (
    <>
      <div class="heading">
        <h1>Audit</h1>
        <p class="muted">Everything that was changed, by whom, newest first.</p>
      </div>
      <Chain />
      <div class="toolbar">
        {queries.map(([name, value, set]) =>
          name === "actor" ? (
            <Filter key={name} label="Only by" placeholder="Who" value={value} onChange={set} />
          ) : (
            <label key={name} class="named">
              <span>{words[name].label}</span>
              {name === "from" || name === "to" ? (
                <input type="date" value={value} onChange={(event) => set(event.currentTarget.value)} />
              ) : (
                <Typed placeholder={words[name].any} value={value} set={set} />
              )}
            </label>
          ),
        )}
        <ExportLink kind="audit" />
      </div>
      <Rows filters={filters} clear={clear} />
    </>
  );
}

// What is being typed is nobody's but the field's until it is done: the view may be drawn anew meanwhile.
function Typed({ placeholder, value, set }: { placeholder: string; value: string; set: (value: string) => void }) {
  const [draft, setDraft] = useState(value);
  useEffect(() => setDraft(value), [value]);
  return (
    <input
      type="search"
      size={12}
      placeholder={placeholder}
      value={draft}
      onInput={(event) => setDraft(event.currentTarget.value)}
      onChange={(event) => set(event.currentTarget.value.trim())}
    />
  );
}

const words: { [name in keyof Filters]: { label: string; any: string } } = {
  actor: { label: "Who", any: "" },
  action: { label: "Action", any: "login, user." },
  target: { label: "What", any: "anything" },
  device: { label: "Device", any: "any" },
  from: { label: "From", any: "" },
  to: { label: "Before", any: "" },
};

function Rows({ filters, clear }: { filters: Filters; clear: () => void }) {
  const key = JSON.stringify(filters);
  const day = (text: string) => (text ? new Date(`${text}T00:00`).toISOString() : "");
  const query = { ...filters, from: day(filters.from), to: day(filters.to), limit: PAGE };
  const { items, next, error, loading, more, reload } = usePages<Row>(key, (after, signal) => get<Page<Row>>("audit", { ...query, after }, signal));
  if (!items) return error ? <Fault error={error} retry={reload} /> : <div class="card skeleton tall" role="status" aria-label="Loading" />;
  if (items.length === 0)
    return (
      <div class="card">
        <Empty title="Nothing like that was done"><button type="button" onClick={clear}>Show everything</button></Empty>
      </div>
    );
  return (
    <>
      {error && error.status !== 503 && <Fault error={error} retry={reload} />}
      <div class="card table-wrap">
        <table class="audit labelled" data-testid="audit">
          <thead>
            <tr>
              <th scope="col">When</th><th scope="col">Who</th><th scope="col">Action</th><th scope="col">What</th>
              <th scope="col">Details</th><th scope="col">From</th><th scope="col">Position</th>
            </tr>
          </thead>
          <Chunks items={items} columns={7} row={(row) => <Line key={row.id} row={row} />} />
        </table>
      </div>
      <p class="foot">
        <span>{count(items.length)} shown</span>
        {next && <button type="button" disabled={loading} onClick={more}>Show {PAGE} more</button>}
      </p>
    </>
  );
}

// What was left empty says nothing.
function said(detail: Json): Json {
  if (detail === null || typeof detail !== "object" || Array.isArray(detail)) return detail;
  return Object.fromEntries(Object.entries(detail).filter(([, value]) => value !== null && value !== ""));
}

function Line({ row }: { row: Row }) {
  return (
    <tr>
      <td class="at"><Time at={row.at} /></td>
      <th scope="row" class="actor">{row.actor}</th>
      <td><span class="tag">{row.action}</span></td>
      <td data-label="What">{row.target || <span class="muted">–</span>}</td>
      <td class="details">
        <Pairs value={said(row.detail)} />
      </td>
      <td data-label="From">{row.peer || <span class="muted">server</span>}</td>
      <td class="position">
        <details>
          <summary>{row.position === null ? "none" : `#${row.position}`}</summary>
          <dl class="facts">
            <div><dt>Hash</dt><dd>{row.hash ? <Short text={row.hash} what="hash" /> : "not in the chain"}</dd></div>
            <div><dt>Request</dt><dd><code>{row.request_id || "–"}</code></dd></div>
          </dl>
        </details>
      </td>
    </tr>
  );
}

// ---- the chain ----

const faults = {
  changed: "was changed after it was written",
  deleted: "was deleted",
  missing: "is missing",
  broken: "does not follow on the one before it",
};

function Chain() {
  const [check, setCheck] = useState<Check | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const alive = useRef(true);
  useEffect(() => () => { alive.current = false; }, []);
  // Step by step, so that no answer takes long however long the chain is.
  const verify = async () => {
    setFault(null);
    setBusy(true);
    try {
      let step: Check;
      let after = 0;
      do {
        step = await get<Check>("audit/verify", { after });
        after = step.checked;
        if (alive.current) setCheck(step);
      } while (alive.current && step.ok && after < step.head.position);
    } catch (error) {
      setFault(error as ApiError);
    }
    setBusy(false);
  };
  const share = check ? (check.head.position > check.start ? (check.checked - check.start) / (check.head.position - check.start) : 1) : 0;
  return (
    <Card
      id="chain-title"
      title="Is it whole?"
      aside={<button type="button" disabled={busy} onClick={() => void verify()}>{busy ? "Checking…" : "Check the chain"}</button>}
    >
      <div class="chain" data-testid="chain" role="status">
        {fault && <Fault error={fault} />}
        {!check && !fault && <p class="muted">Each row holds a hash of the one before it: a change, a gap or another order shows.</p>}
        {check && busy && <progress max={1} value={share} aria-label="Checked" />}
        {check && !check.ok && (
          <p class="status offline">
            <Icon name="offline" />
            <span>The row at position {count(check.wrong ?? 0)} {faults[check.fault ?? "changed"]}. Compare with a backup or an export.</span>
          </p>
        )}
        {check?.ok && !busy && (
          <>
            <p class="status online">
              <Icon name="online" />
              <span>
                Whole: {count(check.checked - check.start)} rows, nothing missing and nothing changed
                {check.start > 0 && ` since position ${count(check.start + 1)}`}
              </span>
            </p>
            <p class="muted">
              Keep this elsewhere; <code>muster audit verify --expect</code> it shows whether rows were cut off later:{" "}
              <Short text={`${check.checked}:${check.hash}`} what="point" />
            </p>
          </>
        )}
      </div>
    </Card>
  );
}
