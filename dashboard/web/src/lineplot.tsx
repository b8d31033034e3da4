// The place of a chart of lines, its names and what is under the cursor. What draws it is loaded when one is shown.
import { useEffect, useRef, useState } from "preact/hooks";
import { metricValue } from "./format";
import type { LinesData } from "./lines";

function summary({ lines, unit }: LinesData): string {
  return lines
    .map((line) => {
      const last = line.points[line.points.length - 1];
      return `${line.name}: ${last ? `last ${metricValue(last[1], unit)}` : "no values"}`;
    })
    .join("; ");
}

export function LinePlot({ data, testid }: { data: LinesData; testid: string }) {
  const place = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const [dark, setDark] = useState(0);
  useEffect(() => {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const update = () => setDark((n) => n + 1);
    scheme.addEventListener("change", update);
    return () => scheme.removeEventListener("change", update);
  }, []);
  useEffect(() => {
    let end: (() => void) | null = null;
    let gone = false;
    void import("./lines").then(({ drawLines }) => {
      if (!gone && place.current && readout.current) end = drawLines(place.current, readout.current, data);
    });
    return () => {
      gone = true;
      end?.();
    };
  }, [data, dark]);
  const shown = data.lines.map((line, i) => ({ line, i })).filter(({ i }) => !data.band?.includes(i));
  return (
    <>
      <div class="plot" ref={place} role="img" aria-label={summary(data)} data-testid={testid} />
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
    </>
  );
}
