// The live console: what devices and server say to each other, as it passes the broker.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Device, get, type Page } from "./api";
import { ConsoleLink, type LinkState, type Message } from "./console-link";
import { Detail, type Line, Lines } from "./console-list";
import { count } from "./format";
import { useLoad } from "./hooks";
import { Empty, Fault, Filter } from "./parts";
import { useQuery } from "./router";

const DEVICES_MAX = 50;
const LINES_MAX = 2000;
const DRAW_MS = 150; // messages that come closer together are drawn together
const RATE_S = 5;
const KINDS = ["#", "telemetry", "event", "status", "result", "command", "stored", "stream/+", "inventory/+", "limit"];

export default function ConsoleView() {
  const [query, setQuery] = useQuery("query");
  const [all, setAll] = useQuery("all");
  const found = useLoad(query, async (signal) =>
    query ? get<Page<Device>>("devices", { query, limit: DEVICES_MAX }, signal) : null,
  );
  const ids = useMemo(() => found.data?.items.map((item) => item.device) ?? [], [found.data]);
  const choose = (text: string) => {
    setAll("");
    setQuery(text);
  };
  return (
    <>
      <div class="heading">
        <h1>Console</h1>
        <p class="muted">Live MQTT messages of the devices you choose. You read along; nothing is sent.</p>
      </div>
      <div class="toolbar">
        <Filter label="Devices, as a query" placeholder="device:kiosk-7, or tag:kiosk status:online" value={query} onChange={choose} />
        {all && <span class="muted" data-testid="chosen">all devices</span>}
        {found.data && ids.length > 0 && (
          <span class="muted" data-testid="chosen">
            {found.data.next ? `the first ${DEVICES_MAX} that match` : ids.length === 1 ? ids[0] : `${ids.length} devices`}
          </span>
        )}
      </div>
      {found.error && <Fault error={found.error} retry={found.reload} />}
      {all ? (
        <ConsolePanel devices={null} />
      ) : ids.length > 0 ? (
        <ConsolePanel devices={ids} />
      ) : (
        <div class="card">
          {query && found.data ? (
            <Empty title="No device matches">
              <button type="button" onClick={() => choose("")}>Choose others</button>
            </Empty>
          ) : (
            <Empty title="Choose devices">
              Type a query above: the first {DEVICES_MAX} devices that match are read along.{" "}
              <button type="button" onClick={() => setAll("1")}>All devices</button>
            </Empty>
          )}
        </div>
      )}
    </>
  );
}

// Lines in a ring of LINES_MAX, and how many messages came in each of the last seconds.
class Log {
  lines: Line[] = [];
  waiting: Line[] = []; // while it is paused, and until the next drawing
  dropped = 0; // of those that wait: more came than are kept
  private next = 1;
  private times: number[] = [];

  add(message: Message): void {
    this.waiting.push({ id: this.next++, message });
    if (this.waiting.length > LINES_MAX) this.dropped += this.waiting.splice(0, this.waiting.length - LINES_MAX).length;
    this.times.push(message.at);
    if (this.times.length > 10 * LINES_MAX) this.times.splice(0, LINES_MAX);
  }

  addGap(cell: number | null): void {
    const to = cell === null ? "" : ` to cell ${cell}`;
    const why = `The connection${to} was lost; what was said until it was back is not here.`;
    this.waiting.push({ id: this.next++, gap: Date.now(), why });
  }

  take(): void {
    if (this.waiting.length === 0) return;
    if (this.dropped > 0) {
      const [oldest] = this.waiting;
      const why = `${count(this.dropped)} messages that came during the pause are not here: the newest ${count(LINES_MAX)} are kept.`;
      this.waiting[0] = { id: oldest!.id, gap: "gap" in oldest! ? oldest.gap : oldest!.message.at, why };
    }
    this.lines = [...this.lines, ...this.waiting].slice(-LINES_MAX);
    this.waiting = [];
    this.dropped = 0;
  }

  rate(): number {
    const since = Date.now() - RATE_S * 1000;
    const first = this.times.findIndex((at) => at >= since);
    this.times = first < 0 ? [] : this.times.slice(first);
    return this.times.length / RATE_S;
  }
}

const NOT_YET: LinkState = { phase: "connecting", error: null, expiresAt: null, cells: 0, open: 0, unreachable: [] };

interface View {
  lines: readonly Line[];
  held: number;
  rate: number;
}

function useMessages(devices: readonly string[] | null, filter: string, paused: boolean) {
  const log = useRef(new Log());
  const hold = useRef(paused);
  hold.current = paused;
  const [view, setView] = useState<View>({ lines: [], held: 0, rate: 0 });
  const [state, setState] = useState<LinkState>(NOT_YET);
  const key = `${devices?.join(" ")} ${filter}`;
  useEffect(() => {
    const link = new ConsoleLink(devices, filter, {
      message: (message) => log.current.add(message),
      gap: (cell) => log.current.addGap(cell),
      state: setState,
    });
    const timer = setInterval(() => {
      if (!hold.current) log.current.take();
      const { lines, waiting, dropped } = log.current;
      const next = { lines, held: waiting.length + dropped, rate: log.current.rate() };
      setView((old) => (old.lines === next.lines && old.held === next.held && old.rate === next.rate ? old : next));
    }, DRAW_MS);
    link.start();
    return () => {
      link.stop();
      clearInterval(timer);
    };
  }, [key]);
  const clear = () => {
    log.current = new Log();
    setView({ lines: [], held: 0, rate: 0 });
  };
  return { ...view, state, clear };
}

