// The connections of a live console, one to the broker of each cell: asks the dashboard for credentials, shows them to the
// brokers, and renews each in time by a second connection, so that nothing is missed and nothing shown twice.
import type { MqttClient } from "mqtt";
import { ApiError, type Json, post } from "./api";

interface Connection {
  cell: number;
  url: string;
  client_id: string;
  username: string;
  password: string;
  topics: string[];
}

interface Credentials {
  expires_at: string;
  connections: Connection[];
  unreachable: Unreachable[];
}

// A device in a cell whose console has no address.
export interface Unreachable {
  device: string;
  cell: number;
}

export interface Message {
  at: number; // Date.now() when it came
  topic: string;
  qos: number;
  retain: boolean;
  bytes: number;
  text: string;
}

export interface LinkState {
  phase: "connecting" | "open" | "waiting"; // of the best cell; waiting: for the next attempt
  error: ApiError | null; // of any cell
  expiresAt: number | null;
  cells: number;
  open: number; // of these
  unreachable: readonly Unreachable[];
}

export interface LinkHandlers {
  message: (message: Message) => void;
  gap: (cell: number | null) => void; // the connection was lost: what was said meanwhile is not shown; null: there is but one
  state: (state: LinkState) => void;
}

const RENEW_AT = 0.75; // of a credential's life
const OVERLAP_MS = 1000; // both connections are heard
const RETRY_MS = [1000, 2000, 5000, 10_000];
const TEXT_MAX = 65_536; // of one message that is kept

const decoder = new TextDecoder();

// devices: null for all, of one cell where it is given.
const ask = (devices: readonly string[] | null, cell?: number): Promise<Credentials> => {
  const body: { [name: string]: Json } = devices ? { devices: [...devices] } : cell ? { all: true, cell } : { all: true };
  return post<Credentials>("console", body);
};

// The next attempt after one that failed, or the renewal of one that did not.
class Attempts {
  private timer = 0;
  private failures = 0;

  after(ms: number, then: () => void): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(then, ms);
  }

  // What will not change by itself is not tried again.
  failed(error: ApiError, then: () => void): void {
    const wait = RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]!;
    const lasting = error.status >= 400 && error.status < 500 && error.status !== 429;
    clearTimeout(this.timer);
    if (!lasting) this.after(wait * (0.75 + Math.random() / 2), then);
  }

  succeeded(): void {
    this.failures = 0;
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}

// Which of two connections has brought how many of the same message: each is shown once.
class Twins {
  private readonly seen = new Map<string, { counts: Map<MqttClient, number>; shown: number }>();

  isNew(from: MqttClient, topic: string, text: string): boolean {
    const key = `${topic}\n${text}`;
    const entry = this.seen.get(key) ?? { counts: new Map<MqttClient, number>(), shown: 0 };
    const count = (entry.counts.get(from) ?? 0) + 1;
    entry.counts.set(from, count);
    this.seen.set(key, entry);
    if (count <= entry.shown) return false;
    entry.shown = count;
    return true;
  }
}

interface CellHandlers {
  message: (message: Message) => void;
  gap: () => void;
  changed: () => void; // phase, error or expiresAt
  moved: () => void; // its devices are elsewhere now
}

class CellLink {
  phase: LinkState["phase"] = "connecting";
  error: ApiError | null = null;
  expiresAt: number | null = null;
  private client: MqttClient | null = null;
  private former: MqttClient | null = null;
  private twins: Twins | null = null;
  private readonly attempts = new Attempts();
  private ended = false;

  constructor(
    readonly cell: number,
    private readonly devices: readonly string[] | null, // null: all of the cell
    private readonly filter: string, // below a device's own topic: "#", "telemetry"
    private readonly handlers: CellHandlers,
  ) {}

  stop(): void {
    this.ended = true;
    this.attempts.stop();
    this.client?.end(true);
    this.former?.end(true);
    this.client = this.former = null;
  }

  private tell(phase: LinkState["phase"], error: ApiError | null = null, expiresAt: number | null = null): void {
    if (this.ended) return;
    Object.assign(this, { phase, error, expiresAt });
    this.handlers.changed();
  }

