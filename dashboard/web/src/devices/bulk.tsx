// What is done to the devices that are selected: each act first shows how many it is for, and asks for the number to be
// typed where it cannot simply be taken back. Larger ones go on as jobs of the server, which are watched here.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, del, get, type Json, type Page, post } from "../api";
import { count, duration } from "../format";
import { Fault, Icon } from "../parts";
import type { Target } from "./selection";

export type Verb = "tag" | "add-to-group" | "remove-from-group" | "revoke" | "restore";

interface Preview {
  devices: number;
  online: number;
  offline: number;
  never: number;
  revoked: number;
  takes_s: number;
  sample: string[];
}

interface Job {
  id: number;
  state: "running" | "finished" | "cancelled" | "failed";
  reason: string;
  total: number;
  done: number;
  changed: number;
}

type Params = { [name: string]: Json };

interface Act {
  title: string;
  button: string;
  typed: boolean; // the number, before it is done
  done: (changed: number) => string;
  explains: string;
}

const devices = (number: number): string => `${count(number)} ${number === 1 ? "device" : "devices"}`;

const acts: Record<Verb, Act> = {
  tag: {
    title: "Change tags", button: "Change tags", typed: false, done: (n) => `The tags of ${devices(n)} have changed.`,
    explains: "Filters, groups and continuous campaigns that name these tags see the change at once.",
  },
  "add-to-group": {
    title: "Add to a group", button: "Add", typed: false, done: (n) => `${devices(n)} added.`,
    explains: "Continuous campaigns for this group take the devices, too.",
  },
  "remove-from-group": {
    title: "Take out of a group", button: "Take out", typed: false, done: (n) => `${devices(n)} taken out.`,
    explains: "What was sent to them through the group goes on; continuous campaigns for it send them nothing more.",
  },
  revoke: {
    title: "Revoke", button: "Revoke", typed: true, done: (n) => `${devices(n)} revoked.`,
    explains: "Their sessions are cut within a second and the broker refuses them until an administrator restores them.",
  },
  restore: {
    title: "Restore", button: "Restore", typed: true, done: (n) => `${devices(n)} restored.`,
    explains: "Credentials that were revoked with them hold again, and they may connect.",
  },
};

export interface BulkProps {
  verb: Verb;
  target: Target;
  close: (changed: boolean) => void;
}

export function BulkDialog({ verb, target, close }: BulkProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [job, setJob] = useState<Job | null>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="bulk" aria-labelledby="bulk-title" onClose={() => close(job !== null)} data-testid="bulk">
      <h2 id="bulk-title">{acts[verb].title}</h2>
      {job ? <Progress act={acts[verb]} first={job} /> : <Form verb={verb} target={target} started={setJob} close={() => dialog.current?.close()} />}
      {job && (
        <div class="buttons">
          <button type="button" class="primary" onClick={() => dialog.current?.close()}>Close</button>
        </div>
      )}
    </dialog>
  );
}

const words = (text: string): string[] => [...new Set(text.split(",").map((word) => word.trim()).filter(Boolean))];

function Form({ verb, target, started, close }: { verb: Verb; target: Target; started: (job: Job) => void; close: () => void }) {
  const act = acts[verb];
  const [params, setParams] = useState<Params | null>(verb === "revoke" || verb === "restore" ? {} : null);
  const { preview, fault: unseen } = usePreview(verb, target, params);
  const [typed, setTyped] = useState("");
  const [fault, setFault] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const key = useRef(crypto.randomUUID());
  const meant = !act.typed || (preview !== null && typed.replace(/[\s,.]/g, "") === String(preview.devices));
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!params || !preview || !meant) return;
    setBusy(true);
    setFault(null);
    try {
      started(await post<Job>("devices/bulk", { verb, params, target, expect: preview.devices }, key.current));
    } catch (thrown) {
      const error = thrown as ApiError;
      if (error.status !== 0 && error.status !== 503) key.current = crypto.randomUUID();
      setFault(error);
      setBusy(false);
    }
  };
  return (
    <form onSubmit={submit}>
      {verb === "tag" && <TagFields change={setParams} />}
      {(verb === "add-to-group" || verb === "remove-from-group") && <GroupField change={setParams} />}
      {act.typed && (
        <div class="field">
          <label for="bulk-reason">Why <span class="muted">optional</span></label>
          <input id="bulk-reason" maxLength={200} autocomplete="off" onInput={(event) => {
            const reason = event.currentTarget.value.trim();
            setParams(reason ? { reason } : {});
          }} />
        </div>
      )}
      <Radius preview={preview} fault={unseen} act={act} />
      {act.typed && preview !== null && preview.devices > 0 && (
        <div class="field">
          <label for="bulk-typed">Type {preview.devices} to confirm</label>
          <input id="bulk-typed" inputMode="numeric" autocomplete="off" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        </div>
      )}
      {fault && <Fault error={fault} />}
      <div class="buttons">
        <button type="button" onClick={close}>Cancel</button>
        <button type="submit" class={verb === "revoke" ? "primary danger" : "primary"} disabled={busy || !params || !preview?.devices || !meant}>
          {act.button}{preview ? ` ${devices(preview.devices)}` : ""}
        </button>
      </div>
    </form>
  );
}

