// Whom, when and how: the parts of the form that are not the action's own.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type DeviceDetail, get, type Group, type Named, type Page, type TagCount } from "./api";
import { Field } from "./fields";
import { Segments } from "./parts";
import { type Draft, type Faults, type Plan, type When, windowText } from "./request";
import { kinds, type Target, type TargetKind } from "./targets";

const LIMITS = [
  ["", "the default"],
  ["5m", "5 minutes"],
  ["1h", "1 hour"],
  ["1d", "1 day"],
  ["7d", "7 days"],
  ["30d", "30 days"],
];
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

// ---- whom ----

const hints: Record<TargetKind, string> = {
  devices: "Ids, separated by blanks, commas or lines.",
  tag: "All devices that bear it.",
  group: "All of its devices.",
  filter: "What it finds now.",
  query: "Such as status:online tag:kiosk battery>20 os:android.",
  all: "Every device that may come in.",
};

// What there is to choose from; nothing for what is typed.
function useChoices(kind: TargetKind): string[] {
  const [choices, setChoices] = useState<string[]>([]);
  useEffect(() => {
    setChoices([]);
    const asks: Partial<Record<TargetKind, () => Promise<string[]>>> = {
      tag: () => get<{ items: TagCount[] }>("tags").then(({ items }) => items.map(({ tag }) => tag)),
      group: () => get<Page<Group>>("groups", { limit: 500 }).then(({ items }) => items.map(({ name }) => name)),
      filter: () => get<Page<Named>>("filters", { limit: 500 }).then(({ items }) => items.map(({ name }) => name)),
    };
    asks[kind]?.().then(setChoices, () => {}); // it can be typed all the same
  }, [kind]);
  return choices;
}

export function TargetField({ target, fault, change }: {
  target: Target;
  fault: string | undefined;
  change: (target: Target) => void;
}) {
  const choices = useChoices(target.kind);
  const typed = (event: { currentTarget: { value: string } }) => change({ ...target, text: event.currentTarget.value });
  return (
    <>
      <div class="field">
        <span class="label" aria-hidden="true">For</span>
        <Segments label="For" value={target.kind} options={kinds} onChange={(kind) => change({ kind, text: "" })} />
      </div>
      {target.kind === "all" ? (
        <p class="hint">{hints.all}</p>
      ) : (
        <Field name="target" label={kinds.find(({ value }) => value === target.kind)!.text} hint={hints[target.kind]} fault={fault}>
          {(rest) =>
            target.kind === "devices" ? (
              <textarea {...rest} class="code" rows={3} value={target.text} onInput={typed} spellcheck={false} />
            ) : (
              <>
                <input {...rest} value={target.text} onInput={typed} list="compose-choices" autocomplete="off" autocapitalize="none"
                  spellcheck={false} />
                <datalist id="compose-choices">{choices.map((choice) => <option key={choice} value={choice} />)}</datalist>
              </>
            )
          }
        </Field>
      )}
    </>
  );
}

// ---- when ----

// device null: it is for several, or one that is not known closer.
export function TimeFields({ device, draft, fault, change }: {
  device: DeviceDetail | null;
  draft: Draft;
  fault: string | undefined;
  change: (part: Partial<Draft>) => void;
}) {
  const window = device?.maintenance_window;
  const options: { value: When; text: string }[] = [{ value: "now", text: "Now" }, { value: "at", text: "At a time" }];
  if (window || !device) options.push({ value: "window", text: device ? "In its window" : "In maintenance windows" });
  return (
    <>
      <div class="field">
        <span class="label" aria-hidden="true">When</span>
        <Segments label="When" value={draft.when} options={options} onChange={(when) => change({ when })} />
        {draft.when === "window" && (
          <p class="hint">
            {device && window
              ? `Its maintenance window: ${windowText(window)} (${device.time_zone}).`
              : "Each device in its own; one without a window refuses it."}
          </p>
        )}
      </div>
      {draft.when === "at" && (
        <Field name="at" label="Not before" hint={`In your time zone, ${zone}.`} fault={fault}>
          {(rest) => (
            <input {...rest} type="datetime-local" value={draft.at} onInput={(event) => change({ at: event.currentTarget.value })} />
          )}
        </Field>
      )}
      <Field name="ttl" label="Time limit" hint="From when it may begin until the device must have begun; after that it expires." fault={undefined}>
        {(rest) => (
          <select {...rest} value={draft.ttl} onChange={(event) => change({ ttl: event.currentTarget.value })}>
            {LIMITS.map(([value, text]) => (
              <option key={value} value={value}>
                {value ? text : draft.when === "window" ? "8 days (default)" : "1 day (default)"}
              </option>
            ))}
          </select>
        )}
      </Field>
    </>
  );
}

// ---- how ----

const numbers: { field: "canary" | "success" | "rate" | "factor" | "errors"; label: string; hint: string }[] = [
  { field: "canary", label: "Canaries", hint: "So many devices first; 0 or empty: none." },
  { field: "success", label: "Of these must succeed, %", hint: "Otherwise it pauses." },
  { field: "rate", label: "Devices a minute", hint: "Behind the canaries; empty: all at once." },
  { field: "factor", label: "Growth of that each minute", hint: "1 to 10 times; 1: steady." },
  { field: "errors", label: "Errors allowed, %", hint: "Of those that ended; above, it pauses." },
];

export function PlanFields({ plan, placeholder, faults, change }: {
  plan: Plan;
  placeholder: string;
  faults: Faults;
  change: (part: Partial<Plan>) => void;
}) {
  const wrong = numbers.some(({ field }) => faults[field]);
  const details = useRef<HTMLDetailsElement>(null);
  // What has to be mended is in sight; nothing closes it but the person.
  useLayoutEffect(() => {
    if (wrong && details.current) details.current.open = true;
  }, [wrong]);
  return (
    <>
      <Field name="name" label="Name" hint="What people will know the campaign by." fault={faults.name}>
        {(rest) => (
          <input {...rest} value={plan.name} placeholder={placeholder} autocomplete="off"
            onInput={(event) => change({ name: event.currentTarget.value })} />
        )}
      </Field>
      <details ref={details} data-testid="rollout">
        <summary>Rollout: {rolloutText(plan)}</summary>
        <div class="rollout">
          {numbers.map(({ field, label, hint }) => (
            <Field key={field} name={field} label={label} hint={hint} fault={faults[field]}>
              {(rest) => (
                <input {...rest} value={plan[field]} inputMode="decimal" autocomplete="off"
                  onInput={(event) => change({ [field]: event.currentTarget.value })} />
              )}
            </Field>
          ))}
          <label class="check">
            <input type="checkbox" checked={plan.continuous} onChange={(event) => change({ continuous: event.currentTarget.checked })} />
            Continuous: also devices that match later, until it is aborted
          </label>
          <p class="hint">
            Where the server asks for a second person above a size, the campaign waits until somebody else approves it.
          </p>
        </div>
      </details>
    </>
  );
}

function rolloutText({ canary, rate, factor, errors, continuous }: Plan): string {
  const parts = [Number(canary) > 0 ? `${canary} canaries` : "", Number(rate) > 0 ? `${rate} a minute` : "all at once"];
  if (Number(rate) > 0 && Number(factor) > 1) parts.push(`growing ×${factor}`);
  parts.push(`pauses above ${errors || 10} % errors`);
  if (continuous) parts.push("continuous");
  return parts.filter(Boolean).join(", ");
}
