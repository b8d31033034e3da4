// From what a person typed to a request for a command, checked as the table of actions says, and the same for a shell.
import type { Action, Json, ParamSchema, Platform } from "./api";
import { type Target, targetOf, targetText } from "./targets";

export type When = "now" | "at" | "window";

export interface Draft {
  action: Action;
  texts: { [name: string]: string }; // by parameter, as typed; "" is left out
  when: When;
  at: string; // local time, as datetime-local gives it
  ttl: string; // such as "1d"; "": the server's default
  confirm: string;
}

export type Faults = { [field: string]: string };
export type Body = { action: string } & { [name: string]: Json };

// How a campaign goes about it; texts as typed.
export interface Plan {
  name: string;
  canary: string;
  success: string;
  errors: string;
  rate: string;
  factor: string;
  continuous: boolean;
}
export const usualPlan: Plan = { name: "", canary: "", success: "100", errors: "10", rate: "", factor: "1", continuous: false };

const encoder = new TextEncoder();
const bytesOf = (text: string): number => encoder.encode(text).length;
const within = (value: number, min = -Infinity, max = Infinity): boolean => value >= min && value <= max;
const isObject = (value: unknown): value is { [name: string]: Json } =>
  typeof value === "object" && value !== null && !Array.isArray(value);

type Checked = { value: Json } | { fault: string };

function readString(schema: ParamSchema, text: string): Checked {
  if (schema.enum && !schema.enum.includes(text)) return { fault: `Choose one of: ${schema.enum.join(", ")}.` };
  if (!within(bytesOf(text), schema.minLength, schema.maxLength))
    return { fault: `${schema.minLength} to ${schema.maxLength} bytes; these are ${bytesOf(text)}.` };
  if (schema.pattern && !new RegExp(schema.pattern).test(text)) return { fault: `It must look like ${schema.pattern}` };
  return { value: text };
}

function readStrings(schema: ParamSchema, text: string): Checked {
  const lines = text.replace(/\n+$/, "").split("\n");
  if (!within(lines.length, schema.minItems, schema.maxItems))
    return { fault: `${schema.minItems} to ${schema.maxItems} lines; these are ${lines.length}.` };
  const long = lines.findIndex((line) => bytesOf(line) > (schema.items?.maxLength ?? Infinity));
  return long < 0 ? { value: lines } : { fault: `Line ${long + 1} is longer than ${schema.items!.maxLength} bytes.` };
}

function readObject(schema: ParamSchema, text: string): Checked {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { fault: `This is no JSON: ${(error as Error).message}.` };
  }
  if (!isObject(value)) return { fault: 'It must be a JSON object, such as {"name": "value"}.' };
  return within(Object.keys(value).length, schema.minProperties, schema.maxProperties)
    ? { value }
    : { fault: `${schema.minProperties} to ${schema.maxProperties} members.` };
}

const readers: Record<ParamSchema["type"], (schema: ParamSchema, text: string) => Checked> = {
  integer: (schema, text) =>
    /^-?\d{1,15}$/.test(text.trim()) && within(Number(text), schema.minimum, schema.maximum)
      ? { value: Number(text) }
      : { fault: `A whole number from ${schema.minimum} to ${schema.maximum}.` },
  string: readString,
  boolean: (_schema, text) => ({ value: text === "true" }),
  array: readStrings,
  object: readObject,
};

function readParams({ action, texts }: Draft, faults: Faults): { [name: string]: Json } {
  const params: { [name: string]: Json } = {};
  for (const [name, schema] of Object.entries(action.params.properties)) {
    const text = texts[name] ?? "";
    if (text === "") {
      if (action.params.required.includes(name)) faults[name] = "This is needed.";
      continue;
    }
    const checked = readers[schema.type](schema, text);
    if ("fault" in checked) faults[name] = checked.fault;
    else params[name] = checked.value;
  }
  return params;
}

function readTimes(draft: Draft, body: Body, faults: Faults): void {
  const at = new Date(draft.at);
  if (draft.when === "window") body.in_window = true;
  if (draft.when === "at" && Number.isNaN(at.getTime())) faults.at = "Say the day and the time.";
  else if (draft.when === "at") body.at = at.toISOString();
  if (draft.ttl) body.ttl_s = secondsOf(draft.ttl);
}

function bodyFor(draft: Draft, faults: Faults): Body {
  const body: Body = { action: draft.action.action };
  const params = readParams(draft, faults);
  if (Object.keys(params).length > 0) body.params = params;
  if (draft.action.destructive) body.confirm = true;
  readTimes(draft, body, faults);
  return body;
}

// The body of POST /api/v1/commands, or what is wrong by field; the typed confirmation is not looked at here.
export function bodyOf(device: string, draft: Draft): { body: Body; faults: Faults } {
  const faults: Faults = {};
  return { body: { device, ...bodyFor(draft, faults) }, faults };
}

