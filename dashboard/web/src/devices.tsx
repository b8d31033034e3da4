// The devices: a table of all of them, whatever their number, filtered and sorted by the server. The address holds what is
// looked at.
import { useEffect, useMemo, useReducer, useRef, useState } from "preact/hooks";
import type { Device } from "./api";
import { BulkBar } from "./devices/bar";
import { chosenColumns, ColumnChooser, columns, columnsOf, keepColumns } from "./devices/columns";
import { QueryBox } from "./devices/querybox";
import { type Question, type Row, Rows } from "./devices/rows";
import { SavedFilters } from "./devices/saved";
import { extended, nothing, type Selection, toggled } from "./devices/selection";
import { DeviceTable } from "./devices/table";
import { useOverview } from "./fleet";
import { count } from "./format";
import { useThrottled } from "./hooks";
import { subscribe, type Subscription } from "./live";
import { Empty, ExportLink, Fault, Segments } from "./parts";
import { useQuery } from "./router";
import type { ViewProps } from "./views";

const REFRESH_MS = 5000; // a list is asked for anew at most this often,
const SOON_MS = 1000; // a short one
const SHORT = 200; // rows
const COUNT_EVERY_MS = 10_000;

const usual = (sort: string): string => (sort === "device" ? "" : sort);

// The list for a question; another question is another list.
function useRows(question: Question) {
  const [version, changed] = useReducer((n: number) => n + 1, 0);
  const key = JSON.stringify(question);
  const rows = useMemo(() => new Rows(question, () => changed(undefined)), [key]);
  const before = useRef<Rows | null>(null);
  useEffect(() => () => rows.end(), [rows]);
  // The former list stays until the first of the new one has come, or what is wrong with the question.
  if (rows.known) before.current = rows;
  return { rows, shown: rows.known || !before.current ? rows : before.current, version };
}

// The rows on screen change as it happens; a small fleet is listened to as a whole. Devices that come into a list or leave it
// are seen by asking again: at once where the list is short.
function useLiveRows(rows: Rows, version: number, small: boolean): (from: number, to: number) => void {
  const view = useRef<[number, number]>([0, 0]);
  const stream = useRef<Subscription | null>(null);
  const refresh = useThrottled(() => rows.refresh(), REFRESH_MS);
  const soon = useThrottled(() => rows.refresh(), SOON_MS);
  const current = useRef(rows);
  current.current = rows;
  useEffect(() => {
    const subscription = subscribe({
      refresh,
      devices: (changed: Device[]) => {
        const list = current.current;
        const unknown = list.merge(changed);
        if (list.length <= SHORT && (unknown || list.question.status !== "")) soon();
      },
    }, []);
    stream.current = subscription;
    const timer = setInterval(async () => {
      const list = current.current;
      if (!document.hidden && (await list.ask()) && list.length <= SHORT) list.refresh();
    }, COUNT_EVERY_MS);
    return () => {
      subscription();
      clearInterval(timer);
    };
  }, []);
  const listen = () => stream.current?.show(small ? null : rows.ids(...view.current));
  useEffect(listen, [rows, version, small]);
  return (from, to) => {
    view.current = [from, to];
    rows.show(from, to);
    listen();
  };
}

// Clicked rows, ranges by Shift, all that match. Another question selects nothing.
function useSelection(rows: Rows) {
  const [selection, setSelection] = useState<Selection>(nothing);
  const anchor = useRef(0);
  useEffect(() => setSelection(nothing), [rows]);
  const toggle = (index: number, row: Row, range: boolean) => {
    if (range) void extended(selection, rows, anchor.current, index).then(setSelection);
    else setSelection(toggled(selection, row));
    anchor.current = index;
  };
  return { selection, setSelection, toggle };
}

