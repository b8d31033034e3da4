// The course of several metrics, one above the other: the same times, the same cursor. What is shown stands in the address.
import { ValueTable } from "./lineplot";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type DeviceDetail, get, type Latest, type Series } from "./api";
import type { Chart } from "./chart";
import { diskUsed, duration, memoryUsed, metricName, metricValue } from "./format";
import { useLoad } from "./hooks";
import { lasting, serverNow } from "./live";
import { Card, Empty, Fault, Segments } from "./parts";
import { changeQuery, useLocation } from "./router";
import { useTheme } from "./theme";

const ranges = [
  { value: "1", text: "1 h" },
  { value: "6", text: "6 h" },
  { value: "24", text: "24 h" },
  { value: "168", text: "7 d" },
  { value: "720", text: "30 d" },
  { value: "own", text: "Custom" },
];
const HOUR_MS = 3_600_000;
const SHOWN_FIRST = 4;
const SHOWN_MAX = 8; // each is a question to the server
const CUSTOM_MAX = 200; // in the list to choose from
const POINTS = 360;
const KNOWN = ["battery_pct", "cpu_pct", "mem_used_pct", "disk_used_pct", "load1", "temperature_c", "rssi_dbm", "uptime_s"];

// As the server computes it.
function latestValue(device: DeviceDetail, metric: string): number | null {
  if (metric === "mem_used_pct") return memoryUsed(device);
  if (metric === "disk_used_pct") return diskUsed(device);
  const value = KNOWN.includes(metric) ? device.latest[metric as keyof Latest] : device.latest.custom?.[metric];
  return typeof value === "number" ? value : typeof value === "boolean" ? Number(value) : null;
}

// What this device has values of, the usual ones first.
function metricsOf(device: DeviceDetail): { known: string[]; custom: string[] } {
  const has = (name: string) => latestValue(device, name) !== null;
  return { known: KNOWN.filter(has), custom: Object.keys(device.latest.custom ?? {}).filter(has).sort().slice(0, CUSTOM_MAX) };
}

interface Window {
  hours: number; // to now; 0: from and to
  from: number; // ms
  to: number;
}

function useCharts() {
  const query = useLocation().searchParams;
  const [from, to] = [Number(query.get("from")), Number(query.get("to"))];
  const own = from > 0 && to > from;
  const hours = ranges.some(({ value }) => value === query.get("hours")) ? Number(query.get("hours")) : 1;
  const view: Window = own ? { hours: 0, from, to } : { hours: hours || 1, from: 0, to: 0 };
  const chosen = query.get("metrics")?.split(",").map(decodeURIComponent).filter(Boolean).slice(0, SHOWN_MAX) ?? null;
  return {
    view,
    hours,
    chosen,
    setRange: (value: string) => changeQuery({ hours: value === "1" ? "" : value, from: "", to: "" }),
    setWindow: (start: number, end: number) => changeQuery({ from: String(start), to: String(end) }),
    leaveWindow: () => changeQuery({ from: "", to: "" }),
    choose: (names: string[]) => changeQuery({ metrics: names.map(encodeURIComponent).join(",") }),
  };
}

export function ChartsCard({ device }: { device: DeviceDetail }) {
  const charts = useCharts();
  const [asking, setAsking] = useState(false);
  const { known, custom } = metricsOf(device);
  const shown = charts.chosen ?? [...known, ...custom].slice(0, SHOWN_FIRST);
  const { view } = charts;
  const toggle = (name: string) =>
    charts.choose(shown.includes(name) ? shown.filter((other) => other !== name) : [...shown, name].slice(-SHOWN_MAX));
  const range = (value: string) => {
    setAsking(value === "own");
    if (value !== "own") charts.setRange(value);
  };
  return (
    <Card
      id="chart-title"
      title="Charts"
      aside={<Segments label="Range" value={view.hours === 0 || asking ? "own" : String(view.hours)} options={ranges} onChange={range} />}
    >
      {(asking || view.hours === 0) && (
        <OwnRange key={`${view.from} ${view.to}`} view={view} apply={charts.setWindow} back={() => { setAsking(false); charts.leaveWindow(); }} />
      )}
      <Chooser known={known} custom={custom} shown={shown} toggle={toggle} />
      {shown.length === 0 ? (
        <Empty title="Nothing chosen">Choose a metric above: up to {SHOWN_MAX} are drawn, with one cursor.</Empty>
      ) : (
        <div class="charts">
          {shown.map((metric) => (
            <Metric key={metric} device={device} metric={metric} view={view} zoom={charts.setWindow} unzoom={charts.leaveWindow} />
          ))}
        </div>
      )}
      <p class="hint">Drag over a chart to look closer; a double click goes back. By keyboard: arrows, + and -.</p>
    </Card>
  );
}

