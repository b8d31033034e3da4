// The form for any command, made from the table of actions.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Action, ApiError, type Command, type DeviceDetail, type ParamSchema, post } from "./api";
import { Fault, Segments, Short } from "./parts";
import { asCli, asMqtt, bodyOf, type Draft, type Faults, platformOf, type When, windowText } from "./request";

const LIMITS = [
  ["", "the default"],
  ["5m", "5 minutes"],
  ["1h", "1 hour"],
  ["1d", "1 day"],
  ["7d", "7 days"],
  ["30d", "30 days"],
];
const LONG_BYTES = 255; // a text that may be longer gets more than one line
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

export interface ComposerProps {
  device: DeviceDetail;
  actions: Action[];
  close: () => void;
  sent: (command: Command) => void;
}

export function Composer(props: ComposerProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="compose" aria-labelledby="compose-title" onClose={props.close}>
      <h2 id="compose-title">Command for {props.device.device}</h2>
      <Form {...props} />
    </dialog>
  );
}

// The request as it stands, and its sending. The same request, sent again, bears the same key and is one command.
function useRequest({ device, sent }: ComposerProps, draft: Draft) {
  const [fault, setFault] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const last = useRef({ text: "", key: "" });
  const { body, faults } = bodyOf(device.device, draft);
  const send = async () => {
    const text = JSON.stringify(body);
    if (last.current.text !== text) last.current = { text, key: crypto.randomUUID() };
    setBusy(true);
    setFault(null);
    try {
      sent(await post<Command>("commands", body, last.current.key));
    } catch (thrown) {
      setFault(advised(thrown as ApiError));
      setBusy(false);
    }
  };
  return { body, faults, fault, busy, send, forget: () => setFault(null) };
}

function advised(error: ApiError): ApiError {
  if (error.status !== 0 && error.status !== 503) return error;
  return new ApiError(error.status, `${error.message} Send it again: if it did arrive, it is not taken twice.`);
}

function Form(props: ComposerProps) {
  const { device, close } = props;
  const platform = platformOf(device.inventory.hardware?.body);
  const actions = props.actions.filter((one) => !platform || one.platforms.includes(platform));
  const [draft, setDraft] = useState<Draft>({ action: actions[0]!, texts: {}, when: "now", at: "", ttl: "", confirm: "" });
  const [tries, setTries] = useState(0);
  const form = useRef<HTMLFormElement>(null);
  const { body, faults, fault, busy, send, forget } = useRequest(props, draft);
  const valid = Object.keys(faults).length === 0;
  const missing: Faults =
    draft.action.destructive && draft.confirm.trim() !== device.device ? { confirm: `Type ${device.device} here.` } : {};
  const shown: Faults = tries > 0 ? { ...faults, ...missing } : {};
  const change = (part: Partial<Draft>) => {
    forget();
    setDraft({ ...draft, ...part });
  };
  const submit = (event: Event) => {
    event.preventDefault();
    setTries(tries + 1);
    if (valid && !missing.confirm) void send();
  };
  // The keyboard goes to what has to be mended.
  useLayoutEffect(() => {
    if (tries > 0) form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [tries]);
  return (
    <form ref={form} noValidate onSubmit={submit}>
      <ActionField actions={actions} action={draft.action} choose={(action) => {
        setTries(0);
        change({ action, texts: {}, confirm: "" });
      }} />
      {Object.entries(draft.action.params.properties).map(([name, schema]) => (
        <ParamField
          key={`${draft.action.action} ${name}`}
          name={name}
          schema={schema}
          required={draft.action.params.required.includes(name)}
          value={draft.texts[name] ?? ""}
          fault={shown[name]}
          onChange={(text) => change({ texts: { ...draft.texts, [name]: text } })}
        />
      ))}
      <TimeFields device={device} draft={draft} fault={shown.at} change={change} />
      {draft.action.destructive && (
        <Field name="confirm" label={`Type ${device.device} to confirm`} hint="It may cost work or data." fault={shown.confirm}>
          {(rest) => (
            <input {...rest} value={draft.confirm} onInput={(event) => change({ confirm: event.currentTarget.value })}
              autocomplete="off" autocapitalize="none" spellcheck={false} />
          )}
        </Field>
      )}
      <details>
        <summary>The same from a shell</summary>
        {valid ? <Shell body={body} ttl={draft.ttl} /> : <p class="muted">Fill in the form, and it stands here.</p>}
      </details>
      <footer>
        {fault && <Fault error={fault} />}
        <div class="buttons">
          <button type="button" onClick={close}>Cancel</button>
          <button type="submit" class={draft.action.destructive ? "primary danger" : "primary"} disabled={busy}>
            Send {draft.action.action}
          </button>
        </div>
      </footer>
    </form>
  );
}

function Shell({ body, ttl }: { body: Parameters<typeof asCli>[0]; ttl: string }) {
  return (
    <>
      <p data-testid="as-cli"><Short text={asCli(body, ttl)} what="command line" whole /></p>
      <p data-testid="as-mqtt"><Short text={asMqtt(body, location.hostname)} what="line for mosquitto_pub" whole /></p>
      <p class="hint">
        NAME is an operator's; <code>muster operator add NAME</code> makes one and says at which host and port.
      </p>
    </>
  );
}

// ---- fields ----

interface Rest {
  id: string;
  "aria-describedby": string;
  "aria-invalid": boolean;
}

// A label, the control, what it is for, and what is wrong with it.
function Field({ name, label, hint, fault, children }: {
  name: string;
  label: ComponentChildren;
  hint: string;
  fault: string | undefined;
  children: (rest: Rest) => ComponentChildren;
}) {
  const id = `compose-${name}`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": `${id}-hint`, "aria-invalid": fault !== undefined })}
      <p id={`${id}-hint`} class="hint">
        {hint}
        {fault && <strong class="bad"> {fault}</strong>}
      </p>
    </div>
  );
}

