// Files of what is stored, made in the background: asked for, watched, fetched.
import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, del, get, type Json, type Page, post } from "./api";
import type { Export, ExportKind } from "./exports_api";
import { bytes, count } from "./format";
import { useLoad } from "./hooks";
import { subscribe } from "./live";
import { Bar, Card, Empty, Fault, Icon, Segments, Time } from "./parts";
import { useQuery } from "./router";
import type { ViewProps } from "./views";

const formats = [
  { value: "csv", text: "CSV" },
  { value: "json", text: "JSON" },
  { value: "ndjson", text: "NDJSON" },
] as const;
const words: Record<Export["state"], [tone: string, icon: string, word: string]> = {
  queued: ["never", "waiting", "Waiting"],
  running: ["busy", "running", "Running"],
  done: ["online", "online", "Done"],
  failed: ["offline", "offline", "Failed"],
  cancelled: ["never", "cancelled", "Cancelled"],
  expired: ["stale", "stale", "Expired"],
};
const isOpen = (one: Export): boolean => one.state === "queued" || one.state === "running";

// Newest first, as the server sorts them.
function merged(items: Export[], changed: Export[]): Export[] {
  const known = new Map(items.map((one) => [one.id, one]));
  for (const one of changed) known.set(one.id, one);
  return [...known.values()].sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
}

export default function ExportsView({ who }: ViewProps) {
  const list = useLoad("exports", (signal) => get<Page<Export>>("exports", { limit: 100 }, signal));
  useEffect(
    () =>
      subscribe({
        refresh: list.reload,
        exports: (changed) => list.change((page) => ({ ...page, items: merged(page.items, changed) })),
      }),
    [],
  );
  return (
    <>
      <div class="heading">
        <h1>Exports</h1>
        <p class="muted">Files of what is stored, made in the background. They are yours alone.</p>
      </div>
      <Ask mayAudit={who.role === "administrator" || who.role === "auditor"} onAsked={list.reload} />
      {list.error && list.error.status !== 503 && <Fault error={list.error} retry={list.reload} />}
      <Card id="exports-title" title="Your exports">
        {!list.data ? (
          !list.error && <div class="skeleton" role="status" aria-label="Loading" />
        ) : list.data.items.length === 0 ? (
          <Empty title="No export yet">Choose above what the file is to hold; it stays for a day.</Empty>
        ) : (
          <List items={list.data.items} onChanged={list.reload} />
        )}
      </Card>
    </>
  );
}

// ---- the form ----

function Ask({ mayAudit, onAsked }: { mayAudit: boolean; onAsked: () => void }) {
  const kinds = useLoad("kinds", (signal) => get<Page<ExportKind>>("exports/kinds", {}, signal));
  const [kindName, setKind] = useQuery("kind");
  const [query, setQuery] = useQuery("q");
  const [format, setFormat] = useQuery("format");
  const [device, setDevice] = useQuery("device");
  const [left, setLeft] = useState<{ kind: string; names: string[] }>({ kind: "", names: [] });
  const [error, setError] = useState<ApiError | null>(null);
  const [sending, setSending] = useState(false);
  const offered = useMemo(() => kinds.data?.items.filter((one) => mayAudit || one.kind !== "audit") ?? [], [kinds.data, mayAudit]);
  const kind = offered.find((one) => one.kind === kindName) ?? offered[0];
  if (!kind) return kinds.error && kinds.error.status !== 503 ? <Fault error={kinds.error} retry={kinds.reload} /> : null;
  const leftOut = left.kind === kind.kind ? left.names : [];
  const send = async (form: FormData) => {
    const body: { [name: string]: Json } = { kind: kind.kind, format: format || "csv" };
    if (kind.by_device && query) body["query"] = query;
    if (kind.by_device && device) body["device"] = device;
    for (const name of ["from", "to"]) {
      const text = form.get(name);
      if (kind.by_time && typeof text === "string" && text) body[name] = new Date(text).toISOString();
    }
    if (leftOut.length > 0) body["columns"] = kind.columns.filter((name) => !leftOut.includes(name));
    setSending(true);
    try {
      await post<Export>("exports", body);
      setError(null);
      onAsked();
    } catch (thrown) {
      setError(thrown as ApiError);
    }
    setSending(false);
  };
  const toggle = (name: string, on: boolean) =>
    setLeft({ kind: kind.kind, names: on ? leftOut.filter((one) => one !== name) : [...leftOut, name] });
  return (
    <Card id="ask-title" title="New export">
      <form
        class="export-form"
        data-testid="export-form"
        onSubmit={(event) => {
          event.preventDefault();
          void send(new FormData(event.currentTarget));
        }}
      >
        {error && <Fault error={error} />}
        <div class="row">
          <Segments
            label="What"
            value={kind.kind}
            options={offered.map((one) => ({ value: one.kind, text: one.kind[0]!.toUpperCase() + one.kind.slice(1) }))}
            onChange={setKind}
          />
          <Segments label="Format" value={(format || "csv") as "csv" | "json" | "ndjson"} options={formats} onChange={setFormat} />
        </div>
        <div class="row fields">
          {kind.by_device && (
            <>
              <Labelled name="Query" hint="empty: all devices">
                <input value={query} placeholder="tag:kiosk status:offline" onChange={(event) => setQuery(event.currentTarget.value.trim())} />
              </Labelled>
              <Labelled name="Device" hint="empty: any">
                <input value={device} placeholder="Device id" onChange={(event) => setDevice(event.currentTarget.value.trim())} />
              </Labelled>
            </>
          )}
          {kind.by_time && (
            <>
              <Labelled name="From"><input type="datetime-local" name="from" /></Labelled>
              <Labelled name="To"><input type="datetime-local" name="to" /></Labelled>
            </>
          )}
        </div>
        <details>
          <summary>{`Columns: ${leftOut.length === 0 ? "all" : `${kind.columns.length - leftOut.length} of ${kind.columns.length}`}`}</summary>
          <fieldset>
            <legend class="sr">Columns</legend>
            {kind.columns.map((name) => (
              <label key={name}>
                <input
                  type="checkbox"
                  checked={!leftOut.includes(name)}
                  onChange={(event) => toggle(name, event.currentTarget.checked)}
                />
                {name}
              </label>
            ))}
          </fieldset>
        </details>
        <button type="submit" class="primary" disabled={sending || leftOut.length === kind.columns.length}>Export</button>
      </form>
    </Card>
  );
}

