// The latest reading.
import type { DeviceDetail } from "./api";
import { diskUsed, duration, freeOf, memoryUsed, metricValue } from "./format";
import { Bar, batteryLevel, Empty, type Level, usageLevel } from "./parts";

export function Values({ device }: { device: DeviceDetail }) {
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