  private async renew(): Promise<void> {
    if (!this.client) this.tell("connecting");
    try {
      const { expires_at, connections } = await ask(this.devices, this.cell);
      if (this.ended) return;
      const [connection] = connections;
      if (connections.length === 1 && connection!.cell === this.cell) await this.open(connection!, Date.parse(expires_at));
      else this.handlers.moved();
    } catch (thrown) {
      this.failed(thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown)));
    }
  }

  private filters(connection: Connection): string[] {
    return connection.topics.map((topic) =>
      this.devices ? `${topic.slice(0, -1)}${this.filter}` : `fleet/v1/+/${this.filter}`);
  }

  async open(connection: Connection, expiresAt: number): Promise<void> {
    const { default: mqtt } = await import("mqtt");
    if (this.ended) return;
    const renewal = this.client !== null;
    this.twins = renewal ? new Twins() : null;
    const client = mqtt.connect(connection.url, {
      clientId: connection.client_id,
      username: connection.username,
      password: connection.password,
      protocolVersion: 4,
      clean: true,
      keepalive: 30,
      connectTimeout: 10_000,
      reconnectPeriod: 0, // a new connection needs a new credential
      timerVariant: "native",
    });
    let fault = "";
    client.on("message", (topic, payload, { qos, retain }) => {
      // What is retained comes with each new subscription, and is news with the first alone.
      if (!retain || !renewal) this.heard(client, topic, payload, qos, retain);
    });
    client.on("error", (error) => {
      fault = error.message;
    });
    client.on("close", () => {
      if (client === this.former || this.ended) return;
      // A new one that did not come up leaves the one that is there.
      if (client === this.client) {
        this.client = null;
        this.handlers.gap();
      }
      this.failed(new ApiError(0, `The broker of cell ${this.cell} ${fault ? `refused: ${fault}` : "ended the connection"}.`));
    });
    client.on("connect", () => {
      client.subscribe(this.filters(connection), { qos: 0 }, (error) => {
        if (error) fault = error.message;
        if (error || this.ended) client.end(true);
        else this.take(client, expiresAt);
      });
    });
  }

  // The new connection hears everything from now on; the one before is heard a moment longer.
  private take(client: MqttClient, expiresAt: number): void {
    const former = this.client;
    this.client = client;
    this.attempts.succeeded();
    this.former = former;
    if (former) {
      setTimeout(() => {
        former.end(true);
        if (this.former === former) this.former = this.twins = null;
      }, OVERLAP_MS);
    }
    this.tell("open", null, expiresAt);
    this.attempts.after(Math.max(5000, (expiresAt - Date.now()) * RENEW_AT), () => void this.renew());
  }

  private heard(from: MqttClient, topic: string, payload: Uint8Array, qos: number, retain: boolean): void {
    if (this.ended) return;
    const text = decoder.decode(payload.length > TEXT_MAX ? payload.subarray(0, TEXT_MAX) : payload);
    if (this.twins && !retain && !this.twins.isNew(from, topic, text)) return;
    this.handlers.message({ at: Date.now(), topic, qos, retain, bytes: payload.length, text });
  }

  private failed(error: ApiError): void {
    if (this.ended) return;
    if (!this.client) this.tell("waiting", error);
    this.attempts.failed(error, () => void this.renew());
  }
}

export class ConsoleLink {
  private links: CellLink[] = [];
  private unreachable: readonly Unreachable[] = [];
  private readonly attempts = new Attempts();
  private ended = false;

  constructor(
    private readonly devices: readonly string[] | null, // null: all
    private readonly filter: string,
    private readonly handlers: LinkHandlers,
  ) {}

  start(): void {
    void this.connect();
  }

  stop(): void {
    this.ended = true;
    this.attempts.stop();
    this.end();
  }

  private end(): void {
    for (const link of this.links) link.stop();
    this.links = [];
  }

  private async connect(): Promise<void> {
    this.tell("connecting", null);
    try {
      const { expires_at, connections, unreachable } = await ask(this.devices);
      if (this.ended) return;
      this.attempts.succeeded();
      this.unreachable = unreachable;
      this.links = connections.map((connection) => this.link(connection, connections.length > 1));
      await Promise.all(this.links.map((link, i) => link.open(connections[i]!, Date.parse(expires_at))));
    } catch (thrown) {
      this.end();
      const error = thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown));
      this.tell("waiting", error);
      if (!this.ended) this.attempts.failed(error, () => void this.connect());
    }
  }

  private link({ cell, topics }: Connection, several: boolean): CellLink {
    return new CellLink(cell, this.devices && topics.map((topic) => topic.split("/")[2]!), this.filter, {
      message: this.handlers.message,
      gap: () => this.handlers.gap(several ? cell : null),
      changed: () => this.sum(),
      moved: () => {
        this.end();
        this.handlers.gap(null);
        void this.connect();
      },
    });
  }

  private tell(phase: LinkState["phase"], error: ApiError | null, expiresAt: number | null = null, open = 0): void {
    const { links, unreachable } = this;
    if (!this.ended) this.handlers.state({ phase, error, expiresAt, cells: links.length, open, unreachable });
  }

  private sum(): void {
    const open = this.links.filter(({ phase }) => phase === "open");
    const phase = open.length > 0 ? "open" : this.links.some((link) => link.phase === "waiting") ? "waiting" : "connecting";
    const ends = open.map(({ expiresAt }) => expiresAt!);
    const error = this.links.find((link) => link.error)?.error ?? null;
    this.tell(phase, error, open.length > 0 ? Math.min(...ends) : null, open.length);
  }
}
