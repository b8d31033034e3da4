import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { loadActions } from "./actions";
import { type Action, ApiError, type Command, type DeviceDetail, get, type Json, type LedgerRow, type Page, post, type Series } from "./api";
import type { Chart } from "./chart";
import { CommandTable, Fact, mergeCommands } from "./commands";
import type { ComposerProps } from "./compose";
import { DeviceAlerts } from "./device_alerts";
import { EventTable, useEvents } from "./events";
import { absolute, count, diskUsed, duration, freeOf, memoryUsed, metricName, metricValue, statusOf } from "./format";
import { type Loaded, useLoad, useNow, useThrottled } from "./hooks";
import { IdentityCard } from "./identity";
import { subscribe } from "./live";
import {
  Bar,
  batteryLevel,
  Card,
  CommandBadge,
  Empty,
  Fault,
  Icon,
  type Level,
  Pairs,
  RevokedTag,
  Segments,
  StatusBadge,
  Tag,
  Time,
  usageLevel,
} from "./parts";
import { listAddress, useQuery } from "./router";
import type { ViewProps } from "./views";

export default function DeviceView({ who, args }: ViewProps) {
  const id = args[0]!;
  const { can_act: canAct } = who;
  const mayRestore = who.role === "administrator";
  const path = `devices/${encodeURIComponent(id)}`;
  const [revealed, setRevealed] = useState("");
  const device = useLoad(id, (signal) => get<DeviceDetail>(path, {}, signal));
  const commands = useLoad(`commands ${id}`, (signal) => get<Page<Command>>("commands", { device: id, limit: 10 }, signal));
  const refresh = useThrottled(() => {
    device.reload();
    commands.reload();
  }, 2000);
  const details = useThrottled(device.reload, 5000); // ledger, inventory and certificate move more slowly
  useEffect(
    () =>
      subscribe({
        refresh,
        devices: (changed) => {
          const news = changed.find((item) => item.device === id);
          if (!news) return;
          device.change((old) => ({ ...old, ...news }));
          details();
        },
        commands: (changed) => {
          const ours = changed.filter((command) => command.device === id);
          if (ours.length > 0)
            commands.change((page) => ({ ...page, items: mergeCommands(page.items, ours).slice(0, 10) }));
        },
      }),
    [id],
  );
  if (device.error?.status === 404)
    return (
      <Empty title={`There is no device ${id}`}>
        <a href="/devices">Go to all devices</a>
      </Empty>
    );
  if (!device.data)
    return device.error ? <Fault error={device.error} retry={device.reload} /> : <div class="card skeleton tall" />;
  const data = device.data;
  const sent = (command: Command, open: boolean) => {
    commands.change((page) => ({ ...page, items: mergeCommands([command], page.items).slice(0, 10) }));
    if (open) setRevealed(command.id);
  };
  return (
    <>
      <Head device={data} canAct={canAct} sent={sent} commands={commands.data?.items ?? []} reload={device.reload} />
      <DeviceAlerts device={id} />
      <Values device={data} />
      <ChartCard device={data} />
      <CommandsCard id={id} commands={commands} canAct={canAct} reveal={revealed} />
      <div class="columns">
        <LedgerCard ledger={data.ledger} />
        <IdentityCard device={data} mayRevoke={canAct} mayRestore={mayRestore} change={device.change} reload={device.reload} />
      </div>
      <EventsCard id={id} />
      <InventoryCard inventory={data.inventory} />
    </>
  );
}

function Head({ device, canAct, sent, commands, reload }: {
  device: DeviceDetail;
  canAct: boolean;
  sent: (command: Command, reveal: boolean) => void;
  commands: Command[];
  reload: () => void;
}) {
  const status = statusOf(device, useNow());
  // The reason is the server's: ask for it when time alone changed the status.
  useEffect(() => {
    if (status !== device.status) reload();
  }, [status]);
  return (
    <>
      <a class="back" href={listAddress()}><Icon name="back" />All devices</a>
      <div class="heading device-heading">
        <div>
          <h1>{device.device}</h1>
          {device.display_name && <span class="name">{device.display_name}</span>}
          <StatusBadge status={status} />
          <RevokedTag device={device} />
          {device.tags.map((tag) => <Tag key={tag} tag={tag} />)}
        </div>
        {canAct && <Actions device={device} sent={sent} commands={commands} />}
      </div>
      <p class={`why ${device.enabled ? status : "offline"}`} data-testid="why">
        <Icon name={device.enabled ? status : "revoked"} />
        <span>
          {device.why}{" "}
          {device.last_seen && <>Last message <Time at={device.last_seen} />.</>}
          {device.since && status !== "never" && <> {device.presence === "online" ? "Connected" : "Gone"} for <For at={device.since} />.</>}
        </span>
      </p>
    </>
  );
}

