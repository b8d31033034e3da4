// How values read. Numbers and times follow the browser's language where that helps; units stay ASCII.
import type { Device, Status } from "./api";

const whole = new Intl.NumberFormat("en");
const dateTime = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "short",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
});

export const count = (value: number): string => whole.format(value);

export function compact(value: number): string {
  if (value < 10_000) return whole.format(value);
  if (value < 1_000_000) return `${(value / 1000).toFixed(value < 100_000 ? 1 : 0)} k`;
  return `${(value / 1_000_000).toFixed(value < 100_000_000 ? 1 : 0)} M`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

// "3.5 of 4.0 GB free"
export function freeOf(free: number, total: number): string {
  const [less, more] = [bytes(free), bytes(total)];
  const unit = more.slice(more.indexOf(" "));
  return `${less.endsWith(unit) ? less.slice(0, -unit.length) : less} of ${more} free`;
}

export function duration(seconds: number): string {
  if (seconds < 0) seconds = 0;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) {
    const minutes = Math.floor((seconds % 3600) / 60);
    return minutes ? `${Math.floor(seconds / 3600)} h ${minutes} min` : `${Math.floor(seconds / 3600)} h`;
  }
  const hours = Math.floor((seconds % 86400) / 3600);
  const days = Math.floor(seconds / 86400);
  if (days >= YEARS_FROM_D) return years(days);
  return days < 10 && hours ? `${days} d ${hours} h` : `${days} d`;
}

export function ago(text: string, now: number): string {
  const seconds = (now - Date.parse(text)) / 1000;
  if (seconds < -1) return `in ${short(-seconds)}`;
  if (seconds < 2) return "now";
  return `${short(seconds)} ago`;
}

function short(seconds: number): string {
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  const days = Math.floor(seconds / 86400);
  return days >= YEARS_FROM_D ? years(days) : `${days} d`;
}

const YEARS_FROM_D = 2 * 365;
const years = (days: number): string => `${(days / 365.25).toFixed(1)} y`;

export const absolute = (text: string): string => dateTime.format(new Date(text));

export function took(from: string, to: string): string {
  const ms = Date.parse(to) - Date.parse(from);
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms / 1000);
}

// The server said what it was when it answered; an online device becomes stale by time alone.
export function statusOf(device: Pick<Device, "status" | "stale_at">, now: number): Status {
  return device.status === "online" && device.stale_at && Date.parse(device.stale_at) <= now ? "stale" : device.status;
}

export const memoryUsed = ({ latest }: Pick<Device, "latest">): number | null => used(latest.mem_total, latest.mem_available);
export const diskUsed = ({ latest }: Pick<Device, "latest">): number | null => used(latest.disk_total, latest.disk_free);

function used(total: number | undefined, free: number | undefined): number | null {
  return total && free !== undefined ? Math.min(100, Math.max(0, 100 * (1 - free / total))) : null;
}

const names: { [metric: string]: string } = {
  battery_pct: "Battery",
  cpu_pct: "CPU",
  mem_used_pct: "Memory used",
  disk_used_pct: "Disk used",
  load1: "Load (1 min)",
  mem_available: "Memory available",
  disk_free: "Disk free",
  uptime_s: "Uptime",
  rssi_dbm: "Signal",
  temperature_c: "Temperature",
};
export const metricName = (metric: string): string => names[metric] ?? metric;

export function metricValue(value: number, unit: string): string {
  if (unit === "B") return bytes(value);
  if (unit === "s") return duration(value);
  if (unit === "%") return `${Math.round(value * 10) / 10} %`;
  const text = Math.abs(value) >= 100 ? Math.round(value).toString() : String(Math.round(value * 100) / 100);
  return unit ? `${text} ${unit}` : text;
}