function Chooser({ known, custom, shown, toggle }: {
  known: string[];
  custom: string[];
  shown: string[];
  toggle: (name: string) => void;
}) {
  const offered = [...known, ...shown.filter((name) => !known.includes(name))];
  const others = custom.filter((name) => !shown.includes(name));
  return (
    <div class="chooser" role="group" aria-label="Metrics">
      {offered.map((name) => (
        <button key={name} type="button" class="chip" aria-pressed={shown.includes(name)} onClick={() => toggle(name)}>
          {metricName(name)}
        </button>
      ))}
      {others.length > 0 && (
        <select aria-label="Add a custom metric" value="" onChange={(event) => toggle(event.currentTarget.value)}>
          <option value="">Custom…</option>
          {others.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      )}
    </div>
  );
}

// As <input type="datetime-local"> has it.
const local = (ms: number): string => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

function OwnRange({ view, apply, back }: { view: Window; apply: (from: number, to: number) => void; back: () => void }) {
  const [wrong, setWrong] = useState("");
  const now = serverNow();
  const submit = (form: HTMLFormElement) => {
    const data = new FormData(form);
    const [from, to] = ["from", "to"].map((name) => Date.parse(String(data.get(name))));
    if (!(from! < to!) || to! - from! > 366 * 24 * HOUR_MS) setWrong("The first must be before the second, by a year at most.");
    else apply(from!, to!);
  };
  return (
    <form class="own-range" aria-label="Own range" onSubmit={(event) => { event.preventDefault(); submit(event.currentTarget); }}>
      <label>From <input type="datetime-local" name="from" required defaultValue={local(view.from || now - HOUR_MS)} /></label>
      <label>to <input type="datetime-local" name="to" required defaultValue={local(view.to || now)} /></label>
      <button type="submit">Show</button>
      <button type="button" onClick={back}>Back to now</button>
      {wrong && <span class="bad" role="alert">{wrong}</span>}
    </form>
  );
}

// What the server has, and what came live since it answered: every reading where there are single ones, the newest otherwise.
function useSeries(device: DeviceDetail, metric: string, view: Window) {
  const path = `devices/${encodeURIComponent(device.device)}/telemetry`;
  const key = `${device.device} ${metric} ${view.hours} ${view.from} ${view.to}`;
  const [tail, setTail] = useState<Series["points"]>([]);
  const loaded = useLoad(key, async (signal) => {
    const to = view.hours ? Math.round(serverNow()) : view.to;
    const from = view.hours ? to - view.hours * HOUR_MS : view.from;
    const series = await get<Series>(path, { metric, from, to, points: POINTS }, signal);
    setTail((old) => old.filter((point) => point[0] > (series.points.at(-1)?.[0] ?? 0) + series.step_ms));
    return { key, series };
  });
  // Never that of another range or metric.
  const series = loaded.data?.key === key ? loaded.data.series : null;
  useEffect(() => {
    const at = device.latest.ts ? Date.parse(device.latest.ts) : 0;
    const value = latestValue(device, metric);
    if (!view.hours || !at || value === null) return;
    setTail((old) => {
      if ((old.at(-1)?.[0] ?? 0) >= at) return old;
      return [...(series?.source === "raw" ? old : []), [at, value, value, value] as Series["points"][number]].slice(-POINTS);
    });
  }, [device.latest.ts, key, series?.source]);
  // Steps are made anew when there is another of them, or single readings have become many.
  useEffect(() => {
    if (!view.hours) return;
    const timer = setInterval(() => {
      if (!document.hidden) loaded.reload();
    }, Math.min(15 * 60_000, Math.max(60_000, (view.hours * HOUR_MS) / 120)));
    return () => clearInterval(timer);
  }, [key]);
  const whole = useMemo(() => {
    if (!series || !view.hours) return series;
    const last = series.points.at(-1)?.[0] ?? 0;
    const points = [...series.points, ...tail.filter((point) => point[0] > last && point[0] >= series.from)];
    const to = Math.max(series.to, points.at(-1)?.[0] ?? 0);
    return { ...series, points, from: series.from + (to - series.to), to };
  }, [series, tail]);
  return { ...loaded, series: whole };
}

function Metric({ device, metric, view, zoom, unzoom }: {
  device: DeviceDetail;
  metric: string;
  view: Window;
  zoom: (from: number, to: number) => void;
  unzoom: () => void;
}) {
  const { series, error, reload } = useSeries(device, metric, view);
  const [readout, setReadout] = useState("");
  const values = useMemo(() => {
    if (!series || series.points.length === 0) return null;
    const of = (column: 1 | 2 | 3) => series.points.map((point) => point[column]);
    const say = (value: number) => metricValue(value, series.unit);
    const bounds = [of(2), of(3)].map((column, i) => column.reduce((a, b) => (i === 0 ? Math.min(a, b) : Math.max(a, b))));
    return { last: say(of(1).at(-1)!), least: say(bounds[0]!), greatest: say(bounds[1]!) };
  }, [series]);
  const name = metricName(metric);
  const summary = values ? `${name}: from ${values.least} to ${values.greatest}, last ${values.last}` : `${name}: no values`;
  return (
    <section class="metric" aria-label={name} data-metric={metric}>
      <h3>
        {name} {values && <span class="last" data-testid="last">{values.last}</span>}
        {series && <span class="muted source" data-testid="source">{sourceOf(series)}</span>}
      </h3>
      {error && error.status !== 503 && <Fault error={error} retry={reload} />}
      {series && series.points.length === 0 ? (
        <Empty title="No values in this time">Choose a longer range.</Empty>
      ) : (
        <Plot series={series} summary={summary} zoom={zoom} unzoom={unzoom} setReadout={setReadout} />
      )}
      <p class="readout" aria-hidden="true">
        <span>{readout}</span>
        {values && <span class="muted">{values.least} to {values.greatest}</span>}
      </p>
      {series && series.points.length > 0 && (
        <ValueTable unit={series.unit} caption={name} names={["Average", "Least", "Greatest"]}
          rows={() => series.points.map(([at, ...row]) => [at, row])} />
      )}
    </section>
  );
}

const sourceOf = ({ source, step_ms }: Series): string =>
  source === "raw" ? `readings, each ${duration(Math.max(1, step_ms / 1000))}` : `hourly rollups${step_ms > HOUR_MS ? `, each ${duration(step_ms / 1000)}` : ""}`;

function Plot({ series, summary, zoom, unzoom, setReadout }: {
  series: Series | null;
  summary: string;
  zoom: (from: number, to: number) => void;
  unzoom: () => void;
  setReadout: (text: string) => void;
}) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<Chart | null>(null);
  const latest = useRef(series);
  const handlers = useRef({ zoom, unzoom });
  const theme = useTheme();
  latest.current = series;
  handlers.current = { zoom, unzoom };
  const ready = series !== null;
  useEffect(() => {
    if (!ready) return;
    let gone = false;
    void lasting(() => import("./chart")).then(({ draw }) => {
      if (gone || !place.current || !latest.current) return;
      chart.current = draw(place.current, latest.current, {
        readout: setReadout,
        zoom: { to: (from, to) => handlers.current.zoom(from, to), back: () => handlers.current.unzoom() },
      });
    });
    return () => {
      gone = true;
      chart.current?.destroy();
      chart.current = null;
    };
  }, [ready, theme]);
  useEffect(() => {
    if (series) chart.current?.show(series);
  }, [series]);
  return <div class="plot" ref={place} role="img" tabIndex={0} aria-label={summary} data-testid="chart" data-points={series?.points.length ?? 0} />;
}