function For({ at }: { at: string }) {
  const now = useNow();
  return (
    <time dateTime={at} title={absolute(at)}>
      {duration((now - Date.parse(at)) / 1000)}
    </time>
  );
}

// What the form sent is opened in the list of commands; a ping only shows how it went.
function Actions({ device, sent, commands }: {
  device: DeviceDetail;
  sent: (command: Command, reveal: boolean) => void;
  commands: Command[];
}) {
  const [last, setLast] = useState("");
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const ping = async () => {
    setBusy(true);
    setError(null);
    try {
      const command = await post<Command>("commands", { device: device.device, action: "ping", ttl_s: 300 });
      setLast(command.id);
      sent(command, false);
    } catch (thrown) {
      setError(thrown as ApiError);
    }
    setBusy(false);
  };
  const command = commands.find((item) => item.id === last);
  return (
    <div class="actions">
      {error && <span class="bad" role="alert">{error.message}</span>}
      {command && (
        <span class="outcome" role="status" data-testid="outcome">
          <span>{command.action}</span>
          <CommandBadge state={command.state} />
        </span>
      )}
      <ComposeButton device={device} sent={(made) => sent(made, true)} />
      <button type="button" class="primary" disabled={busy || !device.enabled} onClick={() => void ping()}>
        Send ping
      </button>
    </div>
  );
}

// The form and the table of actions are loaded when somebody wants them.
function ComposeButton({ device, sent }: { device: DeviceDetail; sent: (command: Command) => void }) {
  const [form, setForm] = useState<{ Composer: (props: ComposerProps) => JSX.Element; actions: Action[] } | null>(null);
  const [failed, setFailed] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const open = () => {
    setFailed(false);
    Promise.all([import("./compose"), loadActions()]).then(
      ([{ Composer }, actions]) => setForm({ Composer, actions }),
      () => setFailed(true),
    );
  };
  const close = () => {
    setForm(null);
    button.current?.focus();
  };
  return (
    <>
      {failed && <span class="bad" role="alert">The form could not be loaded: try again, or reload the page.</span>}
      <button ref={button} type="button" disabled={!device.enabled} onClick={open}>Send command…</button>
      {form && (
        <form.Composer
          device={device}
          actions={form.actions}
          close={close}
          sent={(command) => {
            close();
            sent(command);
          }}
        />
      )}
    </>
  );
}

function Values({ device }: { device: DeviceDetail }) {
  const { latest } = device;
  const memory = memoryUsed(device);
  const disk = diskUsed(device);
  const bar = (name: string, percent: number | null | undefined, level: (percent: number) => Level, note?: string) =>
    percent !== null && percent !== undefined && (
      <div class="value">
        <dt>{name}</dt>
        <dd>
          <Bar percent={percent} level={level(percent)} />
          {note && <span class="note">{note}</span>}
        </dd>
      </div>
    );
  const text = (name: string, value: string | undefined | null) =>
    value && (
      <div class="value" key={name}>
        <dt>{name}</dt>
        <dd>{value}</dd>
      </div>
    );
  if (!latest.ts)
    return (
      <div class="card">
        <Empty title="No telemetry yet">
          Its values appear here with its first report. Check that <code>muster-agent</code> runs on it.
        </Empty>
      </div>
    );
  return (
    <section class="card" aria-label="Latest values">
      <dl class="values" data-testid="values">
        {bar("Battery", latest.battery_pct, batteryLevel, latest.charging ? "charging" : latest.charging === false ? "not charging" : undefined)}
        {bar("CPU", latest.cpu_pct, usageLevel, latest.load1 === undefined ? undefined : `load ${metricValue(latest.load1, "")}`)}
        {bar("Memory", memory, usageLevel, freeOf(latest.mem_available ?? 0, latest.mem_total ?? 0))}
        {bar("Disk", disk, usageLevel, freeOf(latest.disk_free ?? 0, latest.disk_total ?? 0))}
        {text("Temperature", latest.temperature_c === undefined ? null : metricValue(latest.temperature_c, "°C"))}
        {text("Network", latest.network_type && `${latest.network_type}${latest.rssi_dbm === undefined ? "" : `, ${latest.rssi_dbm} dBm`}`)}
        {text("Uptime", latest.uptime_s === undefined ? null : duration(latest.uptime_s))}
        {text("Reports every", device.interval_s === null ? null : duration(device.interval_s))}
        {text("Agent", device.agent_version)}
        {Object.entries(latest.custom ?? {}).map(([name, value]) =>
          text(name, typeof value === "object" ? JSON.stringify(value) : String(value)),
        )}
      </dl>
    </section>
  );
}

