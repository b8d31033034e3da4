// One metric with its spread (least to greatest of each step), drawn by uPlot; loaded when a device is first opened. All
// charts of a page show the same moment under the cursor, and the same times.
import uPlot from "uplot";
import type { Series } from "./api";
import { metricValue } from "./format";

export interface Chart {
  show: (series: Series) => void; // the same metric anew
  destroy: () => void;
}

export interface ChartOptions {
  readout: (text: string) => void; // what is under the cursor; "" for nothing
  zoom: (from: number, to: number) => void; // ms
  unzoom: () => void;
}

const SIDE = 8; // px, the place's padding left and right
const HEIGHT = 150;
const ZOOM_MIN_MS = 10_000;
const cursors = uPlot.sync("device");

const color = (element: Element, name: string): string => getComputedStyle(element).getPropertyValue(name).trim();

// Where nothing came for several steps the line breaks, instead of pretending.
function columns(series: Series): uPlot.AlignedData {
  const times: number[] = [];
  const values: [(number | null)[], (number | null)[], (number | null)[]] = [[], [], []];
  const gaps = series.points.slice(1).map((point, i) => point[0] - series.points[i]![0]).sort((a, b) => a - b);
  const usual = Math.max(series.step_ms, gaps[Math.floor(gaps.length / 2)] ?? 0);
  let last = 0;
  for (const [at, average, least, greatest] of series.points) {
    if (last && at - last > 3.5 * usual) {
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
  const invisible = { stroke: "transparent", points: { show: false } };
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
        bind: { dblclick: () => () => { options.unzoom(); return null; } },
      },
      padding: [10, 16, 0, 0],
      scales: {
        x: { range: () => [series.from / 1000, series.to / 1000] },
        y: percent ? { range: [0, 100] } : { range: (_, min, max) => spread(min, max) },
      },
      axes: [
        { ...axis, space: 70, values: axisTimes },
        { ...axis, size: 62, space: 34, values: (_, ticks) => ticks.map((tick) => metricValue(tick, series.unit)) },
      ],
      series: [{}, { stroke: line, width: 1.75, points: { show: series.points.length < 3 } }, invisible, invisible],
      bands: [{ series: [3, 2], fill: `color-mix(in srgb, ${line} 16%, transparent)` }],
      hooks: {
        setCursor: [(self) => options.readout(underCursor(self, series.unit))],
        setSelect: [
          (self) => {
            const [from, to] = [self.select.left, self.select.left + self.select.width].map((x) => self.posToVal(x, "x") * 1000);
            if (self.select.width > 0 && to! - from! >= ZOOM_MIN_MS) options.zoom(Math.round(from!), Math.round(to!));
            self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
      },
    },
    columns(series),
    element,
  );
  const observer = new ResizeObserver(() => {
    if (element.clientWidth > 0 && size(element).width !== plot.width) plot.setSize(size(element));
  });
  observer.observe(element);
  return {
    show: (next) => {
      series = next;
      plot.setData(columns(next));
    },
    destroy: () => {
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
