import { useEffect, useState } from "preact/hooks";
import { isCancellable, useActions } from "./actions";
import { type Command, type CommandDetail, get, type Page } from "./api";
import { absolute, count, took } from "./format";
import { useLoad, useThrottled } from "./hooks";
import { subscribe } from "./live";
import { Output, Underway } from "./output";
import { CommandBadge, Empty, Fault, Filter, isOpen, Pairs, Segments, Time } from "./parts";
import { useQuery } from "./router";
import type { ViewProps } from "./views";

const PAGE = 50;
const states = [
  { value: "", text: "All" },
  { value: "open", text: "On their way" },
  { value: "succeeded", text: "Succeeded" },
  { value: "failed", text: "Failed" },
  { value: "rejected", text: "Rejected" },
  { value: "expired", text: "Expired" },
  { value: "cancelled", text: "Cancelled" },
];

const fits = (command: Command, device: string, state: string): boolean =>
  (!device || command.device === device) &&
  (!state || (state === "open" ? isOpen(command.state) : command.state === state));

// Newest first, as the server sorts them.
export function mergeCommands<T extends Command>(items: T[], changed: T[]): T[] {
  const known = new Map(items.map((item) => [item.id, item]));
  for (const command of changed) known.set(command.id, { ...known.get(command.id), ...command });
  return [...known.values()].sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
}

export default function CommandsView({ who: { can_act: canAct } }: ViewProps) {
  const [device, setDevice] = useQuery("device");
  const [state, setState] = useQuery("state");
  const [shown, setShown] = useState(PAGE);
  const key = `${device} ${state}`;
  const list = useLoad(`${key} ${shown}`, (signal) =>
    get<Page<Command>>("commands", { device, state, limit: Math.min(shown, 500) }, signal),
  );
  const refresh = useThrottled(list.reload, 2000);
  useEffect(() => setShown(PAGE), [key]);
  useEffect(
    () =>
      subscribe({
        refresh,
        commands: (changed) =>
          list.change((data) => ({
            ...data,
            items: mergeCommands(data.items, changed).filter((command) => fits(command, device, state)),
          })),
      }),
    [key],
  );
  const items = list.data?.items;
  return (
    <>
      <div class="heading">
        <h1>Commands</h1>
        <p class="muted">Each is signed for one device, numbered, and ends in exactly one state.</p>
      </div>
      <div class="toolbar">
        <Filter label="Only this device" placeholder="Device id" value={device} onChange={setDevice} />
        <Segments label="State" value={state} options={states} onChange={setState} />
      </div>
      {list.error && list.error.status !== 503 && <Fault error={list.error} retry={list.reload} />}
      {!items ? (
        !list.error && <div class="card skeleton tall" />
      ) : items.length === 0 ? (
        <div class="card">
          {device || state ? (
            <Empty title="No command matches">
              <button type="button" onClick={() => { setDevice(""); setState(""); }}>Show all commands</button>
            </Empty>
          ) : (
            <Empty title="No commands yet">
              Open a <a href="/devices">device</a> and send it a ping, or use <code>muster command send DEVICE ping --wait</code>.
            </Empty>
          )}
        </div>
      ) : (
        <>
          <CommandTable items={items} withDevice canAct={canAct} />
          <p class="foot">
            <span>{count(items.length)} shown</span>
            {list.data?.next && shown < 500 && (
              <button type="button" onClick={() => setShown(shown + PAGE)} disabled={list.loading}>
                Show {PAGE} more
              </button>
            )}
          </p>
        </>
      )}
    </>
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
        <tbody>
          {items.map((command) => (
            <CommandRow
              key={command.id}
              command={command}
              withDevice={withDevice}
              mayCancel={canAct && isCancellable(command, actions)}
              open={open === command.id}
              toggle={() => setOpen(open === command.id ? "" : command.id)}
            />
          ))}
        </tbody>
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
        <Fact name="Command"><code>{command.id}</code></Fact>
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
