// The HTTP API: types as docs and C define them, and one way to call it.

export type Status = "online" | "stale" | "offline" | "never";
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface Latest {
  ts?: string;
  battery_pct?: number;
  charging?: boolean;
  cpu_pct?: number;
  load1?: number;
  mem_total?: number;
  mem_available?: number;
  disk_total?: number;
  disk_free?: number;
  uptime_s?: number;
  network_type?: string;
  rssi_dbm?: number;
  temperature_c?: number;
  custom?: { [name: string]: Json };
}

export interface Device {
  device: string;
  display_name: string | null;
  tags: string[];
  enabled: boolean;
  disabled: { at: string | null; by: string; reason: string } | null; // null: enabled
  status: Status;
  presence: "online" | "offline" | "never";
  why: string;
  evidence: string | null;
  session: number | null;
  since: string | null;
  first_seen: string | null;
  last_seen: string | null;
  stale_at: string | null;
  interval_s: number | null;
  agent_version: string | null;
  changed_at: string | null;
  latest: Latest;
}

export interface Gap {
  from: number;
  to: number;
  state: "open" | "closed" | "dropped" | "lost";
  opened_at: string;
  closed_at: string | null;
}

export interface LedgerRow {
  epoch: string;
  contiguous: number;
  highest: number;
  missing: number;
  stored: number;
  received: number;
  duplicates: number;
  late: number;
  dropped: number;
  lost: number;
  first_seq: number;
  gaps: Gap[];
  first_at: string;
  last_at: string;
}

// The latest change of who may come in; an effect is a broker that has it on its disk and has cut the session.
export interface Revocation {
  revoked: boolean;
  reason: string;
  requested_by: string;
  requested_at: string;
  effects: { cell: number; applied_at: string; seconds: number }[];
}

export interface DeviceDetail extends Device {
  revocation: Revocation | null;
  fingerprint: string | null;
  mismatches: number;
  mismatch_at: string | null;
  mismatch_fingerprint: string | null;
  mismatch_peer: string | null; // from which address; null: not known
  // the newest first
  mismatch_history: { count: number; at: string; bound: string | null; said: string | null; peer: string | null }[];
  notes: string;
  groups: string[]; // whose members are listed
  enrolled_at: string | null;
  command_policy: "one" | "burst";
  time_zone: string;
  maintenance_window: { days: number[]; from: string; to: string } | null; // days: 1 is Monday
  cell: number;
  reports_in: number | null;
  created_at: string;
  certificate: {
    serial: string;
    sha256: string;
    not_before: string;
    not_after: string;
    revoked_at: string | null;
  } | null;
  ledger: LedgerRow[];
  inventory: { [kind: string]: { ts: string; received_at: string; body: Json } };
}

// Of one report that replaced another of its kind; "rest": after is how many more there were.
export interface InventoryChange {
  id: number;
  at: string;
  kind: string;
  name: string;
  change: "added" | "removed" | "changed" | "rest";
  before: Json;
  after: Json;
}

export interface AuditRow {
  position: number | null;
  id: number;
  at: string;
  actor: string;
  action: string;
  target: string;
  peer: string;
  request_id: string;
  detail: { [name: string]: Json };
  hash: string | null;
}

export type CommandState =
  | "requested"
  | "queued"
  | "sent"
  | "accepted"
  | "running"
  | "succeeded"
  | "failed"
  | "rejected"
  | "expired"
  | "cancelled";

export interface Command {
  id: string;
  device: string;
  action: string;
  params: { [name: string]: Json };
  state: CommandState;
  n: number | null;
  requested_by: string;
  source: string;
  request_id: string;
  created_at: string;
  expires_at: string;
  sent_at: string | null;
  attempts: number;
  finished_at: string | null;
  changed_at: string;
  reason: string;
  result: Json;
  progress: number | null; // percent
  held: boolean; // until next_at
  next_at: string | null;
  cancel_requested_at: string | null;
  cancels: string | null; // the command that this one, made by the server, is to end
  campaign: number | null;
  not_before: string | null;
  in_window: boolean;
}

// What the device answered, and whether that was by its key.
export interface CommandResult {
  state: string;
  received_at: string;
  verdict: "unsigned" | "unchecked" | "verified" | "refused";
  certificate: string | null; // serial
  signed: string | null; // the text that the signature is of
  sig: string | null;
  body: { [name: string]: Json };
}

export interface CommandDetail extends Command {
  events: { state: string; at: string; cause: string; request_id: string }[];
  jws: string | null;
  results: CommandResult[];
  wakes: { started_at: string; ended_at: string | null; fcm_status: string; latency_ms: number | null }[];
}

