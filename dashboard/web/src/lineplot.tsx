// The place of a chart of lines, its names and what is under the cursor. What draws it is loaded when one is shown.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Zoom } from "./chart";
import { metricValue } from "./format";
import type { LinesData } from "./lines";
import { lasting } from "./live";
import { useTheme } from "./theme";

function summary({ lines, unit }: LinesData): string {
  return lines
    .map((line) => {
      const last = line.points[line.points.length - 1];
      return `${line.name}: ${last ? `last ${metricValue(last[1], unit)}` : "no values"}`;
    })
    .join("; ");
}

export function LinePlot({ data, testid, zoom }: { data: LinesData; testid: string; zoom?: Zoom }) {
  const place = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const handlers = useRef(zoom);
  const drawn = useRef<(() => void) | null>(null); // takes the plot away
  const theme = useTheme();
  handlers.current = zoom;
  useEffect(() => () => drawn.current?.(), []);
  useEffect(() => {
    let gone = false; // what was drawn before stays, with its keys, until this is drawn
    void lasting(() => import("./lines")).then(({ drawLines }) => {
      if (gone || !place.current || !readout.current) return;
      const by: Zoom = { to: (from, to) => handlers.current?.to(from, to), back: () => handlers.current?.back() };
      drawn.current?.();
      drawn.current = drawLines(place.current, readout.current, data, handlers.current ? by : null);
    });
    return () => {
      gone = true;
    };
  }, [data, theme]);
  const shown = data.lines.map((line, i) => ({ line, i })).filter(({ i }) => !data.band?.includes(i));
  return (
    <>
      <div class="plot" ref={place} role="img" tabIndex={0} aria-label={summary(data)} data-testid={testid} />
      <p class="readout" aria-hidden="true">
        <span ref={readout} />
        <span class="legend">
          {shown.map(({ line, i }) => (
            <span key={line.name}>
              <i class={`swatch line-${(i % 8) + 1}${line.quiet ? " dashed" : ""}`} />
              {line.name}
            </span>
          ))}
        </span>
      </p>
      <ValueTable unit={data.unit} names={data.lines.map((line) => line.name)} rows={() => rowsOf(data)} />
    </>
  );
}

function rowsOf({ lines }: LinesData): [number, (number | undefined)[]][] {
  const known = lines.map((line) => new Map(line.points));
  const times = [...new Set(lines.flatMap((line) => line.points.map((point) => point[0])))].sort((a, b) => a - b);
  return times.map((time) => [time, known.map((values) => values.get(time))]);
}

const ROWS_MAX = 100;

// The same for those who do not see the drawing; made when it is asked for.
export function ValueTable({ unit, names, rows, caption }: {
  unit: string;
  names: string[];
  rows: () => [number, (number | undefined)[]][];
  caption?: string;
}) {
  const [open, setOpen] = useState(false);
  const all = open ? rows() : [];
  const shown = all.slice(-ROWS_MAX).reverse();
  return (
    <details class="values" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table{caption && <span class="sr"> of {caption}</span>}</summary>
      {open && (
        <div class="table-wrap" tabIndex={0} role="region" aria-label={`Values${caption ? ` of ${caption}` : ""}`}>
          <table>
            {all.length > shown.length && <caption>The newest {ROWS_MAX} of {all.length}; an export has all.</caption>}
            <thead>
              <tr>
                <th scope="col">Time</th>
                {names.map((name) => <th key={name} scope="col" class="number">{name}</th>)}
              </tr>
            </thead>
            <tbody>
              {shown.map(([at, values]) => (
                <tr key={at}>
                  <th scope="row">{new Date(at).toLocaleString("en-GB")}</th>
                  {values.map((value, i) => <td key={names[i]} class="number">{value === undefined ? "–" : metricValue(value, unit)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
