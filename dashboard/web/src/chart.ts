// One line with its spread (least to greatest of each step), drawn by uPlot; loaded when a device is first opened.
import uPlot from "uplot";
import type { Series } from "./api";
import { metricValue } from "./format";

export interface Chart {
  destroy: () => void;
}

const SIDE = 8; // px, the place's padding left and right

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

function size(element: HTMLElement): { width: number; height: number } {
  return { width: element.clientWidth - 2 * SIDE, height: element.clientWidth < 500 ? 190 : 240 };
}

export function draw(element: HTMLElement, readout: HTMLElement, series: Series): Chart {
  const line = color(element, "--accent");
  const muted = color(element, "--muted");
  const grid = { stroke: color(element, "--line"), width: 1 };
  const axis = { stroke: muted, grid, ticks: { ...grid, size: 4 }, font: "11px system-ui, sans-serif" };
  const data = columns(series);
  const invisible = { stroke: "transparent", points: { show: false } };
  const percent = series.unit === "%";
  const show = (plot: uPlot) => {
    const at = plot.cursor.idx;
    const value = at === null || at === undefined ? undefined : plot.data[1]?.[at];
    const time = at === null || at === undefined ? undefined : plot.data[0]?.[at];
    readout.textContent =
      value === undefined || value === null || time === undefined
        ? ""
        : `${new Date(time * 1000).toLocaleString("en-GB")}   ${metricValue(value, series.unit)}`;
  };
  const plot = new uPlot(
    {
      ...size(element),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      padding: [10, 16, 0, 0],
      scales: {
        x: { min: series.from / 1000, max: series.to / 1000, range: [series.from / 1000, series.to / 1000] },
        y: percent ? { range: [0, 100] } : { range: (_, min, max) => uPlot.rangeNum(min, max === min ? min + 1 : max, 0.15, true) },
      },
      axes: [
        { ...axis, space: 70, values: axisTimes },
        { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => metricValue(tick, series.unit)) },
      ],
      series: [{}, { stroke: line, width: 1.75, points: { show: series.points.length < 3 } }, invisible, invisible],
      bands: [{ series: [3, 2], fill: `color-mix(in srgb, ${line} 16%, transparent)` }],
      hooks: { setCursor: [show] },
    },
    data,
    element,
  );
  const observer = new ResizeObserver(() => {
    if (element.clientWidth > 0 && size(element).width !== plot.width) plot.setSize(size(element));
  });
  observer.observe(element);
  return {
    destroy: () => {
      observer.disconnect();
      plot.destroy();
    },
  };
}

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
