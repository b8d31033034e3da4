// What the fleet did over days and weeks. The address holds everything that was chosen.
import { useMemo, useState } from "preact/hooks";
import { get, type Page } from "./api";
import { Comparison } from "./comparison";
import type { Zoom } from "./chart";
import { count, duration, metricName, metricValue } from "./format";
import { type Loaded, useLoad } from "./hooks";
import { LinePlot } from "./lineplot";
import type { LinesData } from "./lines";
import { Bar, Card, Empty, Fault, Filter, Segments } from "./parts";
import { changeQuery, useLocation, useQuery } from "./router";

interface Trend {
  metric: string;
  unit: string;
  from: number;
  to: number;
  step_ms: number;
  points: [ts: number, avg: number, min: number, max: number, p95: number, n: number][];
  by?: "hour" | "day"; // these of the devices that match a query
  devices?: number;
  sampled?: number;
  margin?: number | null;
}
interface EventTypes {
  from: number;
  to: number;
  step_ms: number;
  total: number;
  others: number;
  types: { type: string; total: number; points: [number, number][] }[];
}
interface Uptime {
  device: string;
  display_name: string | null;
  presence: string;
  online_s: number;
  possible_s: number;
  online_pct: number | null;
}
interface ScopeUptime {
  scope: string;
  online_pct: number;
}
interface Reporter {
  device: string;
  display_name: string | null;
  readings: number;
  events: number;
}
interface Scopes {
  metrics: { metric: string; unit: string }[];
  scopes: string[];
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const ranges = [
  { value: "1", text: "24 h" },
  { value: "7", text: "7 days" },
  { value: "30", text: "30 days" },
  { value: "90", text: "90 days" },
] as const;
const extraNames: { [metric: string]: string } = { online_pct: "Devices online", charging_pct: "Charging" };
const nameOf = (metric: string): string => extraNames[metric] ?? metricName(metric);
const kinds: { [kind: string]: string } = { tag: "Tag", group: "Group", os: "System", model: "Model" };
const scopeName = (scope: string): string =>
  scope === "" ? "All devices" : `${kinds[scope.slice(0, scope.indexOf(":"))] ?? ""} ${scope.slice(scope.indexOf(":") + 1)}`;

const whole = (ms: number): number => Math.floor(ms / HOUR) * HOUR;

// A number of days up to now, or what was looked at closer: whole hours, so that the answers of one hour are the same question.
function useSpan() {
  const query = useLocation().searchParams;
  const days = Number(query.get("range")) || 7;
  const [start, end] = [Number(query.get("from")), Number(query.get("to"))];
  const own = start > 0 && end > start;
  const from = useMemo(() => (own ? start : whole(Date.now() - days * DAY)), [days, own, start]);
  const zoom: Zoom = {
    to: (first, last) => changeQuery({ from: String(whole(first)), to: String(Math.max(whole(first) + HOUR, whole(last + HOUR - 1))) }),
    back: () => changeQuery({ from: "", to: "" }),
  };
  return { own, days, from, to: own ? end : 0, zoom, setRange: (value: string) => changeQuery({ range: value === "7" ? "" : value, from: "", to: "" }) };
}

export default function AnalyticsView() {
  const span = useSpan();
  const [scope, setScope] = useQuery("scope");
  const [query, setQuery] = useQuery("q");
  const scopes = useLoad("scopes", (signal) => get<Scopes>("analytics/scopes", {}, signal));
  return (
    <>
      <div class="heading">
        <h1>Analytics</h1>
        <p class="muted">Added up hour by hour as devices report.</p>
      </div>
      <div class="toolbar">
        <Segments label="Range" value={span.own ? "" : String(span.days)} options={ranges} onChange={span.setRange} />
        {span.own && (
          <button type="button" onClick={span.zoom.back} data-testid="closer" title="Back to the whole range">
            {new Date(span.from).toLocaleString("en-GB", shortTime)} – {new Date(span.to).toLocaleString("en-GB", shortTime)} ×
          </button>
        )}
        <label>
          <span class="sr">Devices</span>
          <select value={scope} onChange={(event) => setScope(event.currentTarget.value)} data-testid="scope">
            {[...new Set(["", scope, ...(scopes.data?.scopes ?? [])])].map((one) => (
              <option key={one} value={one}>{scopeName(one)}</option>
            ))}
          </select>
        </label>
        <Filter label="Only these devices" placeholder="tag:kiosk os:android" value={query} onChange={setQuery} />
      </div>
      <TrendCard span={span} scope={scope} query={query} scopes={scopes.data} />
      <Comparison from={span.from} to={span.to} zoom={span.zoom} />
      <EventCard span={span} scope={scope} />
      <UptimeCard span={span} query={query} setQuery={setQuery} />
      <div class="columns">
        <ScopeCard span={span} scope={scope} />
        <ReporterCard />
      </div>
      <p class="hint">Drag over a chart to look closer, a double click goes back. By keyboard: arrows, + and -.</p>
    </>
  );
}

type Span = ReturnType<typeof useSpan>;
const shortTime = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } as const;

