// The history of commands, and their making.
import type { ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { isCancellable, useActions } from "./actions";
import { type Command, type CommandDetail, get, type Page } from "./api";
import { Chunks } from "./chunks";
import type { ComposeProps, Made } from "./compose";
import { absolute, count, took } from "./format";
import { useLoad, useThrottled } from "./hooks";
import { subscribe } from "./live";
import { Output, Underway } from "./output";
import { usePages } from "./pages";
import { CommandBadge, Empty, ExportLink, Fault, Filter, isOpen, Pairs, Segments, Time } from "./parts";
import { navigate, useQuery } from "./router";
import type { ViewProps } from "./views";

const PAGE = 100;
const states = [
  { value: "", text: "All" },
  { value: "open", text: "On their way" },
  { value: "succeeded", text: "Succeeded" },
  { value: "failed", text: "Failed" },
  { value: "rejected", text: "Rejected" },
  { value: "expired", text: "Expired" },
  { value: "cancelled", text: "Cancelled" },
];
const HOUR_MS = 3600_000;
const spans: [value: string, text: string, ms: number][] = [
  ["", "Any time", 0],
  ["1h", "Last hour", HOUR_MS],
  ["1d", "Last day", 24 * HOUR_MS],
  ["7d", "Last 7 days", 168 * HOUR_MS],
  ["30d", "Last 30 days", 720 * HOUR_MS],
];

interface Filters {
  device: string;
  state: string;
  action: string;
  requested_by: string;
  campaign: string;
  span: string;
}

const fits = (command: Command, { device, state, action, requested_by: by, campaign }: Filters): boolean =>
  (!device || command.device === device) &&
  (!action || command.action === action) &&
  (!by || command.requested_by === by) &&
  (!campaign || String(command.campaign) === campaign) &&
  (!state || (state === "open" ? isOpen(command.state) : command.state === state));

// Newest first, as the server sorts them.
export function mergeCommands<T extends Command>(items: T[], changed: T[]): T[] {
  const known = new Map(items.map((item) => [item.id, item]));
  for (const command of changed) known.set(command.id, { ...known.get(command.id), ...command });
  return [...known.values()].sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
}

// The form is loaded when somebody wants it.
export function ComposeButton({ text, primary, ...props }: { text: string; primary?: boolean } & Omit<ComposeProps, "onDone">) {
  const [Form, setForm] = useState<ComponentType<ComposeProps> | null>(null);
  const [failed, setFailed] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const open = () => {
    setFailed(false);
    import("./compose").then(({ Compose }) => setForm(() => Compose), () => setFailed(true));
  };
  const done = (made: Made) => {
    setForm(null);
    button.current?.focus();
    if (made) navigate("campaign" in made ? `/campaigns/${made.campaign.id}` : `/commands/${made.command.id}`);
  };
  return (
    <>
      {failed && <span class="bad" role="alert">The form could not be loaded: try again, or reload the page.</span>}
      <button ref={button} type="button" class={primary ? "primary" : ""} onClick={open}>{text}</button>
      {Form && <Form {...props} onDone={done} />}
    </>
  );
}

export default function CommandsView({ who: { can_act: canAct } }: ViewProps) {
  const [device, setDevice] = useQuery("device");
  const [state, setState] = useQuery("state");
  const [action, setAction] = useQuery("action");
  const [by, setBy] = useQuery("by");
  const [campaign, setCampaign] = useQuery("campaign");
  const [span, setSpan] = useQuery("span");
  const filters: Filters = { device, state, action, requested_by: by, campaign, span };
  const key = JSON.stringify(filters);
  const list = usePages<Command>(key, (after, signal) => {
    const ms = spans.find(([value]) => value === span)?.[2] ?? 0;
    const from = ms > 0 ? Date.now() - ms : null;
    return get<Page<Command>>("commands", { device, state, action, requested_by: by, campaign, from, after, limit: PAGE }, signal);
  });
  const refresh = useThrottled(list.reload, 2000);
  useEffect(
    () =>
      subscribe({
        refresh,
        commands: (changed) =>
          list.change((items) => mergeCommands(items, changed).filter((command) => fits(command, filters))),
      }, device ? [device] : null),
    [key],
  );
  const filtered = [device, state, action, by, campaign, span].some(Boolean);
  return (
    <>
      <div class="heading">
        <h1>Commands</h1>
        <p class="muted">Each is signed for one device, numbered, and ends in exactly one state.</p>
        {canAct && <div class="end"><ComposeButton text="New command…" primary /></div>}
      </div>
      <div class="toolbar">
        <Filter label="Only this device" placeholder="Device id" value={device} onChange={setDevice} />
        <Segments label="State" value={state} options={states} onChange={setState} />
      </div>
      <div class="toolbar">
        <ActionSelect value={action} onChange={setAction} />
        <label class="named">
          <span>By</span>
          <input value={by} placeholder="anybody" onChange={(event) => setBy(event.currentTarget.value.trim())} autocomplete="off" />
        </label>
        <label class="named">
          <span>Campaign</span>
          <input value={campaign} placeholder="any" inputMode="numeric" size={6} autocomplete="off"
            onChange={(event) => setCampaign(event.currentTarget.value.replace(/\D/g, ""))} />
        </label>
        <label class="named">
          <span>Requested</span>
          <select value={span} onChange={(event) => setSpan(event.currentTarget.value)}>
            {spans.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
          </select>
        </label>
        <ExportLink kind="commands" device={device} />
        {filtered && <button type="button" class="plain" onClick={() => navigate("/commands", true)}>Clear filters</button>}
      </div>
      {list.error && list.error.status !== 503 && <Fault error={list.error} retry={list.reload} />}
      {!list.items ? (
        !list.error && <div class="card skeleton tall" role="status" aria-label="Loading" />
      ) : list.items.length === 0 ? (
        <div class="card"><Nothing filtered={filtered} canAct={canAct} /></div>
      ) : (
        <>
          <CommandTable items={list.items} withDevice canAct={canAct} />
          <p class="foot">
            <span>{count(list.items.length)} shown</span>
            {list.next && <button type="button" onClick={list.more} disabled={list.loading}>Show {PAGE} more</button>}
          </p>
        </>
      )}
    </>
  );
}

function Nothing({ filtered, canAct }: { filtered: boolean; canAct: boolean }) {
  if (filtered)
    return (
      <Empty title="No command matches">
        <button type="button" onClick={() => navigate("/commands", true)}>Show all commands</button>
      </Empty>
    );
  return (
    <Empty title="No commands yet">
      {canAct ? "Make one with “New command”, or use " : "They are sent by operators, also with "}
      <code>muster command send DEVICE ping --wait</code>.
    </Empty>
  );
}

function ActionSelect({ value, onChange }: { value: string; onChange: (action: string) => void }) {
  const actions = useActions(true);
  return (
    <label class="named">
      <span>Action</span>
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        <option value="">Any</option>
        {value && !actions.some((one) => one.action === value) && <option value={value}>{value}</option>}
        {actions.map((one) => <option key={one.action} value={one.action}>{one.action}</option>)}
      </select>
    </label>
  );
}

export function CommandTable({ items, withDevice, canAct, reveal = "" }: {
  items: Command[];
  withDevice: boolean;
  canAct: boolean;
  reveal?: string; // a command to open, from when it changes on
}) {
  const [open, setOpen] = useState(reveal);
  const actions = useActions(canAct && items.some((command) => isOpen(command.state)));
  useEffect(() => setOpen(reveal), [reveal]);
  return (
    <div class="card table-wrap">
      <table class="commands" data-testid="commands">
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col">Action</th>
            {withDevice && <th scope="col">Device</th>}
            <th scope="col">Requested</th>
            <th scope="col">By</th>
            <th scope="col">Took</th>
            <th scope="col">Result</th>
          </tr>
        </thead>
        <Chunks items={items} columns={withDevice ? 7 : 6} row={(command) => (
          <CommandRow
            key={command.id}
            command={command}
            withDevice={withDevice}
            mayCancel={canAct && isCancellable(command, actions)}
            open={open === command.id}
            toggle={() => setOpen(open === command.id ? "" : command.id)}
          />
        )} />
      </table>
    </div>
  );
}

function CommandRow({ command, withDevice, mayCancel, open, toggle }: {
  command: Command;
  withDevice: boolean;
  mayCancel: boolean;
  open: boolean;
  toggle: () => void;
}) {
  const underway = isOpen(command.state);
  return (
    <>
      <tr data-command={command.id} class={open ? "open" : ""}>
        <td class="state"><CommandBadge state={command.state} /></td>
        <td class="action">
          <button type="button" class="reveal" aria-expanded={open} onClick={toggle}>{command.action}</button>
        </td>
        {withDevice && (
          <td class="device">
            <a href={`/devices/${encodeURIComponent(command.device)}`}>{command.device}</a>
          </td>
        )}
        <td class="at"><Time at={command.created_at} /></td>
        <td class="by">{command.requested_by}</td>
        <td class="took">
          {command.finished_at ? took(command.created_at, command.finished_at) : <span class="muted">–</span>}
        </td>
        <td class={`result ${underway || command.reason || command.result ? "" : "blank"}`}>
          {underway ? <Underway command={command} mayCancel={mayCancel} /> : command.reason || <Pairs value={command.result} />}
        </td>
      </tr>
      {open && (
        <tr class="detail">
          <td colSpan={withDevice ? 7 : 6}><History command={command} /></td>
        </tr>
      )}
    </>
  );
}

function History({ command }: { command: Command }) {
  const detail = useLoad(`${command.id} ${command.state}`, (signal) =>
    get<CommandDetail>(`commands/${command.id}`, {}, signal),
  );
  if (detail.error) return <Fault error={detail.error} retry={detail.reload} />;
  if (!detail.data) return <p class="muted">Loading…</p>;
  const { events } = detail.data;
  return (
    <div class="history">
      <ol>
        <li>
          <span class="muted">{absolute(command.created_at)}</span> <b>requested</b> by {command.requested_by} ({command.source})
        </li>
        {events.filter((event) => event.state !== "requested").map((event) => (
          <li key={event.at + event.state}>
            <span class="muted">+{took(command.created_at, event.at)}</span> <b>{event.state}</b> by {event.cause}
          </li>
        ))}
      </ol>
      <dl class="facts">
        <Fact name="Command"><a href={`/commands/${command.id}`}><code>{command.id}</code></a></Fact>
        <Fact name="Parameters"><Pairs value={command.params} /></Fact>
        <Fact name="Counter">{command.n ?? "not numbered yet"}</Fact>
        <Fact name="Published">{command.attempts === 1 ? "once" : `${command.attempts} times`}</Fact>
        {command.held && command.next_at && <Fact name="Held until">{absolute(command.next_at)}</Fact>}
        <Fact name="Valid until">{absolute(command.expires_at)}</Fact>
        <Fact name="Request id">{command.request_id || "–"}</Fact>
      </dl>
      {command.sent_at && <Output command={command} />}
    </div>
  );
}

export function Fact({ name, children }: { name: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