const matches = (line: Line, words: string): boolean =>
  "gap" in line || line.message.topic.includes(words) || line.message.text.toLowerCase().includes(words);

// Reads along with one device, with several, or with all (null). Its filter and search stand in the address.
export function ConsolePanel({ device, devices = device ? [device] : null }: {
  device?: string;
  devices?: readonly string[] | null;
}) {
  const [kind, setKind] = useQuery("topic");
  const [search, setSearch] = useQuery("find");
  const [paused, setPaused] = useState(false);
  const [follow, setFollow] = useState(true);
  const [chosen, setChosen] = useState<number | null>(null);
  const filter = KINDS.includes(kind) ? kind : "#";
  const { lines, held, rate, state, clear } = useMessages(devices, filter, paused);
  const words = search.toLowerCase();
  const shown = useMemo(() => (words ? lines.filter((line) => matches(line, words)) : lines), [lines, words]);
  // What is looked at stays, also when so many came that it is in the list no more.
  const kept = useRef<Line | undefined>(undefined);
  if (kept.current?.id !== chosen) kept.current = chosen === null ? undefined : lines.find(({ id }) => id === chosen);
  const line = kept.current;
  return (
    <section class="card console" aria-label="Live messages">
      <div class="bar">
        <Phase state={state} rate={rate} />
        <label class="field">
          <span class="sr">Topic</span>
          <select value={filter} onChange={(event) => setKind(event.currentTarget.value === "#" ? "" : event.currentTarget.value)}>
            {KINDS.map((name) => <option key={name} value={name}>{name === "#" ? "every topic" : name}</option>)}
          </select>
        </label>
        <Filter label="Find in messages" placeholder="Find in messages" value={search} onChange={setSearch} />
        <span class="buttons">
          <button type="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
            {paused ? `Go on${held ? ` (${count(held)})` : ""}` : "Pause"}
          </button>
          <button type="button" aria-pressed={follow} onClick={() => setFollow(!follow)}>Follow</button>
          <button type="button" onClick={() => { clear(); setChosen(null); }}>Clear</button>
          <CopyShell devices={devices} />
        </span>
      </div>
      {state.error && <Fault error={state.error} />}
      {state.unreachable.length > 0 && <Unheard unreachable={state.unreachable} />}
      {shown.length === 0 ? (
        <Quiet open={state.phase === "open"} found={lines.length > 0} />
      ) : (
        <Lines lines={shown} follow={follow && !paused} setFollow={setFollow} chosen={chosen} choose={setChosen} />
      )}
      {line && "message" in line && <Detail key={line.id} message={line.message} close={() => setChosen(null)} />}
    </section>
  );
}

function Unheard({ unreachable }: { unreachable: LinkState["unreachable"] }) {
  const cells = [...new Set(unreachable.map(({ cell }) => cell))];
  return (
    <p class="hint" role="status" data-testid="unheard">
      Not heard: {unreachable.map(({ device }) => device).join(", ")}, in cell {cells.join(" and ")}, whose console has no
      address here. An administrator sets <code>console.cells</code> of muster-dashboard.
    </p>
  );
}

function Quiet({ open, found }: { open: boolean; found: boolean }) {
  if (found) return <Empty title="No message matches">Messages that match appear here as they come.</Empty>;
  if (!open) return <div class="skeleton tall" role="status" aria-label="Connecting" />;
  return <Empty title="Quiet">Nothing has been said yet. A device speaks at least at each of its intervals.</Empty>;
}

function Phase({ state: { phase, expiresAt, cells, open }, rate }: { state: LinkState; rate: number }) {
  const [tone, word] = phase === "open" ? ["on", "Reading"] : phase === "waiting" ? ["off", "Not connected"] : ["", "Connecting"];
  return (
    <span class={`pulse ${tone}`} role="status" data-testid="console-state" title={expiresAt ? `Renewed before ${new Date(expiresAt).toLocaleTimeString()}` : undefined}>
      <span class="dot" aria-hidden="true" />
      {word}
      {phase === "open" && cells > 1 && <span class={open < cells ? "bad" : "muted"} data-testid="cells">{open} of {cells} cells</span>}
      {phase === "open" && <span class="muted" data-testid="rate">{rate.toFixed(1)}/s</span>}
    </span>
  );
}

// Mosquitto's own clients speak no WebSocket; what devices report is in the API's stream, too.
function CopyShell({ devices }: { devices: readonly string[] | null }) {
  const [copied, setCopied] = useState(false);
  const words = devices
    ? `topics=events,devices,outputs&device=${devices.join(",")}`
    : "topics=devices,commands";
  const text =
    `curl -N --cacert .muster/ca/service.crt -H "Authorization: Bearer $(cat .muster/api-token)" ` +
    `'${location.origin}/api/v1/stream?${words}'`;
  return (
    <button
      type="button"
      title={text}
      onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
    >
      {copied ? "Copied" : "Copy for a shell"}
    </button>
  );
}