export default function DevicesView({ who }: ViewProps) {
  const [query, setQuery] = useQuery("query");
  const [status, setStatus] = useQuery("status");
  const [sort, setSort] = useQuery("sort");
  const [cols, setCols] = useQuery("cols");
  const { rows, shown, version } = useRows({ query, status, sort: sort || "device" });
  const { selection, setSelection, toggle } = useSelection(rows);
  const fleet = useOverview().data?.devices.total;
  const inView = useLiveRows(shown, version, fleet !== undefined && fleet <= SHORT);
  const view = useRef<[number, number]>([0, 0]);
  const keys = chosenColumns(cols, who.name);
  const wrong = rows.error && (rows.error.status === 422 || rows.error.status === 400) ? rows.error : null;
  const by = (rows.counts ?? shown.counts)?.by_status;
  const statuses = [
    { value: "", text: "All", count: by?.all },
    { value: "online", text: "Online", count: by?.online },
    { value: "stale", text: "Stale", count: by?.stale },
    { value: "offline", text: "Offline", count: by?.offline },
    { value: "never", text: "Never seen", count: by?.never },
    ...(by?.revoked || status === "revoked" ? [{ value: "revoked", text: "Revoked", count: by?.revoked }] : []),
  ];
  const toggleAll = () => {
    if (selection.kind !== "none") setSelection(nothing);
    else setSelection({ kind: "ids", ids: new Set(shown.ids(...view.current)) });
  };
  const clear = () => {
    setQuery("");
    setStatus("");
  };
  return (
    <div class="devices-view">
      <div class="heading">
        <h1>Devices</h1>
        <p class="muted" role="status" data-testid="count">{shown.known && `${count(shown.length)} ${query || status ? "match" : "in all"}`}</p>
      </div>
      <div class="toolbar">
        <QueryBox value={query} onChange={setQuery} error={wrong} />
        <Segments label="Status" value={status} options={statuses} onChange={setStatus} />
        <span class="tools">
          <Sorter sort={sort || "device"} setSort={(next) => setSort(usual(next))} />
          <SavedFilters query={query} pick={setQuery} mayChange={who.can_act} />
          <ExportLink kind="devices" query={asQuery(query, status)} />
          <ColumnChooser keys={keys} choose={(next) => setCols(keepColumns(next, who.name))} />
        </span>
      </div>
      {rows.error && !wrong && rows.error.status !== 503 && <Fault error={rows.error} retry={() => rows.refresh()} />}
      {!shown.known ? (
        !rows.error && <div class="card skeleton tall" role="status" aria-label="Loading" />
      ) : shown.length === 0 ? (
        <None filtered={query !== "" || status !== ""} clear={clear} />
      ) : (
        <DeviceTable
          rows={shown}
          keys={keys}
          sort={sort || "device"}
          setSort={(next) => setSort(usual(next))}
          selection={who.can_act ? selection : null}
          toggle={toggle}
          toggleAll={toggleAll}
          inView={(from, to) => {
            view.current = [from, to];
            inView(from, to);
          }}
        />
      )}
      {selection.kind !== "none" && (
        <BulkBar
          who={who}
          rows={shown}
          question={shown.question}
          selection={selection}
          selectAll={() => setSelection({ kind: "all" })}
          clear={() => setSelection(nothing)}
          changed={() => {
            setSelection(nothing);
            rows.refresh();
          }}
        />
      )}
    </div>
  );
}

// What is chosen with the buttons is part of the question, too.
const asQuery = (query: string, status: string): string =>
  [query, status && `status:${status}`].filter(Boolean).join(" ");

// Where there is no head of the table to click on.
function Sorter({ sort, setSort }: { sort: string; setSort: (sort: string) => void }) {
  const sortable = columns.flatMap(({ key, sort: by, firstSort }) => (by ? [{ key, by, first: firstSort ?? by }] : []));
  return (
    <label class="sorter">
      <span class="sr">Sort by</span>
      <select value={sort} onChange={(event) => setSort(event.currentTarget.value)}>
        {sortable.flatMap(({ key, by, first }) => {
          const name = columnsOf([key])[0]!.name;
          const other = first === by ? `-${by}` : by;
          return [
            <option key={first} value={first}>{name}</option>,
            <option key={other} value={other}>{name}, turned round</option>,
          ];
        })}
      </select>
    </label>
  );
}

function None({ filtered, clear }: { filtered: boolean; clear: () => void }) {
  return (
    <div class="card">
      {filtered ? (
        <Empty title="No device matches">
          <button type="button" onClick={clear}>Show all devices</button>
        </Empty>
      ) : (
        <Empty title="No devices yet">
          <a href="/enrolment?show=tokens">Make an enrolment token</a>, or use <code>muster token create</code>, and start <code>muster-agent</code> with
          it on a device. It appears here by itself.
        </Empty>
      )}
    </div>
  );
}