// An error, a place for what is coming, or what has come.
function Part<T>({ loaded, children }: { loaded: Loaded<T>; children: (data: T) => preact.ComponentChildren }) {
  return (
    <>
      {loaded.error && loaded.error.status !== 503 && <Fault error={loaded.error} retry={loaded.reload} />}
      {loaded.data ? children(loaded.data) : !loaded.error && <div class="skeleton" role="status" aria-label="Loading" />}
    </>
  );
}

function TrendCard({ span, scope, query, scopes }: { span: Span; scope: string; query: string; scopes: Scopes | null }) {
  const [chosen, setChosen] = useQuery("metric");
  const [by, setBy] = useQuery("each");
  const metric = chosen || "online_pct";
  const { from, to, zoom } = span;
  const whom = query ? { query, by } : { scope };
  const trend = useLoad(JSON.stringify([metric, whom, from, to]), (signal) =>
    get<Trend>("analytics/trends", { metric, ...whom, from, to: to || "", points: 300 }, signal));
  const metrics = scopes?.metrics.map((one) => one.metric) ?? [metric];
  return (
    <Card
      id="trend-title"
      title={`${nameOf(metric)}, ${query || scopeName(scope).toLowerCase()}`}
      aside={
        <>
          {query && metric !== "online_pct" && (
            <Segments label="Each point" value={by === "hour" || by === "day" ? by : trend.data?.by ?? "day"} options={steps} onChange={setBy} />
          )}
          <label>
            <span class="sr">Metric</span>
            <select value={metric} onChange={(event) => setChosen(event.currentTarget.value)} data-testid="metric">
              {metrics.map((name) => <option key={name} value={name}>{nameOf(name)}</option>)}
            </select>
          </label>
        </>
      }
    >
      <Part loaded={trend}>
        {(data) =>
          data.points.length === 0 ? (
            <Empty title={data.devices === 0 ? "No device matches" : "Nothing in this time"}>
              {data.devices === 0 ? "The filter above says which devices are meant." :
                "Devices are added up within a minute of their reports; choose a longer range, another metric or all devices."}
            </Empty>
          ) : (
            <>
              <LinePlot data={trendLines(data)} testid="trend" zoom={zoom} />
              {data.devices !== undefined && <p class="hint" data-testid="basis">{basis(data)}</p>}
            </>
          )
        }
      </Part>
    </Card>
  );
}

const steps = [{ value: "day", text: "Days" }, { value: "hour", text: "Hours" }] as const;

// What the lines are made from, and how far they can be trusted.
function basis({ devices = 0, sampled = 0, margin, unit }: Trend): string {
  if (sampled >= devices) return `${devices === 1 ? "The one device that matches" : `All ${count(devices)} devices that match`} now.`;
  return `${count(sampled)} of the ${count(devices)} devices that match now were looked at: the average is right within ±${metricValue(margin ?? 0, unit)}, 19 times of 20.`;
}

function trendLines({ unit, from, to, step_ms, points }: Trend): LinesData {
  const column = (i: number): [number, number][] => points.map((point) => [point[0], point[i]!]);
  const lines = [{ name: "average", points: column(1) }, { name: "95 % below", points: column(4), quiet: true }];
  return {
    unit, from, to, step: step_ms, band: [2, 3],
    lines: [...lines, { name: "greatest", points: column(3) }, { name: "least", points: column(2) }],
  };
}

function EventCard({ span: { from, to, zoom }, scope }: { span: Span; scope: string }) {
  const events = useLoad(`${scope} ${from} ${to}`, (signal) =>
    get<EventTypes>("analytics/events", { scope, from, to: to || "", points: 90 }, signal));
  return (
    <Card id="events-title" title="Events by type" aside={<a href="/events">All events</a>}>
      <Part loaded={events}>
        {(data) =>
          data.total === 0 ? (
            <Empty title="No events in this time">Devices tell of what happens to them; a longer range shows more.</Empty>
          ) : (
            <>
              <LinePlot
                testid="event-chart"
                zoom={zoom}
                data={{ unit: "", from: data.from, to: data.to, step: data.step_ms,
                  lines: data.types.slice(0, 6).map(({ type, points }) => ({ name: type, points: counted(points, data) })) }}
              />
              <Shares data={data} />
            </>
          )
        }
      </Part>
    </Card>
  );
}

// A step without events has none of them, which is a number too: from the first event of any type on.
function counted(points: [number, number][], { types, to, step_ms: step }: EventTypes): [number, number][] {
  const known = new Map(points);
  const all: [number, number][] = [];
  for (let at = Math.min(...types.map((type) => type.points[0]![0])); at < to; at += step) all.push([at, known.get(at) ?? 0]);
  return all;
}

