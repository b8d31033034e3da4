// The form for any command, made from the table of actions: for one device, or for many as a campaign.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { loadActions } from "./actions";
import { type Action, ApiError, type Campaign, type Command, type DeviceDetail, type Json, type Preview, post } from "./api";
import { Blast, usePreview } from "./blast";
import { ActionField, Field, ParamField } from "./fields";
import { PlanFields, TargetField, TimeFields } from "./plan";
import { Fault } from "./parts";
import { asCampaignCli, asCli, asCurl, asMqtt, type Body, bodyOf, campaignOf, type Draft, type Faults, platformOf, type Plan, usualPlan } from "./request";
import { FromShell, type Lines } from "./shell";
import { devicesOf, type Target } from "./targets";

// What came of it: the command, or the campaign. null: nothing, it was closed.
export type Made = { command: Command } | { campaign: Campaign } | null;

export interface ComposeProps {
  // Whom it is for: these devices, or those that match the query. Without either the form asks.
  targets?: { devices?: string[]; query?: string };
  repeat?: { action: string; params: { [name: string]: Json } }; // what the form begins with
  onDone: (made: Made) => void;
}

// Opens at once; loads the table of actions itself.
export function Compose({ targets, repeat, onDone }: ComposeProps) {
  const [actions, setActions] = useState<Action[] | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const load = () => {
    setFault(null);
    loadActions().then(setActions, setFault);
  };
  useEffect(load, []);
  return (
    <Frame title="New command" close={() => onDone(null)}>
      {fault && <Fault error={fault} retry={load} />}
      {actions && <Form actions={actions} given={givenTarget(targets)} repeat={repeat} close={() => onDone(null)} done={onDone} />}
    </Frame>
  );
}

export interface ComposerProps {
  device: DeviceDetail;
  actions: Action[];
  close: () => void;
  sent: (command: Command) => void;
}

// For the page of a device, which knows its platform and its window.
export function Composer({ device, actions, close, sent }: ComposerProps) {
  const platform = platformOf(device.inventory.hardware?.body);
  return (
    <Frame title={`Command for ${device.device}`} close={close}>
      <Form
        actions={actions.filter((one) => !platform || one.platforms.includes(platform))}
        given={{ kind: "devices", text: device.device }}
        device={device}
        close={close}
        done={(made) => made && "command" in made && sent(made.command)}
      />
    </Frame>
  );
}

function Frame({ title, close, children }: { title: string; close: () => void; children: preact.ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="compose" aria-labelledby="compose-title" onClose={close}>
      <h2 id="compose-title">{title}</h2>
      {children}
    </dialog>
  );
}

function givenTarget(targets: ComposeProps["targets"]): Target | null {
  if (targets?.devices) return { kind: "devices", text: targets.devices.join("\n") };
  if (targets?.query === undefined) return null;
  return targets.query.trim() ? { kind: "query", text: targets.query } : { kind: "all", text: "" };
}

interface FormProps {
  actions: Action[];
  given: Target | null; // null: the form asks
  device?: DeviceDetail;
  repeat?: ComposeProps["repeat"];
  close: () => void;
  done: (made: Made) => void;
}

function textsOf(params: { [name: string]: Json }): { [name: string]: string } {
  const text = (value: Json): string =>
    typeof value === "string" ? value : Array.isArray(value) ? value.join("\n") : JSON.stringify(value);
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, text(value)]));
}

function useDraft({ actions, repeat }: FormProps) {
  const known = actions.find((one) => one.action === repeat?.action);
  return useState<Draft>({
    action: known ?? actions[0]!,
    texts: known && repeat ? textsOf(repeat.params) : {},
    when: "now",
    at: "",
    ttl: "",
    confirm: "",
  });
}

// Sends what the form says. The same command, sent again, bears the same key and is one command.
function useSending(done: (made: Made) => void) {
  const [fault, setFault] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const last = useRef({ text: "", key: "" });
  const send = async (single: boolean, body: Body) => {
    const text = JSON.stringify(body);
    if (last.current.text !== text) last.current = { text, key: crypto.randomUUID() };
    setBusy(true);
    setFault(null);
    try {
      if (single) done({ command: await post<Command>("commands", body, last.current.key) });
      else done({ campaign: await post<Campaign>("campaigns", body) });
    } catch (thrown) {
      setFault(advised(thrown as ApiError, single));
      setBusy(false);
    }
  };
  return { fault, busy, send, forget: () => setFault(null) };
}

