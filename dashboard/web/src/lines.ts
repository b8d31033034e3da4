// Several lines over one span, with a band between two of them; cursors of all such charts on the page move together.
import uPlot from "uplot";
import { axisTimes, begins, byKeys, selected, usualGap, type Zoom } from "./chart";
import { metricValue } from "./format";

export interface Line {
  name: string;
  points: [number, number][];
  quiet?: boolean; // thin and dashed
}

export interface LinesData {
  unit: string;
  from: number;
  to: number;
  step: number; // ms between two points of a line that misses none
  lines: Line[];
  band?: [upper: number, lower: number]; // of lines, which are then not drawn themselves
}

export const LINES_MAX = 8;
const SIDE = 8; // px, the place's padding left and right
const DASHES = [[], [6, 3], [2, 3], [10, 3, 2, 3]];

const token = (element: Element, name: string): string => getComputedStyle(element).getPropertyValue(name).trim();
const size = (element: HTMLElement) => ({ width: element.clientWidth - 2 * SIDE, height: element.clientWidth < 500 ? 190 : 230 });

// One column of times, and a value for each line: null where it breaks because nothing came for more than a step,
// undefined where only other lines have a value.
function columns({ lines, step }: LinesData): uPlot.AlignedData {
  const known = lines.map(({ points }) => {
    const values = new Map<number, number | null>(points);
    const usual = usualGap(points.map((point) => point[0]), step);
    points.forEach(([at], i) => {
      const last = points[i - 1]?.[0] ?? at;
      if (at - last > 1.5 * usual) values.set(last + usual, null);
    });
    return values;
  });
  const times = [...new Set(known.flatMap((values) => [...values.keys()]))].sort((a, b) => a - b);
  return [times.map((time) => time / 1000), ...known.map((values) => times.map((time) => values.get(time)))] as uPlot.AlignedData;
}

function readAt(plot: uPlot, data: LinesData): string {
  const at = plot.cursor.idx;
  const time = at === null || at === undefined ? undefined : plot.data[0]?.[at];
  if (time === undefined) return "";
  const values = data.lines.flatMap((line, i) => {
    const value = plot.data[i + 1]?.[at!];
    return value === null || value === undefined ? [] : [`${line.name} ${metricValue(value, data.unit)}`];
  });
  return `${new Date(time * 1000).toLocaleString("en-GB")}   ${values.join(" · ")}`;
}

export function drawLines(element: HTMLElement, readout: HTMLElement, data: LinesData, zoom: Zoom | null): () => void {
  const grid = { stroke: token(element, "--line"), width: 1 };
  const axis = { stroke: token(element, "--muted"), grid, ticks: { ...grid, size: 4 }, font: "11px system-ui, sans-serif" };
  const first = Math.min(...data.lines.map((line) => line.points[0]?.[0] ?? Infinity));
  const [from, to] = [begins(data.from, data.to, Number.isFinite(first) ? first : undefined) / 1000, data.to / 1000];
  const edge = `color-mix(in srgb, ${token(element, "--line-1")} 45%, transparent)`;
  const drawn = data.lines.map((line, i): uPlot.Series => {
    if (data.band?.includes(i)) return { stroke: edge, width: 0.75, points: { show: false } };
    return {
      stroke: token(element, `--line-${(i % LINES_MAX) + 1}`),
      width: line.quiet ? 1.25 : 1.75,
      dash: line.quiet ? [4, 3] : DASHES[Math.floor(i / 2) % DASHES.length]!,
      spanGaps: false,
      points: { show: line.points.length < 3 },
    };
  });
  const plot = new uPlot(
    {
      ...size(element),
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: zoom !== null, y: false, setScale: false, dist: 6 },
        points: { size: 6 },
        sync: { key: "analytics", setSeries: false },
        bind: { dblclick: () => () => { zoom?.back(); return null; } },
      },
      padding: [10, 16, 0, 0],
      scales: {
        x: { range: [from, to] },
        y: data.unit === "%"
          ? { range: [0, 100] }
          : { range: (_, min, max) => uPlot.rangeNum(Math.min(min, 0), max === min ? min + 1 : max, 0.1, true) },
      },
      axes: [
        { ...axis, space: 70, values: axisTimes },
        { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => metricValue(tick, data.unit)) },
      ],
      series: [{}, ...drawn],
      bands: data.band
        ? [{ series: [data.band[0] + 1, data.band[1] + 1], fill: `color-mix(in srgb, ${token(element, "--line-1")} 20%, transparent)` }]
        : [],
      hooks: {
        setCursor: [(self: uPlot) => { readout.textContent = readAt(self, data); }],
        setSelect: [(self: uPlot) => { if (zoom) selected(self, zoom, data.step); }],
      },
    },
    columns(data),
    element,
  );
  const observer = new ResizeObserver(() => {
    if (element.clientWidth > 0 && size(element).width !== plot.width) plot.setSize(size(element));
  });
  observer.observe(element);
  const leave = byKeys(element, plot, zoom);
  return () => {
    leave();
    observer.disconnect();
    plot.destroy();
  };
}
