// The blast radius of what is about to be sent: how many devices, who of them is away, and when it will be done.
import { useEffect, useState } from "preact/hooks";
import { ApiError, type Preview, post } from "./api";
import { count, duration } from "./format";
import { Icon, Time } from "./parts";
import type { Body, Faults } from "./request";

const PAUSE_MS = 350; // after the last key

export interface Previewed {
  data: Preview | null;
  error: ApiError | null;
  loading: boolean;
}

// Asks for the blast radius of a campaign as it is typed; null: of nothing. What is wrong elsewhere in the form does not
// hinder it: then a ping to the same devices is looked at.
export function usePreview(body: Body | null, faults: Faults): Previewed {
  const [state, setState] = useState<Previewed>({ data: null, error: null, loading: false });
  const valid = Object.keys(faults).length === 0;
  const asked = body?.target ? JSON.stringify(valid ? body : { action: "ping", target: body.target }) : "";
  useEffect(() => {
    let over = false;
    setState((old) => ({ data: asked ? old.data : null, error: null, loading: asked !== "" }));
    if (!asked) return;
    const timer = window.setTimeout(() => {
      post<Preview>("campaigns/preview", JSON.parse(asked) as Body).then(
        (data) => over || setState({ data, error: null, loading: false }),
        (error: ApiError) => over || setState({ data: null, error, loading: false }),
      );
    }, PAUSE_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [asked]);
  return state;
}

export function Blast({ preview: { data, error, loading } }: { preview: Previewed }) {
  const away = data ? data.offline + data.never : 0;
  return (
    <div class={`blast ${data?.devices === 0 ? "none" : ""}`} role="status" aria-busy={loading} data-testid="blast">
      {error ? (
        <p class="bad"><Icon name="alert" /> {error.message}</p>
      ) : !data ? (
        <p class="muted">{loading ? "Counting devices…" : "Say whom it is for, and how many these are stands here."}</p>
      ) : data.devices === 0 ? (
        <p><strong>No device</strong> matches: nothing would be sent.</p>
      ) : (
        <>
          <p>
            <strong>{count(data.devices)} {data.devices === 1 ? "device" : "devices"}</strong>
            {away > 0 && <>, {count(away)} of them away ({Math.round(data.offline_pct)} %)</>}
            {data.left_out !== undefined && data.left_out > 0 && <>; {count(data.left_out)} named are unknown or revoked</>}
          </p>
          <p class="muted">
            {data.sample.join(", ")}{data.devices > data.sample.length && ` and ${count(data.devices - data.sample.length)} more`}
          </p>
          <p class="muted">
            {data.release_s >= 1 ? `Sent within ${duration(data.release_s)}. ` : "Sent at once. "}
            {away > 0 && <>Those that are away have until <Time at={data.latest_finish} />.</>}
          </p>
        </>
      )}
    </div>
  );
}
