import { useEffect, useState } from "preact/hooks";
import { type Device, get, type Page, type Query, type Status } from "./api";
import { useOverview } from "./fleet";
import { count, diskUsed, duration, memoryUsed, statusOf } from "./format";
import { useLoad, useNow, useThrottled } from "./hooks";
import { subscribe } from "./live";
import { Bar, batteryLevel, Empty, Fault, Filter, Icon, RevokedTag, Segments, StatusBadge, Time, usageLevel } from "./parts";
import { useQuery } from "./router";

const PAGE = 100;

interface Column {
  key: string;
  name: string;
  sort?: string; // the API's name; the first click sorts by firstSort
  firstSort?: string;
}
const columns: Column[] = [
  { key: "status-cell", name: "Status" },
  { key: "device", name: "Device", sort: "device" },
  { key: "seen", name: "Last seen", sort: "last_seen", firstSort: "-last_seen" },
  { key: "battery", name: "Battery", sort: "battery" },
  { key: "cpu", name: "CPU", sort: "cpu", firstSort: "-cpu" },
  { key: "memory", name: "Memory", sort: "memory", firstSort: "-memory" },
  { key: "disk", name: "Disk", sort: "disk", firstSort: "-disk" },
  { key: "uptime", name: "Uptime" },
  { key: "network", name: "Network" },
];
const sortNames: [string, string][] = [
  ["device", "Name"],
  ["-last_seen", "Seen last"],
  ["last_seen", "Silent longest"],
  ["battery", "Battery, lowest first"],
  ["-cpu", "CPU, highest first"],
  ["-memory", "Memory, fullest first"],
  ["-disk", "Disk, fullest first"],
];

export default function DevicesView() {
  const [q, setQ] = useQuery("q");
  const [status, setStatus] = useQuery("status");
  const [sort, setSort] = useQuery("sort");
  const overview = useOverview();
  const counts = overview.data?.devices;
  const options = [
    { value: "", text: "All", count: counts?.total },
    { value: "online", text: "Online", count: counts?.online },
    { value: "stale", text: "Stale", count: counts?.stale },
    { value: "offline", text: "Offline", count: counts?.offline },
    { value: "never", text: "Never seen", count: counts?.never },
    ...(counts?.revoked || status === "revoked" ? [{ value: "revoked", text: "Revoked", count: counts?.revoked }] : []),
  ];
  return (
    <>
      <h1 class="sr">Devices</h1>
      <div class="toolbar">
        <Filter label="Filter devices" placeholder="Filter by name or tag" value={q} onChange={setQ} />
        <Segments label="Status" value={status} options={options} onChange={setStatus} />
        <label class="sorter">
          <span class="sr">Sort by</span>
          <select value={sort || "device"} onChange={(event) => setSort(event.currentTarget.value)}>
            {sortNames.map(([value, name]) => (
              <option key={value} value={value}>{name}</option>
            ))}
          </select>
        </label>
      </div>
      <DeviceList query={{ q, status, sort }} setSort={setSort} total={counts?.total} clear={() => { setQ(""); setStatus(""); }} />
    </>
  );
}

const fits = (device: Device, status: string): boolean =>
  status === "revoked" ? !device.enabled : device.status === status;

function merge(items: Device[], changed: Device[]): Device[] {
  const news = new Map(changed.map((device) => [device.device, device]));
  return items.map((item) => news.get(item.device) ?? item);
}