// How many it is for does not depend on what is written into the form.
function usePreview(verb: Verb, target: Target, params: Params | null) {
  const [preview, setPreview] = useState<Preview | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const asked = params !== null;
  useEffect(() => {
    if (!asked) return;
    let over = false;
    post<Preview>("devices/bulk/preview", { verb, params, target }).then(
      (found) => over || setPreview(found),
      (error: ApiError) => over || setFault(error),
    );
    return () => {
      over = true;
    };
  }, [asked]);
  return { preview, fault };
}

function Radius({ preview, fault, act }: { preview: Preview | null; fault: ApiError | null; act: Act }) {
  if (fault) return <Fault error={fault} />;
  return (
    <div class="blast" role="status" aria-busy={!preview} data-testid="radius">
      {!preview ? (
        <p class="muted">How many devices it is for stands here.</p>
      ) : (
        <>
          <p>
            <strong>{devices(preview.devices)}</strong>: {count(preview.online)} online, {count(preview.offline)} offline, {count(preview.never)} never
            seen{preview.revoked > 0 && <>; {count(preview.revoked)} of them revoked</>}.
          </p>
          <p class="muted">
            {preview.sample.join(", ")}{preview.devices > preview.sample.length && ` and ${count(preview.devices - preview.sample.length)} more`}
          </p>
          <p class="muted">
            {act.explains} {preview.takes_s < 1 ? "Done at once." : `Done in about ${duration(Math.ceil(preview.takes_s))}.`}
          </p>
        </>
      )}
    </div>
  );
}

function TagFields({ change }: { change: (params: Params | null) => void }) {
  const [texts, setTexts] = useState({ add: "", remove: "" });
  const field = (name: "add" | "remove", label: string): ComponentChildren => (
    <div class="field">
      <label for={`bulk-${name}`}>{label}</label>
      <input id={`bulk-${name}`} placeholder="front-desk, kiosk" autocomplete="off" autocapitalize="none" value={texts[name]} onInput={(event) => {
        const next = { ...texts, [name]: event.currentTarget.value };
        const [add, remove] = [words(next.add), words(next.remove)];
        setTexts(next);
        change(add.length + remove.length > 0 ? { add, remove } : null);
      }} />
    </div>
  );
  return <>{field("add", "Add")}{field("remove", "Remove")}</>;
}

function GroupField({ change }: { change: (params: Params | null) => void }) {
  const [names, setNames] = useState<string[] | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  useEffect(() => {
    get<Page<{ name: string; query: string | null }>>("groups", { limit: 500 }).then(
      ({ items }) => setNames(items.filter(({ query }) => query === null).map(({ name }) => name)),
      setFault,
    );
  }, []);
  if (fault) return <Fault error={fault} />;
  if (names?.length === 0)
    return <p>There is no group whose members are listed yet. <a href="/groups">Make one</a>, then add devices to it here.</p>;
  return (
    <div class="field">
      <label for="bulk-group">Group</label>
      <select id="bulk-group" onChange={(event) => change(event.currentTarget.value ? { group: event.currentTarget.value } : null)}>
        <option value="">Choose…</option>
        {names?.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
      <p class="hint">Only groups whose members are listed; those with a query have whatever matches it.</p>
    </div>
  );
}

const POLL_MS = 500;

function Progress({ act, first }: { act: Act; first: Job }) {
  const [job, setJob] = useState(first);
  const [fault, setFault] = useState<ApiError | null>(null);
  useEffect(() => {
    if (job.state !== "running") return;
    const timer = setTimeout(() => {
      get<Job>(`bulk/${job.id}`).then((next) => { setFault(null); setJob(next); }, (error: ApiError) => { setFault(error); setJob({ ...job }); });
    }, POLL_MS);
    return () => clearTimeout(timer);
  }, [job]);
  const stop = () => void del(`bulk/${job.id}`).then(() => get<Job>(`bulk/${job.id}`)).then(setJob, setFault);
  const percent = job.total > 0 ? Math.min(100, Math.round((100 * job.done) / job.total)) : 100;
  return (
    <div class="progress" role="status" data-testid="bulk-progress" data-state={job.state}>
      {fault && <Fault error={fault} />}
      {job.state === "running" && (
        <>
          <progress max={100} value={percent} aria-label="How far it is" />
          <p>
            {count(job.done)} of {devices(job.total)}. It goes on when this page is closed.
            <button type="button" class="plain" onClick={stop}>Stop here</button>
          </p>
        </>
      )}
      {job.state === "finished" && <p class="good"><Icon name="online" /> {act.done(job.changed)}{job.changed < job.done && ` ${devices(job.done - job.changed)} had it so already.`}</p>}
      {job.state === "cancelled" && <p><Icon name="cancelled" /> Stopped {job.reason}: {act.done(job.changed)} What was done stays.</p>}
      {job.state === "failed" && <p class="bad"><Icon name="alert" /> It ended after {devices(job.done)}: {job.reason}. What was done stays; do it again for the rest.</p>}
    </div>
  );
}
