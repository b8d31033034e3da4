// One metric with its spread (least to greatest of each step), drawn by uPlot; loaded when a device is first opened. All
// charts of a page show the same moment under the cursor, and the same times.
import uPlot from "uplot";
import type { Series } from "./api";
import { metricValue } from "./format";

export interface Chart {
  show: (series: Series) => void; // the same metric anew
  destroy: () => void;
}

export interface Zoom {
  to: (from: number, to: number) => void; // ms
  back: () => void;
}

export interface ChartOptions {
  readout: (text: string) => void; // what is under the cursor; "" for nothing
  zoom: Zoom;
}

const SIDE = 8; // px, the place's padding left and right
const HEIGHT = 150;
const ZOOM_MIN_MS = 10_000;
const cursors = uPlot.sync("device");

const color = (element: Element, name: string): string => getComputedStyle(element).getPropertyValue(name).trim();

// Half of the gaps between these times, which rise, are shorter.
export function usualGap(times: number[], step: number): number {
  const gaps = times.slice(1).map((time, i) => time - times[i]!).sort((a, b) => a - b);
  return Math.max(step, gaps[Math.floor(gaps.length / 2)] ?? 0);
}

// Where the first value is much later than what was asked for, the chart begins there.
export function begins(from: number, to: number, first: number | undefined): number {
  return first !== undefined && first - from > 0.1 * (to - from) ? first - 0.02 * (to - first) : from;
}

// What was dragged over becomes the range, if it is long enough to hold something.
export function selected(plot: uPlot, zoom: Zoom, least: number): void {
  const [from, to] = [plot.select.left, plot.select.left + plot.select.width].map((x) => plot.posToVal(x, "x") * 1000);
  if (plot.select.width > 0 && to! - from! >= least) zoom.to(Math.round(from!), Math.round(to!));
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
}

// Arrows move the cursor from value to value, + looks closer around it, - goes back.
export function byKeys(element: HTMLElement, plot: uPlot, zoom: Zoom | null): () => void {
  const press = (event: KeyboardEvent) => {
    const times = plot.data[0];
    const at = plot.cursor.idx ?? times.length - 1;
    const steps: { [key: string]: number } = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: times.length - 1 };
    const next = steps[event.key];
    const { min, max } = plot.scales.x!;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (next !== undefined && times.length > 0) {
      const left = plot.valToPos(times[Math.max(0, Math.min(times.length - 1, next))]!, "x");
      plot.setCursor({ left, top: plot.bbox.height / devicePixelRatio / 2 });
    } else if (event.key === "+" && zoom && min != null && max != null) {
      const [middle, quarter] = [times[at] ?? (min + max) / 2, (max - min) / 4];
      zoom.to(Math.round(Math.max(min, middle - quarter) * 1000), Math.round(Math.min(max, middle + quarter) * 1000));
    } else if (event.key === "-" && zoom) zoom.back();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  element.addEventListener("keydown", press);
  return () => element.removeEventListener("keydown", press);
}

// Where nothing came for several steps the line breaks, instead of pretending. Single readings come less evenly than hours.
function columns(series: Series): uPlot.AlignedData {
  const times: number[] = [];
  const values: [(number | null)[], (number | null)[], (number | null)[]] = [[], [], []];
  const usual = usualGap(series.points.map((point) => point[0]), series.step_ms);
  const longest = (series.source === "raw" ? 3.5 : 1.5) * usual;
  let last = 0;
  for (const [at, average, least, greatest] of series.points) {
    if (last && at - last > longest) {
      times.push((last + usual) / 1000);
      values.forEach((column) => column.push(null));
    }
    last = at;
    times.push(at / 1000);
    [average, least, greatest].forEach((value, i) => values[i]!.push(value));
  }
  return [times, ...values];
}

const size = (element: HTMLElement) => ({ width: Math.max(80, element.clientWidth - 2 * SIDE), height: HEIGHT });

function underCursor(plot: uPlot, unit: string): string {
  const at = plot.cursor.idx;
  const value = at === null || at === undefined ? undefined : plot.data[1]?.[at];
  const time = at === null || at === undefined ? undefined : plot.data[0]?.[at];
  if (value === undefined || value === null || time === undefined) return "";
  return `${new Date(time * 1000).toLocaleString("en-GB")}   ${metricValue(value, unit)}`;
}

export function draw(element: HTMLElement, first: Series, options: ChartOptions): Chart {
  let series = first;
  const line = color(element, "--accent");
  const muted = color(element, "--muted");
  const grid = { stroke: color(element, "--line"), width: 1 };
  const axis = { stroke: muted, grid, ticks: { ...grid, size: 4 }, font: "11px system-ui, sans-serif" };
  const edge = { stroke: `color-mix(in srgb, ${line} 45%, transparent)`, width: 0.75, points: { show: false } };
  const percent = series.unit === "%";
  const plot = new uPlot(
    {
      ...size(element),
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 6 },
        points: { size: 7 },
        sync: { key: cursors.key, setSeries: false },
        // Back to the range, instead of to all the data.
        bind: { dblclick: () => () => { options.zoom.back(); return null; } },
      },
      padding: [10, 16, 0, 0],
      scales: {
        x: { range: () => [begins(series.from, series.to, series.points[0]?.[0]) / 1000, series.to / 1000] },
        y: percent ? { range: [0, 100] } : { range: (_, min, max) => spread(min, max) },
      },
      axes: [
        { ...axis, size: 34, space: 70, values: axisTimes },
        { ...axis, size: 62, space: 34, values: (_, ticks) => ticks.map((tick) => metricValue(tick, series.unit)) },
      ],
      series: [{}, { stroke: line, width: 1.75, points: { show: series.points.length < 3 } }, edge, edge],
      bands: [{ series: [3, 2], fill: `color-mix(in srgb, ${line} 20%, transparent)` }],
      hooks: {
        setCursor: [(self) => options.readout(underCursor(self, series.unit))],
        setSelect: [(self) => selected(self, options.zoom, ZOOM_MIN_MS)],
      },
    },
    columns(series),
    element,
  );
  const observer = new ResizeObserver(() => {
    if (element.clientWidth > 0 && size(element).width !== plot.width) plot.setSize(size(element));
  });
  observer.observe(element);
  const leave = byKeys(element, plot, options.zoom);
  return {
    show: (next) => {
      series = next;
      plot.setData(columns(next));
    },
    destroy: () => {
      leave();
      observer.disconnect();
      plot.destroy();
    },
  };
}

const spread = (min: number | null, max: number | null): uPlot.Range.MinMax =>
  min === null || max === null ? [0, 1] : uPlot.rangeNum(min, max === min ? min + 1 : max, 0.15, true);

export function axisTimes(_: uPlot, ticks: number[], __: number, ___: number, increment: number): string[] {
  const days = increment >= 86400;
  let lastDay = "";
  return ticks.map((tick) => {
    const date = new Date(tick * 1000);
    const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    const time = date.toLocaleTimeString("en-GB", increment < 60 ? {} : { hour: "2-digit", minute: "2-digit" });
    const fresh = day !== lastDay && lastDay !== "";
    lastDay = day;
    return days ? day : fresh ? `${time}\n${day}` : time;
  });
}