function advised(error: ApiError, single: boolean): ApiError {
  if (error.status !== 0 && error.status !== 503) return error;
  const advice = single
    ? "Send it again: if it did arrive, it is not taken twice."
    : "Look at the list of campaigns before you send it again: it may have arrived.";
  return new ApiError(error.status, `${error.message} ${advice}`);
}

// What has to be typed before something destructive goes out: the device, or for how many devices it is.
function wordFor(single: boolean, device: string, preview: Preview | null): string {
  if (single) return device;
  return preview ? String(preview.devices) : "";
}

function Form(props: FormProps) {
  const { actions, given, device, close } = props;
  const [draft, setDraft] = useDraft(props);
  const [target, setTarget] = useState<Target>(given ?? { kind: "tag", text: "" });
  const [plan, setPlan] = useState<Plan>(usualPlan);
  const [tries, setTries] = useState(0);
  const { fault, busy, send, forget } = useSending(props.done);
  const form = useRef<HTMLFormElement>(null);
  const devices = target.kind === "devices" ? devicesOf(target.text) : [];
  const single = devices.length === 1;
  const { body, faults } = single ? bodyOf(devices[0]!, draft) : campaignOf(target, draft, plan);
  const preview = usePreview(single ? null : body, faults);
  const valid = Object.keys(faults).length === 0;
  const word = wordFor(single, devices[0] ?? "", preview.data);
  const missing: Faults =
    draft.action.destructive && (!word || draft.confirm.trim() !== word) ? { confirm: `Type ${word || "the number"} here.` } : {};
  const shown: Faults = tries > 0 ? { ...faults, ...missing } : {};
  const nobody = !single && preview.data?.devices === 0;
  const change = (part: Partial<Draft>) => {
    forget();
    setDraft({ ...draft, ...part });
  };
  const submit = (event: Event) => {
    event.preventDefault();
    setTries(tries + 1);
    if (!valid || missing.confirm || nobody) return;
    void send(single, single ? body : { ...body, ...(preview.data ? { expect: preview.data.devices } : {}), start: true });
  };
  // The keyboard goes to what has to be mended.
  useLayoutEffect(() => {
    if (tries > 0) form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [tries]);
  return (
    <form ref={form} noValidate onSubmit={submit}>
      {!given && <TargetField target={target} fault={shown.target} change={(next) => {
        forget();
        setTarget(next);
      }} />}
      {!single && <Blast preview={preview} />}
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
      <TimeFields device={device ?? null} draft={draft} fault={shown.at} change={change} />
      {!single && <PlanFields plan={plan} placeholder={String(body.name)} faults={shown} change={(part) => setPlan({ ...plan, ...part })} />}
      {draft.action.destructive && (
        <Field
          name="confirm"
          label={single ? `Type ${word} to confirm` : `Type the number of devices${word ? `, ${word},` : ""} to confirm`}
          hint="It may cost work or data."
          fault={shown.confirm}
        >
          {(rest) => (
            <input {...rest} value={draft.confirm} onInput={(event) => change({ confirm: event.currentTarget.value })}
              autocomplete="off" autocapitalize="none" spellcheck={false} />
          )}
        </Field>
      )}
      <details>
        <summary>The same from a shell</summary>
        {valid ? <FromShell lines={linesOf(single, body, preview.data?.devices ?? null)} /> : <p class="muted">Fill in the form, and it stands here.</p>}
      </details>
      <footer>
        {fault && <Fault error={fault} />}
        <div class="buttons">
          <button type="button" onClick={close}>Cancel</button>
          <button type="submit" class={draft.action.destructive ? "primary danger" : "primary"} disabled={busy || nobody}>
            {single ? `Send ${draft.action.action}` : `Start ${draft.action.action}${preview.data ? ` on ${preview.data.devices}` : ""}`}
          </button>
        </div>
      </footer>
    </form>
  );
}

function linesOf(single: boolean, body: Body, devices: number | null): Lines {
  return single
    ? { cli: asCli(body), curl: asCurl("commands", body, location.origin), mqtt: asMqtt(body, location.hostname) }
    : { cli: asCampaignCli(body, devices), curl: asCurl("campaigns", { ...body, start: true }, location.origin) };
}
