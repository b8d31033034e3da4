// Counts over time, drawn as SVG that takes its colours from the theme: areas that stand on each other, a line, or bars.
import { useState } from "preact/hooks";
import { count } from "./format";

export interface Layer {
  name: string;
  tone: "good" | "warn" | "bad" | "idle" | "accent";
  values: (number | null)[];
}

const MINUTE_MS = 60_000;
const W = 1000; // the drawing's own units; it is stretched to its place
const H = 100;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const compactClock = (ms: number): string => clock.format(new Date(ms));

function stack(layers: Layer[], length: number): number[][] {
  const sums: number[][] = [];
  let below = new Array<number>(length).fill(0);
  for (const layer of layers) {
    below = below.map((sum, i) => sum + (layer.values[i] ?? 0));
    sums.push(below);
  }
  return sums;
}

const HOUR_MS = 3_600_000;
const DAY_HOURS = 24;

// Ten minutes each are too thin for bars in a narrow place: six make one. Always the bars of a whole day.
export function hourly(times: number[], layers: Layer[]): { times: number[]; layers: Layer[] } {
  const hours = times.map((ms) => Math.floor(ms / HOUR_MS));
  const last = hours[hours.length - 1] ?? 0;
  const kept = Array.from({ length: DAY_HOURS }, (_, i) => last - DAY_HOURS + 1 + i);
  return {
    times: kept.map((hour) => (hour + 1) * HOUR_MS),
    layers: layers.map((layer) => ({
      ...layer,
      values: kept.map((hour) => layer.values.reduce<number>((sum, value, i) => sum + (hours[i] === hour ? (value ?? 0) : 0), 0)),
    })),
  };
}

// The next round number that holds it, without much room above.
function ceiling(value: number): number {
  if (value <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.2, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value)!;
}

export function Trend({ label, times, layers, kind }: {
  label: string;
  times: number[]; // ms, rising
  layers: Layer[];
  kind: "area" | "bars";
}) {
  const [at, setAt] = useState<number | null>(null);
  const sums = stack(layers, times.length);
  const top = ceiling(Math.max(0, ...(sums[sums.length - 1] ?? [])) * 1.04);
  const first = times[0] ?? 0;
  const last = times[times.length - 1] ?? 1;
  const x = (ms: number) => (last === first ? W : ((ms - first) / (last - first)) * W);
  const y = (value: number) => H - (value / top) * H;
  const find = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const wanted = first + ((event.clientX - box.left) / box.width) * (last - first);
    let best = 0;
    times.forEach((ms, i) => {
      if (Math.abs(ms - wanted) < Math.abs(times[best]! - wanted)) best = i;
    });
    setAt(best);
  };
  const shown = at ?? times.length - 1;
  return (
    <figure class="trend">
      <figcaption>
        <span class="trend-name">{label}</span>
        <span class="trend-legend">
          {layers.map((layer) => (
            <span key={layer.name} class={`key ${layer.tone}`}>
              {layers.length > 1 && `${layer.name} `}
              <b>{layer.values[shown] === null || layer.values[shown] === undefined ? "–" : count(Math.round(layer.values[shown]!))}</b>
            </span>
          ))}
          {at !== null && <span class="trend-at">{compactClock(times[at]!)}</span>}
        </span>
      </figcaption>
      <div class="trend-plot">
        <span class="trend-top" aria-hidden="true">{count(top)}</span>
        <svg
          viewBox={`0 0 ${W} ${H}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`${label}: ${summary(layers, times)}`}
          onPointerMove={find}
          onPointerLeave={() => setAt(null)}
        >
          <path class="grid" d={`M0 ${H / 2}H${W}M0 0.5H${W}`} />
          {kind === "area"
            ? layers.map((layer, k) => <Area key={layer.name} tone={layer.tone} times={times} over={sums[k]!} under={sums[k - 1]} x={x} y={y} />).reverse()
            : layers.map((layer, k) => <Bars key={layer.name} tone={layer.tone} times={times} over={sums[k]!} under={sums[k - 1]} x={x} y={y} />)}
          {at !== null && <path class="cursor" d={`M${x(times[at]!)} 0V${H}`} />}
        </svg>
        <div class="trend-axis" aria-hidden="true">
          {last - first >= MINUTE_MS && <span>{compactClock(first)}</span>}
          {last - first >= 4 * MINUTE_MS && <span>{compactClock((first + last) / 2)}</span>}
          <span>now</span>
        </div>
      </div>
    </figure>
  );
}

interface Shape {
  tone: string;
  times: number[];
  over: number[];
  under: number[] | undefined;
  x: (ms: number) => number;
  y: (value: number) => number;
}

const place = (value: number): string => value.toFixed(1);

function Area({ tone, times, over, under, x, y }: Shape) {
  const upper = times.map((ms, i) => `${place(x(ms))} ${place(y(over[i]!))}`);
  const lower = times.map((ms, i) => `${place(x(ms))} ${place(y(under?.[i] ?? 0))}`).reverse();
  if (over.every((value, i) => value === (under?.[i] ?? 0))) return null;
  return (
    <g class={`area ${tone}`}>
      <path class="fill-area" d={`M${upper.join("L")}L${lower.join("L")}Z`} />
      <path class="edge" d={`M${upper.join("L")}`} />
    </g>
  );
}

function Bars({ tone, times, over, under, x, y }: Shape) {
  const width = Math.max(1, (W / Math.max(times.length, 24)) * 0.72);
  const d = times
    .map((ms, i) => {
      const low = y(under?.[i] ?? 0);
      const high = y(over[i]!);
      if (low - high < 0.01) return "";
      const left = Math.min(W - width, Math.max(0, x(ms) - width));
      return `M${place(left)} ${place(low)}V${place(high)}h${place(width)}V${place(low)}Z`;
    })
    .join("");
  return <path class={`bars ${tone}`} d={d} />;
}

function summary(layers: Layer[], times: number[]): string {
  if (times.length === 0) return "nothing yet";
  return layers
    .map(({ name, values }) => {
      const known = values.filter((value): value is number => value !== null);
      const from = known[0] ?? 0;
      const to = known[known.length - 1] ?? 0;
      return `${name} from ${count(Math.round(from))} at ${compactClock(times[0]!)} to ${count(Math.round(to))} now`;
    })
    .join(", ");
}
