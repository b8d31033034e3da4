// How fast a campaign goes: what was sent and what ended, a minute, as bars.
import { useEffect } from "preact/hooks";
import { type Campaign, get } from "./api";
import { isGoing } from "./campaign-parts";
import { absolute, count } from "./format";
import { useLoad } from "./hooks";

type Point = [at: number, released: number, succeeded: number, errors: number, others: number];

interface Pace {
  step_s: number;
  points: Point[];
}

const EVERY_MS = 5000;
const HEIGHT = 120;
const WIDTH = 600; // of the drawing; it is stretched

const ended = (point: Point): number => point[2] + point[3] + point[4];

export function PaceChart({ campaign }: { campaign: Campaign }) {
  const pace = useLoad(String(campaign.id), (signal) => get<Pace>(`campaigns/${campaign.id}/pace`, {}, signal));
  useEffect(() => {
    if (!isGoing(campaign.state)) {
      pace.reload();
      return;
    }
    const timer = setInterval(() => document.hidden || pace.reload(), EVERY_MS);
    return () => clearInterval(timer);
  }, [campaign.state]);
  const { step_s: step, points } = pace.data ?? { step_s: 10, points: [] };
  if (points.length === 0) return <p class="muted inside">Nothing was sent yet.</p>;
  const first = points[0]![0];
  const slots = Math.max(12, Math.round((points.at(-1)![0] - first) / 1000 / step) + 1);
  const most = Math.max(...points.map((point) => Math.max(point[1], ended(point))));
  const width = WIDTH / slots;
  const high = (value: number) => (value / most) * (HEIGHT - 4);
  const minute = (value: number) => count(Math.round((value * 60) / step));
  return (
    <figure class="pace" data-testid="pace">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img"
        aria-label={`Peak ${minute(most)} devices a minute; ${points.length} steps of ${step} seconds`}>
        {points.map((point) => {
          const x = (Math.round((point[0] - first) / 1000 / step)) * width;
          const bars: [kind: string, value: number][] = [["succeeded", point[2]], ["failed", point[3]], ["expired", point[4]]];
          let below = 0;
          return (
            <g key={point[0]}>
              <title>{`${absolute(new Date(point[0]).toISOString())}: ${minute(point[1])} sent, ${minute(ended(point))} ended a minute`}</title>
              <rect class="released" x={x} y={HEIGHT - high(point[1])} width={width * 0.42} height={high(point[1])} />
              {bars.map(([kind, value]) => {
                const y = HEIGHT - high(below + value);
                below += value;
                return value > 0 && <rect key={kind} class={kind} x={x + width * 0.44} y={y} width={width * 0.42} height={high(value)} />;
              })}
            </g>
          );
        })}
      </svg>
      <figcaption class="muted">
        <span><span class="state-key released" aria-hidden="true" /> sent</span>
        <span><span class="state-key succeeded" aria-hidden="true" /> succeeded</span>
        <span><span class="state-key failed" aria-hidden="true" /> failed</span>
        <span>peak {minute(most)} a minute</span>
      </figcaption>
    </figure>
  );
}