function Shares({ data }: { data: EventTypes }) {
  const rows = data.others > 0 ? [...data.types, { type: "all others", total: data.others }] : data.types;
  return (
    <div class="table-wrap">
      <table data-testid="event-types">
        <thead>
          <tr>
            <th scope="col">Type</th>
            <th scope="col" class="number">Events</th>
            <th scope="col" class="share">Share</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.type}>
              <td><a href={`/events?type=${encodeURIComponent(row.type)}`}>{row.type}</a></td>
              <td class="number">{count(row.total)}</td>
              <td class="share"><Bar percent={(100 * row.total) / data.total} level="good" /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const uptimeLevel = (percent: number) => (percent < 80 ? "bad" : percent < 95 ? "warn" : "good");

function UptimeCard({ span, query, setQuery }: { span: Span; query: string; setQuery: (query: string) => void }) {
  const { from, days, own } = span;
  const to = span.to || "";
  const [shown, setShown] = useState(10);
  const rows = useLoad(`${query} ${from} ${to} ${shown}`, (signal) =>
    get<Page<Uptime>>("analytics/uptime", { query, from, to, limit: shown }, signal));
  const together = useLoad(`${query} ${from} ${to}`, (signal) =>
    get<Trend>("analytics/trends", { metric: "online_pct", query: query || "-status:never", from, to, points: 1 }, signal));
  const share = together.data?.points[0]?.[1];
  return (
    <Card
      id="uptime-title"
      title={`Time online, ${own ? "days of this range" : days === 1 ? "since yesterday" : `last ${days} days`}`}
      aside={share !== undefined && together.data && (
        <span data-testid="together" title={basis(together.data)}>
          together <b>{metricValue(share, "%")}</b>{(together.data.margin ?? 0) > 0 && ` ±${metricValue(together.data.margin!, "%")}`}
        </span>
      )}
    >
      <Part loaded={rows}>
        {({ items, next }) =>
          items.length === 0 ? (
            <Empty title={query ? "No device matches" : "No device was seen yet"}>
              {query ? <button type="button" onClick={() => setQuery("")}>Show all devices</button>
                : "It appears here once it has connected for the first time."}
            </Empty>
          ) : (
            <>
              <div class="table-wrap">
                <table data-testid="uptime">
                  <thead>
                    <tr>
                      <th scope="col">Device</th>
                      <th scope="col" class="share">Online</th>
                      <th scope="col" class="number">For</th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((row) => (
                      <tr key={row.device}>
                        <td>
                          <a href={`/devices/${encodeURIComponent(row.device)}`}>{row.device}</a>{" "}
                          <span class="muted">{row.display_name}</span>
                        </td>
                        <td class="share"><Bar percent={row.online_pct} level={uptimeLevel(row.online_pct ?? 0)} /></td>
                        <td class="number">{`${duration(row.online_s)} of ${duration(row.possible_s)}`}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              {next && shown < 500 && (
                <p class="foot"><button type="button" onClick={() => setShown(Math.min(500, shown * 5))}>Show more</button></p>
              )}
            </>
          )
        }
      </Part>
    </Card>
  );
}

const SCOPES = 12; // shown at first

function ScopeCard({ span: { from, to }, scope }: { span: Span; scope: string }) {
  const [all, setAll] = useState(false);
  const rows = useLoad(`${from} ${to} ${scope}`, (signal) =>
    get<Page<ScopeUptime>>("analytics/uptime", { by: "scope", from, to: to || "", scope }, signal));
  return (
    <Card id="scopes-title" title="Share online, by tag, group and platform">
      <Part loaded={rows}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nothing sampled yet">Who is online is sampled twice a minute while ingest runs.</Empty>
          ) : (
            <>
              <div class="table-wrap">
                <table data-testid="scopes">
                  <tbody>
                    {(all ? items : items.slice(0, SCOPES)).map((row) => (
                      <tr key={row.scope}>
                        <th scope="row">{scopeName(row.scope)}</th>
                        <td class="share"><Bar percent={row.online_pct} level={uptimeLevel(row.online_pct)} /></td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
              {items.length > SCOPES && !all && (
                <p class="foot"><button type="button" onClick={() => setAll(true)}>Show all {count(items.length)}</button></p>
              )}
            </>
          )
        }
      </Part>
    </Card>
  );
}

function ReporterCard() {
  const [by, setBy] = useQuery("by");
  const kind = by === "events" ? "events" : "readings";
  const rows = useLoad(kind, (signal) => get<Page<Reporter>>("analytics/reporters", { by: kind, limit: 10 }, signal));
  const options = [{ value: "readings", text: "Readings" }, { value: "events", text: "Events" }] as const;
  return (
    <Card
      id="reporters-title"
      title="Busiest today (UTC)"
      aside={<Segments label="By" value={kind} options={options} onChange={(value) => setBy(value === "events" ? value : "")} />}
    >
      <Part loaded={rows}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nothing was reported today">Counts follow the reports within a minute.</Empty>
          ) : (
            <div class="table-wrap">
              <table data-testid="reporters">
                <tbody>
                  {items.map((row) => (
                    <tr key={row.device}>
                      <th scope="row"><a href={`/devices/${encodeURIComponent(row.device)}`}>{row.device}</a></th>
                      <td class="number">{count(row[kind])}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Part>
    </Card>
  );
}
