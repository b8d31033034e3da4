// What the fleet did over days and weeks. The address holds everything that was chosen.
import { useMemo, useState } from "preact/hooks";
import { get, type Page } from "./api";
import { Comparison } from "./comparison";
import { count, duration, metricName } from "./format";
import { type Loaded, useLoad } from "./hooks";
import { LinePlot } from "./lineplot";
import type { LinesData } from "./lines";
import { Bar, Card, Empty, Fault, Filter, Segments } from "./parts";
import { useQuery } from "./router";

interface Trend {
  metric: string;
  unit: string;
  from: number;
  to: number;
  points: [ts: number, avg: number, min: number, max: number, p95: number, n: number][];
  devices?: number;
  sampled?: number;
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

const DAY = 86_400_000;
const ranges = [
  { value: "1", text: "24 h" },
  { value: "7", text: "7 days" },
  { value: "30", text: "30 days" },
  { value: "90", text: "90 days" },
] as const;
const extraNames: { [metric: string]: string } = { online_pct: "Devices online", charging_pct: "Charging" };
const nameOf = (metric: string): string => extraNames[metric] ?? metricName(metric);
const scopeName = (scope: string): string =>
  scope === "" ? "All devices" : scope.startsWith("tag:") ? `Tag ${scope.slice(4)}` : `Group ${scope.slice(6)}`;

export default function AnalyticsView() {
  const [range, setRange] = useQuery("range");
  const [scope, setScope] = useQuery("scope");
  const days = Number(range || "7");
  // Whole hours, so that the answers of one hour are the same question.
  const from = useMemo(() => Math.floor((Date.now() - days * DAY) / 3_600_000) * 3_600_000, [days]);
  const scopes = useLoad("scopes", (signal) => get<Scopes>("analytics/scopes", {}, signal));
  return (
    <>
      <div class="heading">
        <h1>Analytics</h1>
        <p class="muted">Added up hour by hour as devices report.</p>
      </div>
      <div class="toolbar">
        <Segments label="Range" value={String(days)} options={ranges} onChange={(value) => setRange(value === "7" ? "" : value)} />
        <label>
          <span class="sr">Devices</span>
          <select value={scope} onChange={(event) => setScope(event.currentTarget.value)} data-testid="scope">
            {[...new Set(["", scope, ...(scopes.data?.scopes ?? [])])].map((one) => (
              <option key={one} value={one}>{scopeName(one)}</option>
            ))}
          </select>
        </label>
      </div>
      <TrendCard from={from} scope={scope} scopes={scopes.data} />
      <Comparison from={from} />
      <EventCard from={from} scope={scope} />
      <UptimeCard from={from} days={days} />
      <div class="columns">
        <ScopeCard from={from} scope={scope} />
        <ReporterCard />
      </div>
    </>
  );
}

// An error, a place for what is coming, or what has come.
function Part<T>({ loaded, children }: { loaded: Loaded<T>; children: (data: T) => preact.ComponentChildren }) {
  return (
    <>
      {loaded.error && loaded.error.status !== 503 && <Fault error={loaded.error} retry={loaded.reload} />}
      {loaded.data ? children(loaded.data) : !loaded.error && <div class="skeleton" aria-hidden="true" />}
    </>
  );
}

function TrendCard({ from, scope, scopes }: { from: number; scope: string; scopes: Scopes | null }) {
  const [chosen, setChosen] = useQuery("metric");
  const metric = chosen || "online_pct";
  const trend = useLoad(`${metric} ${scope} ${from}`, (signal) =>
    get<Trend>("analytics/trends", { metric, scope, from, points: 300 }, signal));
  const metrics = scopes?.metrics.map((one) => one.metric) ?? [metric];
  return (
    <Card
      id="trend-title"
      title={`${nameOf(metric)}, ${scopeName(scope).toLowerCase()}`}
      aside={
        <label>
          <span class="sr">Metric</span>
          <select value={metric} onChange={(event) => setChosen(event.currentTarget.value)} data-testid="metric">
            {metrics.map((name) => <option key={name} value={name}>{nameOf(name)}</option>)}
          </select>
        </label>
      }
    >
      <Part loaded={trend}>
        {(data) =>
          data.points.length === 0 ? (
            <Empty title="Nothing in this time">
              Devices are added up within a minute of their reports; choose a longer range, another metric or all devices.
            </Empty>
          ) : (
            <LinePlot data={trendLines(data)} testid="trend" />
          )
        }
      </Part>
    </Card>
  );
}

function trendLines({ unit, from, to, points }: Trend): LinesData {
  const column = (i: number): [number, number][] => points.map((point) => [point[0], point[i]!]);
  const lines = [{ name: "average", points: column(1) }, { name: "95 % below", points: column(4), quiet: true }];
  return {
    unit, from, to, band: [2, 3],
    lines: [...lines, { name: "greatest", points: column(3) }, { name: "least", points: column(2) }],
  };
}

function EventCard({ from, scope }: { from: number; scope: string }) {
  const events = useLoad(`${scope} ${from}`, (signal) => get<EventTypes>("analytics/events", { scope, from, points: 90 }, signal));
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
                data={{ unit: "", from: data.from, to: data.to,
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

// A step without events has none of them, which is a number too.
function counted(points: [number, number][], { from, to, step_ms: step }: EventTypes): [number, number][] {
  const known = new Map(points);
  const all: [number, number][] = [];
  for (let at = from; at < to; at += step) all.push([at, known.get(at) ?? 0]);
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

function UptimeCard({ from, days }: { from: number; days: number }) {
  const [query, setQuery] = useQuery("q");
  const [shown, setShown] = useState(10);
  const rows = useLoad(`${query} ${from} ${shown}`, (signal) =>
    get<Page<Uptime>>("analytics/uptime", { query, from, limit: shown }, signal));
  return (
    <Card
      id="uptime-title"
      title={`Time online, ${days === 1 ? "since yesterday" : `last ${Math.min(days, 40)} days`}`}
      aside={<Filter label="Only these devices" placeholder="tag:kiosk os:android" value={query} onChange={setQuery} />}
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

function ScopeCard({ from, scope }: { from: number; scope: string }) {
  const rows = useLoad(`${from} ${scope}`, (signal) =>
    get<Page<ScopeUptime>>("analytics/uptime", { by: "scope", from, scope }, signal));
  return (
    <Card id="scopes-title" title="Share online, by tag and group">
      <Part loaded={rows}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="Nothing sampled yet">Who is online is sampled twice a minute while ingest runs.</Empty>
          ) : (
            <div class="table-wrap">
              <table data-testid="scopes">
                <tbody>
                  {items.map((row) => (
                    <tr key={row.scope}>
                      <th scope="row">{scopeName(row.scope)}</th>
                      <td class="share"><Bar percent={row.online_pct} level={uptimeLevel(row.online_pct)} /></td>
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
