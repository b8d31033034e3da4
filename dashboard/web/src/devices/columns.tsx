// The columns of the table of devices: which there are, which a person has chosen, and the choosing.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Status } from "../api";
import { diskUsed, duration, memoryUsed } from "../format";
import { Bar, batteryLevel, Icon, RevokedTag, StatusBadge, Tag, Time, usageLevel } from "../parts";
import type { Row } from "./rows";

export interface Column {
  key: string;
  name: string;
  sort: string | null; // the API's name; the first click sorts by firstSort
  firstSort?: string;
  cell: (row: Row, status: Status) => JSX.Element | string | null;
}

const none = <span class="muted">–</span>;
const TAGS_SHOWN = 2;

// A name is worth more than the tags: the column of tags has them all.
function Who({ row }: { row: Row }) {
  const shown = row.display_name ? 0 : TAGS_SHOWN;
  const more = row.tags.length - shown;
  return (
    <span class="who-is">
      <a href={`/devices/${encodeURIComponent(row.device)}`}>{row.device}</a>
      {row.display_name && <span class="name">{row.display_name}</span>}
      <RevokedTag device={row} />
      {row.tags.slice(0, shown).map((tag) => <Tag key={tag} tag={tag} />)}
      {more > 0 && (
        <span class="tag more" title={row.tags.join(", ")}>
          +{more}<span class="sr"> {more === 1 ? "tag" : "tags"}: {row.tags.slice(shown).join(", ")}</span>
        </span>
      )}
    </span>
  );
}

function Battery({ latest }: Row) {
  const percent = latest.battery_pct ?? null;
  const charging = latest.charging && (
    <span class="charging" title="charging"><Icon name="bolt" /><span class="sr">charging</span></span>
  );
  return <Bar percent={percent} level={batteryLevel(percent ?? 100)} label={charging} />;
}

const usage = (percent: number | null) => <Bar percent={percent} level={usageLevel(percent ?? 0)} />;
const number = (value: number | undefined, unit: string) => (value === undefined ? none : `${Math.round(value)} ${unit}`);

// In the order in which they stand unless a person wants another.
export const columns: Column[] = [
  {
    key: "status", name: "Status", sort: "status",
    cell: (row, status) => <StatusBadge status={status} {...(status === row.status ? { why: row.why } : {})} />,
  },
  { key: "device", name: "Device", sort: "device", cell: (row) => <Who row={row} /> },
  { key: "seen", name: "Last seen", sort: "last_seen", firstSort: "-last_seen", cell: (row) => <Time at={row.last_seen} /> },
  { key: "battery", name: "Battery", sort: "battery", cell: Battery },
  { key: "cpu", name: "CPU", sort: "cpu", firstSort: "-cpu", cell: ({ latest }) => usage(latest.cpu_pct ?? null) },
  { key: "memory", name: "Memory", sort: "memory", firstSort: "-memory", cell: (row) => usage(memoryUsed(row)) },
  { key: "disk", name: "Disk", sort: "disk", firstSort: "-disk", cell: (row) => usage(diskUsed(row)) },
  {
    key: "uptime", name: "Uptime", sort: "uptime", firstSort: "-uptime",
    cell: ({ latest }) => (latest.uptime_s === undefined ? none : duration(latest.uptime_s)),
  },
  { key: "network", name: "Network", sort: null, cell: ({ latest }) => latest.network_type ?? none },
  { key: "version", name: "Agent", sort: "version", firstSort: "-version", cell: (row) => row.agent_version ?? none },
  {
    key: "tags", name: "Tags", sort: null,
    cell: ({ tags }) => (tags.length > 0 ? <span class="tag-list">{tags.map((tag) => <Tag key={tag} tag={tag} />)}</span> : none),
  },
  { key: "signal", name: "Signal", sort: null, cell: ({ latest }) => number(latest.rssi_dbm, "dBm") },
  { key: "temperature", name: "Temperature", sort: null, cell: ({ latest }) => number(latest.temperature_c, "°C") },
  { key: "load", name: "Load", sort: null, cell: ({ latest }) => latest.load1?.toFixed(2) ?? none },
  {
    key: "enrolled", name: "Enrolled", sort: "enrolled_at", firstSort: "-enrolled_at",
    cell: (row) => <Time at={row.enrolled_at} none="–" />,
  },
];

const USUAL = ["status", "device", "seen", "battery", "cpu", "memory", "disk", "uptime", "network"];
const known = new Map(columns.map((column) => [column.key, column]));
const storageKey = (user: string) => `muster.devices.columns.${user}`;

// Of a text of keys with commas; the device is always among them.
function parse(text: string | null): string[] | null {
  const keys = [...new Set((text ?? "").split(",").filter((key) => known.has(key)))];
  if (keys.length === 0) return null;
  return keys.includes("device") ? keys : ["device", ...keys];
}

export function chosenColumns(fromUrl: string, user: string): string[] {
  return parse(fromUrl) ?? parse(localStorage.getItem(storageKey(user))) ?? USUAL;
}

// What belongs into the address: nothing for the usual ones.
export function keepColumns(keys: string[], user: string): string {
  const text = keys.join(",");
  if (text === USUAL.join(",")) {
    localStorage.removeItem(storageKey(user));
    return "";
  }
  localStorage.setItem(storageKey(user), text);
  return text;
}

export const columnsOf = (keys: string[]): Column[] => keys.map((key) => known.get(key)!);

// A button that opens what belongs to it below; Escape and a press elsewhere close it.
export function Popover({ label, icon, children }: { label: string; icon?: string; children: (close: () => void) => JSX.Element }) {
  const [open, setOpen] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const onPress = (event: Event) => {
      if (!place.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", onPress);
    return () => document.removeEventListener("pointerdown", onPress);
  }, [open]);
  return (
    <div
      class="popover"
      ref={place}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open) return;
        event.preventDefault();
        setOpen(false);
        place.current?.querySelector("button")?.focus();
      }}
    >
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        {label}
        <Icon name={icon ?? (open ? "up" : "down")} />
      </button>
      {open && <div class="popover-in">{children(() => setOpen(false))}</div>}
    </div>
  );
}

export function ColumnChooser({ keys, choose }: { keys: string[]; choose: (keys: string[]) => void }) {
  const others = columns.filter(({ key }) => !keys.includes(key)).map(({ key }) => key);
  const move = (key: string, by: number) => {
    const next = keys.filter((one) => one !== key);
    next.splice(keys.indexOf(key) + by, 0, key);
    choose(next);
  };
  const line = (key: string, at: number) => {
    const { name } = known.get(key)!;
    return (
      <li key={key}>
        <label>
          <input
            type="checkbox"
            checked={at >= 0}
            disabled={key === "device"}
            onChange={() => choose(at >= 0 ? keys.filter((one) => one !== key) : [...keys, key])}
          />
          {name}
        </label>
        {at >= 0 && (
          <span>
            <button type="button" class="plain" disabled={at === 0} aria-label={`${name} further left`} onClick={() => move(key, -1)}>
              <Icon name="up" />
            </button>
            <button type="button" class="plain" disabled={at === keys.length - 1} aria-label={`${name} further right`} onClick={() => move(key, 1)}>
              <Icon name="down" />
            </button>
          </span>
        )}
      </li>
    );
  };
  return (
    <Popover label="Columns">
      {() => (
        <>
          <ul class="column-list">
            {keys.map(line)}
            {others.map((key) => line(key, -1))}
          </ul>
          <button type="button" class="plain" onClick={() => choose(USUAL)}>The usual ones</button>
        </>
      )}
    </Popover>
  );
}