const ranges = [
  { value: "1", text: "1 h" },
  { value: "6", text: "6 h" },
  { value: "24", text: "24 h" },
  { value: "168", text: "7 d" },
  { value: "720", text: "30 d" },
];

// What this device has values of, the usual ones first.
function metricsOf({ latest }: DeviceDetail): string[] {
  const known = ["battery_pct", "cpu_pct", "mem_used_pct", "disk_used_pct", "load1", "temperature_c", "rssi_dbm", "uptime_s"];
  const has = known.filter((name) =>
    name === "mem_used_pct"
      ? latest.mem_total !== undefined
      : name === "disk_used_pct"
        ? latest.disk_total !== undefined
        : latest[name as keyof typeof latest] !== undefined,
  );
  const custom = Object.entries(latest.custom ?? {}).filter(([, value]) => typeof value === "number");
  return [...has, ...custom.map(([name]) => name)];
}

function ChartCard({ device }: { device: DeviceDetail }) {
  const metrics = metricsOf(device);
  const [chosen, setChosen] = useQuery("metric");
  const [range, setRange] = useQuery("hours");
  const metric = chosen || metrics[0] || "cpu_pct";
  const hours = ranges.some((item) => item.value === range) ? Number(range) : 1;
  const path = `devices/${encodeURIComponent(device.device)}/telemetry`;
  const series = useLoad(`${metric} ${hours}`, (signal) => {
    const to = Date.now();
    return get<Series>(path, { metric, from: to - hours * 3_600_000, to, points: 360 }, signal);
  });
  const soon = useThrottled(series.reload, Math.max(5000, hours * 2000));
  useEffect(soon, [device.latest.ts]);
  return (
    <Card
      id="chart-title"
      title="History"
      aside={
        <div class="aside">
          <label>
            <span class="sr">Metric</span>
            <select value={metric} onChange={(event) => setChosen(event.currentTarget.value)}>
              {(metrics.includes(metric) ? metrics : [metric, ...metrics]).map((name) => (
                <option key={name} value={name}>{metricName(name)}</option>
              ))}
            </select>
          </label>
          <Segments label="Range" value={String(hours)} options={ranges} onChange={setRange} />
        </div>
      }
    >
      {series.error && series.error.status !== 503 && <Fault error={series.error} retry={series.reload} />}
      {series.data && series.data.points.length === 0 ? (
        <Empty title="No values in this time">Choose a longer range or another metric.</Empty>
      ) : (
        <Plot series={series.data} />
      )}
    </Card>
  );
}

function Plot({ series }: { series: Series | null }) {
  const place = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLParagraphElement>(null);
  const [dark, setDark] = useState(0);
  useEffect(() => {
    const media = matchMedia("(prefers-color-scheme: dark)");
    const change = () => setDark((n) => n + 1);
    media.addEventListener("change", change);
    return () => media.removeEventListener("change", change);
  }, []);
  useEffect(() => {
    if (!series) return;
    let chart: Chart | null = null;
    let gone = false;
    void import("./chart").then(({ draw }) => {
      if (!gone && place.current && readout.current) chart = draw(place.current, readout.current, series);
    });
    return () => {
      gone = true;
      chart?.destroy();
    };
  }, [series, dark]);
  const summary = useMemo(() => {
    if (!series || series.points.length === 0) return "Loading the chart";
    const all = series.points.map((point) => point[1]);
    const value = (x: number) => metricValue(x, series.unit);
    return `${metricName(series.metric)}: from ${value(Math.min(...all))} to ${value(Math.max(...all))}, last ${value(all[all.length - 1]!)}`;
  }, [series]);
  return (
    <>
      <div class="plot" ref={place} role="img" aria-label={summary} data-testid="chart" />
      <p class="readout" aria-hidden="true">
        <span ref={readout} />
        <span class="muted">{summary}</span>
      </p>
    </>
  );
}

function CommandsCard({ id, commands, canAct, reveal }: {
  id: string;
  commands: Loaded<Page<Command>>;
  canAct: boolean;
  reveal: string;
}) {
  const items = commands.data?.items;
  return (
    <Card id="commands-title" title="Commands" aside={<a href={`/commands?device=${encodeURIComponent(id)}`}>All commands</a>}>
      {commands.error && commands.error.status !== 503 && <Fault error={commands.error} retry={commands.reload} />}
      {items && items.length > 0 ? (
        <CommandTable items={items} withDevice={false} canAct={canAct} reveal={reveal} />
      ) : (
        items && (
          <Empty title="No commands yet">
            {canAct ? "Send a ping: it shows whether the device listens, and how fast." : "An operator can send some."}
          </Empty>
        )
      )}
    </Card>
  );
}