function ActionField({ actions, action, choose }: { actions: Action[]; action: Action; choose: (action: Action) => void }) {
  const group = (label: string, destructive: boolean) => (
    <optgroup label={label}>
      {actions.filter((one) => one.destructive === destructive).map((one) => (
        <option key={one.action} value={one.action}>{one.action}</option>
      ))}
    </optgroup>
  );
  const only = action.platforms.length === 1 ? ` (${action.platforms[0] === "linux" ? "Linux" : "Android"} only)` : "";
  return (
    <Field name="action" label="Action" hint={`${sentence(action.description)}${only}.`} fault={undefined}>
      {(rest) => (
        <select {...rest} value={action.action} onChange={(event) => {
          const name = event.currentTarget.value;
          choose(actions.find((one) => one.action === name)!);
        }}>
          {group("Harmless", false)}
          {group("May cost work or data", true)}
        </select>
      )}
    </Field>
  );
}

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}`;

const ranges: Record<ParamSchema["type"], (schema: ParamSchema) => string> = {
  integer: ({ minimum, maximum }) => ` (${minimum} to ${maximum})`,
  string: ({ maxLength, enum: choices }) => (choices ? "" : ` (up to ${maxLength} bytes)`),
  boolean: () => "",
  array: ({ maxItems }) => ` (one a line, up to ${maxItems})`,
  object: () => " (JSON)",
};

function ParamField({ name, schema, required, value, fault, onChange }: {
  name: string;
  schema: ParamSchema;
  required: boolean;
  value: string;
  fault: string | undefined;
  onChange: (text: string) => void;
}) {
  const typed = (event: { currentTarget: { value: string } }) => onChange(event.currentTarget.value);
  const choices = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  const long = schema.type === "array" || schema.type === "object" || (schema.maxLength ?? 0) > LONG_BYTES;
  const code = schema.type !== "string";
  return (
    <Field
      name={name}
      label={<>{name}{!required && <span class="muted"> optional</span>}</>}
      hint={`${sentence(schema.description)}${ranges[schema.type](schema)}.`}
      fault={fault}
    >
      {(rest) =>
        choices ? (
          <select {...rest} value={value} onChange={typed}>
            <option value="">{required ? "Choose…" : "Left out"}</option>
            {choices.map((choice) => <option key={choice} value={choice}>{choice}</option>)}
          </select>
        ) : long ? (
          <textarea {...rest} class={code ? "code" : ""} rows={3} value={value} onInput={typed} spellcheck={!code} />
        ) : (
          <input {...rest} value={value} onInput={typed} autocomplete="off" autocapitalize="none" spellcheck={false}
            inputMode={schema.type === "integer" ? "numeric" : "text"} />
        )
      }
    </Field>
  );
}

function TimeFields({ device, draft, fault, change }: {
  device: DeviceDetail;
  draft: Draft;
  fault: string | undefined;
  change: (part: Partial<Draft>) => void;
}) {
  const window = device.maintenance_window;
  const options: { value: When; text: string }[] = [{ value: "now", text: "Now" }, { value: "at", text: "At a time" }];
  if (window) options.push({ value: "window", text: "In its window" });
  return (
    <>
      <div class="field">
        <span class="label" aria-hidden="true">When</span>
        <Segments label="When" value={draft.when} options={options} onChange={(when) => change({ when })} />
        {draft.when === "window" && window && <p class="hint">Its maintenance window: {windowText(window)} ({device.time_zone}).</p>}
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
