// The connection of a live console to the broker: asks the dashboard for a credential, shows it to the broker, and renews it
// in time by a second connection, so that nothing is missed and nothing shown twice.
import type { MqttClient } from "mqtt";
import { ApiError, type Json, post } from "./api";

interface Credential {
  url: string;
  client_id: string;
  username: string;
  password: string;
  expires_at: string;
  topics: string[];
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
  phase: "connecting" | "open" | "waiting"; // waiting: for the next attempt
  error: ApiError | null;
  expiresAt: number | null;
}

export interface LinkHandlers {
  message: (message: Message) => void;
  gap: () => void; // the connection was lost: what was said meanwhile is not shown
  state: (state: LinkState) => void;
}

const RENEW_AT = 0.75; // of a credential's life
const OVERLAP_MS = 1000; // both connections are heard
const RETRY_MS = [1000, 2000, 5000, 10_000, 30_000];
const TEXT_MAX = 65_536; // of one message that is kept

const decoder = new TextDecoder();

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

export class ConsoleLink {
  private client: MqttClient | null = null;
  private former: MqttClient | null = null;
  private twins: Twins | null = null;
  private timer = 0;
  private attempt = 0;
  private ended = false;

  constructor(
    private readonly devices: readonly string[] | null, // null: all
    private readonly filter: string, // below a device's own topic: "#", "telemetry"
    private readonly handlers: LinkHandlers,
  ) {}

  start(): void {
    void this.connect();
  }

  stop(): void {
    this.ended = true;
    clearTimeout(this.timer);
    this.client?.end(true);
    this.former?.end(true);
    this.client = this.former = null;
  }

  private tell(phase: LinkState["phase"], error: ApiError | null = null, expiresAt: number | null = null): void {
    if (!this.ended) this.handlers.state({ phase, error, expiresAt });
  }

  private async connect(): Promise<void> {
    if (this.client) this.twins = new Twins();
    else this.tell("connecting");
    try {
      const body: { [name: string]: Json } = this.devices ? { devices: [...this.devices] } : { all: true };
      const [credential, { default: mqtt }] = await Promise.all([post<Credential>("console", body), import("mqtt")]);
      if (this.ended) return;
      this.open(credential, mqtt.connect(credential.url, {
        clientId: credential.client_id,
        username: credential.username,
        password: credential.password,
        protocolVersion: 4,
        clean: true,
        keepalive: 30,
        connectTimeout: 10_000,
        reconnectPeriod: 0, // a new connection needs a new credential
        timerVariant: "native",
      }));
    } catch (thrown) {
      this.failed(thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown)));
    }
  }

  private filters(credential: Credential): string[] {
    return credential.topics.map((topic) =>
      this.devices ? `${topic.slice(0, -1)}${this.filter}` : `fleet/v1/+/${this.filter}`);
  }

  private open(credential: Credential, client: MqttClient): void {
    const expiresAt = Date.parse(credential.expires_at);
    let fault = "";
    client.on("message", (topic, payload, { qos, retain }) => this.heard(client, topic, payload, qos, retain));
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
      this.failed(new ApiError(0, `The broker ${fault ? `refused: ${fault}` : "ended the connection"}.`));
    });
    client.on("connect", () => {
      client.subscribe(this.filters(credential), { qos: 0 }, (error) => {
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
    this.attempt = 0;
    this.former = former;
    if (former) {
      setTimeout(() => {
        former.end(true);
        if (this.former === former) this.former = this.twins = null;
      }, OVERLAP_MS);
    }
    this.tell("open", null, expiresAt);
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.connect(), Math.max(5000, (expiresAt - Date.now()) * RENEW_AT));
  }

  private heard(from: MqttClient, topic: string, payload: Uint8Array, qos: number, retain: boolean): void {
    if (this.ended) return;
    const text = decoder.decode(payload.length > TEXT_MAX ? payload.subarray(0, TEXT_MAX) : payload);
    // What is retained comes with each new subscription.
    if (retain && this.client && from !== this.client) return;
    if (this.twins && !retain && !this.twins.isNew(from, topic, text)) return;
    this.handlers.message({ at: Date.now(), topic, qos, retain, bytes: payload.length, text });
  }

  private failed(error: ApiError): void {
    if (this.ended) return;
    const wait = RETRY_MS[Math.min(this.attempt++, RETRY_MS.length - 1)]!;
    const lasting = error.status >= 400 && error.status < 500 && error.status !== 429;
    if (!this.client) this.tell("waiting", error);
    clearTimeout(this.timer);
    if (!lasting) this.timer = window.setTimeout(() => void this.connect(), wait * (0.75 + Math.random() / 2));
  }
}