function Labelled({ name, hint, children }: { name: string; hint?: string; children: preact.ComponentChildren }) {
  return (
    <label class="labelled">
      <span>
        {name} {hint && <span class="muted">{hint}</span>}
      </span>
      {children}
    </label>
  );
}

// ---- the list ----

function List({ items, onChanged }: { items: Export[]; onChanged: () => void }) {
  const [error, setError] = useState<ApiError | null>(null);
  const remove = async (id: string) => {
    try {
      await del(`exports/${id}`);
      setError(null);
    } catch (thrown) {
      setError(thrown as ApiError);
    }
    onChanged();
  };
  return (
    <>
      {error && <Fault error={error} />}
      <div class="table-wrap">
        <table class="labelled" data-testid="exports">
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">State</th>
              <th scope="col">Rows</th>
              <th scope="col">Size</th>
              <th scope="col">Asked for</th>
              <th scope="col">Kept until</th>
              <th scope="col"><span class="sr">What to do</span></th>
            </tr>
          </thead>
          <tbody>{items.map((one) => <Row key={one.id} one={one} onRemove={() => void remove(one.id)} />)}</tbody>
        </table>
      </div>
    </>
  );
}

function Row({ one, onRemove }: { one: Export; onRemove: () => void }) {
  const [tone, icon, word] = words[one.state];
  const about = [one.device, one.query].filter(Boolean).join(", ");
  return (
    <tr>
      <td>
        {one.kind} <span class="tag">{one.format.toUpperCase()}</span>
        {about && <div class="muted about" title={about}>{about}</div>}
      </td>
      <td>
        <span class={`status ${tone}`} data-testid="export-state">
          <Icon name={icon} />
          {one.cancelling ? "Ending" : word}
        </span>
        {one.truncated && <span class="tag off" title={one.reason}>cut at a ceiling</span>}
        {one.reason && !one.truncated && <div class="muted about">{one.reason}</div>}
        {one.state === "running" && one.estimate !== null && one.estimate > 0 && (
          <Bar percent={Math.min(99, (100 * one.rows) / one.estimate)} level="good" />
        )}
      </td>
      <td data-label="Rows" class="number">{count(one.rows)}</td>
      <td data-label="Size" class="number">{one.bytes > 0 ? bytes(one.bytes) : "–"}</td>
      <td data-label="Asked for"><Time at={one.created_at} /></td>
      <td data-label="Kept until">{one.state === "done" ? <Time at={one.expires_at} /> : "–"}</td>
      <td class="actions">
        {one.file && <a class="button" href={one.file} target="_self" download>Download</a>}
        <button type="button" class="plain" disabled={one.cancelling} onClick={onRemove}
          aria-label={`${isOpen(one) ? "Cancel" : "Remove"} the export of ${one.kind}`}>
          {isOpen(one) ? "Cancel" : "Remove"}
        </button>
      </td>
    </tr>
  );
}