// name of a field of the plan and option of the command line, of the rollout, and between which numbers; "" is the server's default
const NUMBERS: [field: keyof Plan & string, member: string, min: number, max: number][] = [
  ["canary", "canary", 0, 1_000_000],
  ["success", "success_pct", 0, 100],
  ["errors", "error_pct", 0, 100],
  ["rate", "rate_per_min", 0, 1_000_000],
  ["factor", "factor", 1, 10],
];

function readRollout(plan: Plan, faults: Faults): { [name: string]: Json } {
  const rollout: { [name: string]: Json } = {};
  for (const [field, member, min, max] of NUMBERS) {
    const text = String(plan[field]).trim();
    const value = Number(text);
    if (text === "") continue;
    if (!/^\d+([.]\d+)?$/.test(text) || !within(value, min, max)) faults[field] = `A number from ${min} to ${max}.`;
    else if (field === "canary" && !Number.isInteger(value)) faults[field] = "A whole number.";
    else rollout[member] = value;
  }
  return rollout;
}

// The body of POST /api/v1/campaigns, or what is wrong by field.
export function campaignOf(target: Target, draft: Draft, plan: Plan): { body: Body; faults: Faults } {
  const faults: Faults = {};
  const whom = targetOf(target);
  const body: Body = { name: plan.name.trim() || `${draft.action.action}: ${targetText(target)}`.slice(0, 100), ...bodyFor(draft, faults) };
  if ("fault" in whom) faults.target = whom.fault;
  else body.target = whom.target;
  body.rollout = readRollout(plan, faults);
  if (plan.continuous) body.continuous = true;
  if (bytesOf(String(body.name)) > 100) faults.name = "Up to 100 bytes.";
  return { body, faults };
}

const UNITS: { [unit: string]: number } = { m: 60, h: 3600, d: 86400 };
const secondsOf = (time: string): number => Number(time.slice(0, -1)) * UNITS[time.slice(-1)]!;
// In the largest unit that holds it exactly, as the command line takes it.
function timeOf(seconds: number): string {
  const unit = ["d", "h", "m"].find((one) => seconds % UNITS[one]! === 0);
  return unit ? `${seconds / UNITS[unit]!}${unit}` : `${seconds}s`;
}

// ---- for a shell ----

// Within apostrophes a shell takes everything as it stands, but the apostrophe.
export const quoted = (text: string): string => (/^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function timesFor(body: Body): string[] {
  const words: string[] = [];
  if (body.at) words.push("--at", quoted(String(body.at)));
  if (body.in_window) words.push("--in-window");
  if (body.ttl_s) words.push("--ttl", timeOf(Number(body.ttl_s)));
  return words;
}

export function asCli(body: Body): string {
  const words = ["muster command send", quoted(String(body.device)), quoted(body.action)];
  if (body.params) words.push("--params", quoted(JSON.stringify(body.params)));
  words.push(...timesFor(body));
  if (body.confirm) words.push("--yes");
  return words.join(" ");
}

// Of a campaign; devices: for how many it is, which something destructive has to name.
export function asCampaignCli(body: Body, devices: number | null): string {
  const words = ["muster campaign create", quoted(String(body.name)), quoted(body.action)];
  for (const [kind, whom] of Object.entries(body.target as { [kind: string]: Json })) {
    if (whom === true) words.push("--all");
    else words.push(`--${kind}`, quoted(Array.isArray(whom) ? whom.join(",") : String(whom)));
  }
  if (body.params) words.push("--params", quoted(JSON.stringify(body.params)));
  const rollout = (body.rollout ?? {}) as { [member: string]: Json };
  for (const [field, member] of NUMBERS) if (rollout[member] !== undefined) words.push(`--${field}`, String(rollout[member]));
  if (body.continuous) words.push("--continuous");
  words.push(...timesFor(body));
  if (body.confirm) words.push("--confirm", devices === null ? "N" : String(devices));
  return [...words, "--start"].join(" ");
}

export const asMqtt = (body: Body, host: string): string =>
  `mosquitto_pub -V 5 -h ${host} -p 8884 --cafile .muster/ca/service.crt --cert .muster/operators/NAME.crt` +
  ` --key .muster/operators/NAME.key -q 1 -t ops/v1/op.NAME/request -m ${quoted(JSON.stringify(body))}`;

// The key of the API goes in by a pipe, so that it stands in no list of processes.
export const asCurl = (path: string, body: Body, origin: string): string =>
  `printf 'Authorization: Bearer %s' "$(cat .muster/api-token)" | curl -sS --cacert .muster/ca/service.crt -H @-` +
  ` --json ${quoted(JSON.stringify(body))} ${origin}/api/v1/${path}`;

// What its inventory says; null as long as it has said nothing, and then every action is offered.
export function platformOf(hardware: Json | undefined): Platform | null {
  const os = isObject(hardware) ? hardware.os : null;
  return typeof os === "string" ? (os === "android" ? "android" : "linux") : null;
}

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
export const windowText = ({ days, from, to }: { days: number[]; from: string; to: string }): string =>
  `${days.length === 7 ? "every day" : days.map((day) => DAYS[day - 1]).join(", ")}, ${from} to ${to}`;
