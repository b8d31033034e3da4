// One metric of up to eight devices, chosen by id.
import { useState } from "preact/hooks";
import { get } from "./api";
import type { Zoom } from "./chart";
import { metricName } from "./format";
import { useLoad } from "./hooks";
import { LinePlot } from "./lineplot";
import { Card, Empty, Fault } from "./parts";
import { useQuery } from "./router";

interface Compared {
  unit: string;
  from: number;
  to: number;
  step_ms: number;
  devices: { device: string; display_name: string | null; points: [number, number, number, number][] }[];
}

const DEVICES_MAX = 8;
const metrics = ["cpu_pct", "mem_used_pct", "disk_used_pct", "battery_pct", "load1", "rssi_dbm", "temperature_c"];

export function Comparison({ from, to, zoom }: { from: number; to: number; zoom: Zoom }) {
  const [list, setList] = useQuery("devices");
  const [chosen, setChosen] = useQuery("compare");
  const metric = chosen || "cpu_pct";
  const devices = list ? list.split(",") : [];
  const remove = (device: string) => setList(devices.filter((one) => one !== device).join(","));
  return (
    <Card
      id="compare-title"
      title="Compare devices"
      aside={
        <label>
          <span class="sr">Metric to compare</span>
          <input
            class="metric"
            list="compare-metrics"
            value={metric}
            title="One of the list, or the name of a custom metric"
            onChange={(event) => setChosen(event.currentTarget.value.trim())}
          />
          <datalist id="compare-metrics">
            {metrics.map((name) => <option key={name} value={name}>{metricName(name)}</option>)}
          </datalist>
        </label>
      }
    >
      <div class="chosen">
        {devices.map((device) => (
          <span class="tag" key={device}>
            {device}
            <button type="button" class="plain" aria-label={`Leave out ${device}`} onClick={() => remove(device)}>×</button>
          </span>
        ))}
        {devices.length < DEVICES_MAX && (
          <AddDevice onAdd={(device) => !devices.includes(device) && setList([...devices, device].join(","))} />
        )}
      </div>
      {devices.length > 0 ? (
        <Chart devices={list} metric={metric} from={from} to={to} zoom={zoom} />
      ) : (
        <Empty title="No device chosen">Add up to eight by their ids: their lines share one chart and one cursor.</Empty>
      )}
    </Card>
  );
}

function AddDevice({ onAdd }: { onAdd: (device: string) => void }) {
  const [fault, setFault] = useState("");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        const input = event.currentTarget.elements.namedItem("device") as HTMLInputElement;
        const id = input.value.trim();
        if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(id)) {
          setFault("A device id has small letters, digits and hyphens.");
          return;
        }
        setFault("");
        onAdd(id);
        input.value = "";
      }}
    >
      <label>
        <span class="sr">Device to compare</span>
        <input name="device" placeholder="Device id" autocomplete="off" spellcheck={false} aria-invalid={fault !== ""} />
      </label>
      <button type="submit">Add</button>
      {fault && <span class="bad" role="alert">{fault}</span>}
    </form>
  );
}

function Chart({ devices, metric, from, to, zoom }: { devices: string; metric: string; from: number; to: number; zoom: Zoom }) {
  const { data, error, reload } = useLoad(`${devices} ${metric} ${from} ${to}`, (signal) =>
    get<Compared>("analytics/compare", { devices, metric, from, to: to || "", points: 300 }, signal));
  if (error && error.status !== 503) return <Fault error={error} retry={reload} />;
  if (!data) return <div class="skeleton" role="status" aria-label="Loading" />;
  if (data.devices.every((device) => device.points.length === 0))
    return <Empty title="No values in this time">None of them told {metric}; choose a longer range or another metric.</Empty>;
  const lines = data.devices.map(({ device, points }) => ({
    name: device,
    points: points.map(([at, average]): [number, number] => [at, average]),
  }));
  return <LinePlot data={{ unit: data.unit, from: data.from, to: data.to, step: data.step_ms, lines }} testid="compare" zoom={zoom} />;
}