export type CampaignState = "draft" | "pending" | "running" | "paused" | "aborting" | "aborted" | "finished";

export interface Rollout {
  canary: number;
  success_pct: number;
  error_pct: number;
  rate_per_min: number;
  factor: number;
}

export interface Campaign {
  id: number;
  name: string;
  action: string;
  params: { [name: string]: Json };
  ttl_s: number;
  at: string | null;
  in_window: boolean;
  query: string | null; // null: listed devices
  listed: number | null;
  continuous: boolean;
  rollout: Rollout;
  state: CampaignState;
  stage: "canary" | "rollout";
  reason: string;
  created_by: string;
  created_at: string;
  approved_by: string | null;
  approved_at: string | null;
  started_at: string | null;
  finished_at: string | null;
  changed_at: string;
  request_id: string;
  progress: {
    total: number;
    swept: boolean;
    waiting: number;
    released: number;
    open: number;
    succeeded: number;
    failed: number;
    rejected: number;
    expired: number;
    cancelled: number;
  };
}

export interface CampaignTarget {
  device: string;
  state: CommandState | "waiting";
  command: string | null;
  reason: string;
  added_at: string;
  changed_at: string | null;
}

// Whom a campaign would be for.
export interface Preview {
  action: string;
  destructive: boolean;
  devices: number;
  online: number;
  offline: number;
  never: number;
  offline_pct: number;
  left_out?: number;
  release_s: number;
  expected_finish: string;
  latest_finish: string;
  sample: string[];
}

export interface Group {
  name: string;
  description: string;
  query: string | null; // null: its members are listed
  created_by: string;
  created_at: string;
  changed_at: string;
  listed: number | null;
}

export interface GroupDetail extends Group {
  devices: number;
  campaigns: { id: number; name: string; state: CampaignState }[];
}

export interface Named {
  name: string;
}

export interface TagCount {
  tag: string;
  devices: number;
}

export interface Chunk {
  n: number;
  data: string;
  end: boolean;
  cut: boolean;
}

// What a parameter may be: the part of JSON Schema that the table of actions uses. Lengths count bytes.
export interface ParamSchema {
  type: "integer" | "string" | "boolean" | "array" | "object";
  description: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  minProperties?: number;
  maxProperties?: number;
  pattern?: string;
  enum?: string[];
  items?: { maxLength: number };
}

export type Platform = "linux" | "android";

export interface Action {
  action: string;
  description: string;
  destructive: boolean;
  cancellable: boolean; // while it runs
  platforms: Platform[];
  params: { properties: { [name: string]: ParamSchema }; required: string[] };
}

export interface DeviceEvent {
  device: string;
  epoch: string;
  seq: number;
  ts: string;
  measured_at: string;
  received_at: string;
  type: string;
  body: { [name: string]: Json };
}

export interface Registration {
  id: string;
  state: "pending" | "approved" | "rejected" | "issued";
  wish: string | null;
  taken: boolean;
  serial: string | null;
  info: { [name: string]: Json };
  peer: string;
  created_at: string;
}

// [ms, online, stale, offline, never, messages a minute, enrolled, commands, succeeded, failed]; the last four of ten minutes
export type Sample = [number, number, number, number, number, number | null, number, number, number, number];

// What happened to several within five minutes.
export interface Change {
  kind: string; // "presence.offline", "enrolled", "revoked", "command.failed reboot", "campaign.paused", ...
  at: string;
  count: number;
  names: string[]; // the first few
  id: number | null; // of a campaign
}

export type PartHealth = "ok" | "degraded" | "silent";

export interface Overview {
  at: string;
  all: boolean; // nothing is hidden from this person: no tenant, no groups
  devices: { total: number; revoked: number } & Record<Status, number>;
  commands_today: { total: number; open: number; succeeded: number; failed: number; cancelled: number };
  ledger: {
    stored: number;
    received: number;
    duplicates: number;
    lost: number;
    open: number;
    late: number;
    per_minute: number | null; // null: not known yet, or not to whoever sees only some groups
  };
  quarantine: { total: number; last_day: number };
  waiting: { registrations: number };
  history: Sample[] | null;
  changes: Change[];
  system: { parts: number; troubled: { part: string; state: PartHealth; why: string }[] };
}

export interface Part {
  part: string;
  instance: string;
  version: string;
  started_at: string;
  seen_at: string;
  state: PartHealth;
  since: string;
  why: string;
  detail: {
    host?: string;
    pid?: number;
    cell?: number;
    broker?: BrokerFacts | boolean;
    wake?: { state: string; breaker?: string; paused_ms?: number; under_way?: number };
    revocations_waiting?: number;
  };
}