function LedgerCard({ ledger }: { ledger: LedgerRow[] }) {
  const sum = (pick: (row: LedgerRow) => number) => ledger.reduce((total, row) => total + pick(row), 0);
  const lost = sum((row) => row.lost);
  const dropped = sum((row) => row.dropped);
  const missing = sum((row) => row.missing);
  return (
    <Card id="ledger-title" title="Ledger" aside={ledger[0] && <span class="muted">updated <Time at={ledger[0].last_at} /></span>}>
      {ledger.length === 0 ? (
        <Empty title="Nothing numbered yet">A device with an outbox numbers its messages; its account appears here.</Empty>
      ) : (
        <div class="ledger">
          <p class={`big ${lost ? "bad" : "good"}`} data-testid="lost">{count(lost)} lost</p>
          <p>
            {count(sum((row) => row.stored))} messages stored exactly once
            {missing > 0 && `; ${count(missing)} missing so far`}
            {dropped > 0 && `; the device's outbox was full and it dropped ${count(dropped)}`}
            {lost > dropped && `; ${count(lost - dropped)} have been missing for too long`}.
          </p>
          <dl class="facts">
            <Fact name="Repeats refused">{count(sum((row) => row.duplicates))}</Fact>
            <Fact name="Came late">{count(sum((row) => row.late))}</Fact>
            <Fact name="Outboxes so far">{count(ledger.length)}</Fact>
            <Fact name="Numbers so far">{span(ledger[0]!.first_seq, ledger[0]!.highest)}</Fact>
          </dl>
          {ledger.map((row, index) => (
            <Gaps key={row.epoch} row={row} current={index === 0} />
          ))}
        </div>
      )}
    </Card>
  );
}

const span = (from: number, to: number): string => (from === to ? count(from) : `${count(from)} to ${count(to)}`);

const GAPS_SHOWN = 20;
const gapWords = { open: "Missing", closed: "Closed", dropped: "Dropped", lost: "Lost" };

function Gaps({ row, current }: { row: LedgerRow; current: boolean }) {
  const gaps = row.gaps.filter((gap) => gap.state !== "closed");
  if (gaps.length === 0) return null;
  return (
    <>
      <h3>{current ? "Gaps" : <>Gaps of an earlier outbox, last heard <Time at={row.last_at} /></>}</h3>
      <ul class="gaps" data-testid="gaps">
        {gaps.slice(0, GAPS_SHOWN).map((gap) => (
          <li key={`${gap.from} ${gap.opened_at}`}>
            <span class={`gap ${gap.state}`}>{gapWords[gap.state]}</span>
            <span class="numbers">{span(gap.from, gap.to)}</span>
            <span class="muted"><Time at={gap.opened_at} /></span>
          </li>
        ))}
        {gaps.length > GAPS_SHOWN && <li class="muted">and {count(gaps.length - GAPS_SHOWN)} more</li>}
      </ul>
    </>
  );
}

function EventsCard({ id }: { id: string }) {
  const events = useEvents(id, "", 10);
  const items = events.data?.items;
  return (
    <Card id="events-title" title="Events" aside={<a href={`/events?device=${encodeURIComponent(id)}`}>All events</a>}>
      {events.error && events.error.status !== 503 && <Fault error={events.error} retry={events.reload} />}
      {items && items.length > 0 ? (
        <EventTable items={items} withDevice={false} />
      ) : (
        items && <Empty title="No events yet">Its first is hello, sent when it connects.</Empty>
      )}
    </Card>
  );
}

function InventoryCard({ inventory }: { inventory: DeviceDetail["inventory"] }) {
  const kinds = Object.entries(inventory);
  return (
    <Card id="inventory-title" title="Inventory">
      {kinds.length === 0 ? (
        <Empty title="Not reported yet">The agent sends hardware, network, services and software once it is connected.</Empty>
      ) : (
        kinds.map(([kind, { ts, body }]) => (
          <details key={kind}>
            <summary>
              {kind[0]!.toUpperCase() + kind.slice(1)} <span class="muted">as of <Time at={ts} /></span>
            </summary>
            <Tree value={body} />
          </details>
        ))
      )}
    </Card>
  );
}

function Tree({ value }: { value: Json }) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return <Pairs value={value} />;
  return (
    <dl class="facts">
      {Object.entries(value).map(([name, member]) => (
        <Fact key={name} name={name}>
          {Array.isArray(member) ? (
            member.length === 0 ? "none" : (
              <ul>
                {member.slice(0, 500).map((item, i) => <li key={i}><Pairs value={item} /></li>)}
              </ul>
            )
          ) : (
            <Pairs value={member} />
          )}
        </Fact>
      ))}
    </dl>
  );
}