function DeviceList({ query, setSort, total, clear }: {
  query: { q: string; status: string; sort: string };
  setSort: (sort: string) => void;
  total: number | undefined;
  clear: () => void;
}) {
  const [shown, setShown] = useState(PAGE);
  const key = JSON.stringify(query);
  const filtered = query.q !== "" || query.status !== "";
  // Everything shown is asked for anew, so that paging, live changes and sorting never disagree.
  const list = useLoad(`${key} ${shown}`, (signal) => loadPages(query, shown, signal));
  const refresh = useThrottled(list.reload, 3000);
  useEffect(() => setShown(PAGE), [key]);
  useEffect(
    () =>
      subscribe({
        refresh,
        devices: (changed) => {
          list.change((data) => {
            const known = new Set(data.items.map((item) => item.device));
            // A device that may belong on this page, or no longer does: the server decides.
            if (changed.some((d) => !known.has(d.device)) || (query.status && changed.some((d) => !fits(d, query.status))))
              refresh();
            return { ...data, items: merge(data.items, changed) };
          });
        },
      }),
    [key],
  );
  if (!list.data) return list.error ? <Fault error={list.error} retry={list.reload} /> : <div class="card skeleton tall" />;
  const { items, next } = list.data;
  return (
    <>
      {list.error && list.error.status !== 503 && <Fault error={list.error} retry={list.reload} />}
      {items.length === 0 ? (
        <div class="card">
          {filtered ? (
            <Empty title="No device matches">
              <button type="button" onClick={clear}>Show all devices</button>
            </Empty>
          ) : (
            <Empty title="No devices yet">
              Make an enrolment token with <code>muster token create</code> and start <code>muster-agent</code> with it on a
              device. It appears here by itself.
            </Empty>
          )}
        </div>
      ) : (
        <DeviceTable items={items} sort={query.sort || "device"} setSort={setSort} />
      )}
      <p class="foot">
        <span>
          {count(items.length)}
          {!filtered && total ? ` of ${count(total)}` : ""} {items.length === 1 ? "device" : "devices"}
          {next ? " shown" : ""}
        </span>
        {next && (
          <button type="button" onClick={() => setShown(shown + PAGE)} disabled={list.loading}>
            Show {PAGE} more
          </button>
        )}
      </p>
    </>
  );
}

async function loadPages(query: Query, wanted: number, signal: AbortSignal): Promise<Page<Device>> {
  const items: Device[] = [];
  let next: string | null = null;
  do {
    const limit = Math.min(500, wanted - items.length);
    const page: Page<Device> = await get<Page<Device>>("devices", { ...query, limit, after: next }, signal);
    items.push(...page.items);
    next = page.next;
  } while (next && items.length < wanted);
  return { items, next };
}

function DeviceTable({ items, sort, setSort }: { items: Device[]; sort: string; setSort: (sort: string) => void }) {
  const now = useNow();
  const rising = !sort.startsWith("-");
  const by = sort.replace("-", "");
  return (
    <div class="card table-wrap">
      <table class="devices" data-testid="devices">
        <thead>
          <tr>
            {columns.map((column) => {
              const here = column.sort === by;
              return (
                <th key={column.key} scope="col" class={column.key} {...(here ? { "aria-sort": rising ? "ascending" as const : "descending" as const } : {})}>
                  {column.sort ? (
                    <button
                      type="button"
                      onClick={() => setSort(here ? (rising ? `-${by}` : by) : (column.firstSort ?? column.sort!))}
                    >
                      {column.name}
                      {here && <Icon name={rising ? "up" : "down"} />}
                    </button>
                  ) : (
                    column.name
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {items.map((device) => (
            <DeviceRow key={device.device} device={device} status={statusOf(device, now)} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function DeviceRow({ device, status }: { device: Device; status: Status }) {
  const { latest } = device;
  const battery = latest.battery_pct ?? null;
  const cpu = latest.cpu_pct ?? null;
  const memory = memoryUsed(device);
  const disk = diskUsed(device);
  return (
    <tr data-device={device.device} class={status === "offline" || status === "never" ? "dim" : ""}>
      <td class="status-cell">
        <StatusBadge status={status} {...(status === device.status ? { why: device.why } : {})} />
      </td>
      <th scope="row" class="device">
        <span class="who-is">
          <a href={`/devices/${encodeURIComponent(device.device)}`}>{device.device}</a>
          {device.display_name && <span class="name">{device.display_name}</span>}
          <RevokedTag device={device} />
          {device.tags.slice(0, 3).map((tag) => (
            <span key={tag} class="tag">{tag}</span>
          ))}
        </span>
      </th>
      <td class="seen"><Time at={device.last_seen} /></td>
      <td class="battery" data-label="Battery">
        <Bar
          percent={battery}
          level={batteryLevel(battery ?? 100)}
          label={latest.charging && <span class="charging" title="charging"><Icon name="bolt" /><span class="sr">charging</span></span>}
        />
      </td>
      <td class="cpu" data-label="CPU"><Bar percent={cpu} level={usageLevel(cpu ?? 0)} /></td>
      <td class="memory" data-label="Memory"><Bar percent={memory} level={usageLevel(memory ?? 0)} /></td>
      <td class="disk" data-label="Disk"><Bar percent={disk} level={usageLevel(disk ?? 0)} /></td>
      <td class="uptime">{latest.uptime_s === undefined ? <span class="muted">–</span> : duration(latest.uptime_s)}</td>
      <td class="network">{latest.network_type ?? <span class="muted">–</span>}</td>
    </tr>
  );
}