export interface BrokerFacts {
  version?: string;
  uptime_s?: number;
  clients?: number;
  sessions_waiting?: number;
  retained?: number;
  stored?: number;
  heap_bytes?: number;
}

export interface System {
  at: string;
  parts: Part[];
  queues: { queue: string; count: number; oldest_at: string | null }[];
  database: {
    version: string;
    started_at: string;
    size_bytes: number;
    connections: number;
    connections_max: number;
    oldest_transaction_s: number | null;
    replica: boolean;
    mail_waiting: number;
    mail_oldest_at: string | null;
    mail_error: string | null;
  };
  proofs: { cell: number; cause: string; requested_at: string; cut_s: number | null; refused: number; admitted: number; ok: boolean }[];
  authorities: { sha256: string; kind: "device" | "service"; state: string; not_after: string; created_at: string }[];
}

export interface Series {
  metric: string;
  unit: string;
  source: "raw" | "rollup";
  from: number;
  to: number;
  step_ms: number;
  points: [number, number, number, number][];
}

export interface Session {
  name: string;
  role: "viewer" | "operator" | "administrator" | "auditor";
  can_act: boolean;
  second_factor: boolean;
  needs_second_factor: boolean; // before anything else
  expires_at: string;
  version: string;
}

// What logging in answers where a code is asked for, whatever the password was.
export interface Pending {
  pending: string;
  expires_in_s: number;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

// status 0: the server was not reached at all.
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Listener = (error: ApiError | null) => void;
const listeners = new Set<Listener>();

// Told of each call's end: null when it went well. The banners live on this.
export function onCall(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// When each call that is under way began; whoever shows that something takes long is told of each change.
const underway = new Set<{ at: number }>();
const watchers = new Set<(oldest: number | null) => void>();
export function onUnderway(watcher: (oldest: number | null) => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}
function tellWatchers(): void {
  const oldest = underway.size > 0 ? Math.min(...[...underway].map(({ at }) => at)) : null;
  watchers.forEach((watcher) => watcher(oldest));
}

async function problem(response: Response): Promise<ApiError> {
  let detail = `The server answered ${response.status}.`;
  try {
    const body = (await response.json()) as { detail?: string };
    if (body.detail) detail = body.detail;
  } catch {
    // not one of our answers: the status has to do
  }
  return new ApiError(response.status, detail);
}

async function call<T>(method: string, path: string, body?: Json, signal?: AbortSignal, key?: string): Promise<T> {
  return send(method, path, body === undefined ? undefined : JSON.stringify(body), "application/json", jsonOf<T>, signal, key);
}

const jsonOf = async <T>(response: Response): Promise<T> => (response.status === 204 ? undefined : await response.json()) as T;

async function send<T>(
  method: string,
  path: string,
  body: string | undefined,
  type: string,
  read: (response: Response) => Promise<T>,
  signal?: AbortSignal,
  key?: string,
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  const init: RequestInit = { method, headers, credentials: "same-origin" };
  if (signal) init.signal = signal;
  if (key) headers["Idempotency-Key"] = key;
  if (body !== undefined) {
    init.body = body;
    headers["Content-Type"] = type;
  }
  let error: ApiError | null = null;
  const begun = { at: Date.now() };
  underway.add(begun);
  tellWatchers();
  try {
    const response = await fetch(`/api/v1/${path}`, init);
    if (!response.ok) throw await problem(response);
    return await read(response);
  } catch (thrown) {
    if (signal?.aborted) throw thrown;
    error = thrown instanceof ApiError ? thrown : new ApiError(0, "The server cannot be reached.");
    throw error;
  } finally {
    underway.delete(begun);
    tellWatchers();
    if (!signal?.aborted) listeners.forEach((listener) => listener(error));
  }
}

export type Query = { [name: string]: string | number | null | undefined };

export function withQuery(path: string, query: Query): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== null && value !== undefined && value !== "") params.set(name, String(value));
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

export const get = <T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> =>
  call<T>("GET", withQuery(path, query), undefined, signal);
// key: an Idempotency-Key, with which the same request is done once however often it is sent.
export const post = <T>(path: string, body: Json, key?: string): Promise<T> => call<T>("POST", path, body, undefined, key);
export const postText = <T>(path: string, text: string, type: string): Promise<T> => send("POST", path, text, type, jsonOf<T>);
export const postForText = (path: string, body: Json): Promise<string> =>
  send("POST", path, JSON.stringify(body), "application/json", (response) => response.text());
export const patch = <T>(path: string, body: Json): Promise<T> => call<T>("PATCH", path, body);
export const del = (path: string): Promise<void> => call<void>("DELETE", path);
