// What the API says of alerts (docs/protocol.md, section 25).
import type { Json } from "./api";

export type Severity = "info" | "warning" | "critical";

export interface AlertEvent {
  at: string;
  type: string;
  actor: string;
  text: string;
}

export interface Alert {
  id: number;
  rule: number | null;
  rule_name: string;
  kind: string;
  severity: Severity;
  object: string;
  device: string | null;
  title: string;
  state: "active" | "cleared";
  since: string;
  raised_at: string;
  cleared_at: string | null;
  cleared_why: string;
  cleared_by: string;
  acknowledged_at: string | null;
  acknowledged_by: string;
  assigned_to: string;
  silence: number | null;
  flaps: number;
  events?: AlertEvent[];
}

export interface AlertParam {
  title: string;
  type: "string" | "integer" | "number";
  enum?: string[];
  minimum?: number;
  maximum?: number;
  default?: Json;
  "x-unit"?: string;
  description: string;
}

export interface AlertKind {
  kind: string;
  title: string;
  object: string;
  by_hand: boolean;
  description: string;
  params: { properties: { [name: string]: AlertParam }; required: string[] };
}

export interface AlertRule {
  id: number;
  name: string;
  kind: string;
  params: { [name: string]: Json };
  looks_for?: string; // in words; not of a kind that this version does not know
  query: string;
  severity: Severity;
  enabled: boolean;
  clear_s: number;
  builtin: boolean;
  error: string;
  active: number;
}

export interface Silence {
  id: number;
  rule: number | null;
  query: string;
  from: string;
  until: string;
  week: { days: number[]; from: string; to: string } | null;
  time_zone: string;
  reason: string;
  created_by: string;
  state: "on" | "coming" | "waiting" | "over";
}

export interface Route {
  rule: number | null; // null: of all
  severity: Severity;
}

export interface Delivery {
  id: string;
  at: string;
  subject: string;
  state: "waiting" | "sent" | "failed";
  attempts: number;
  status: number | null; // of a webhook's last answer
  error: string;
}

export interface Channel {
  id: number;
  name: string;
  kind: "email" | "webhook";
  addresses: string[];
  url: string;
  bearer: boolean; // there is one
  old_secret_until: string | null; // the secret before counts, too
  enabled: boolean;
  wait_s: number;
  interval_s: number;
  repeat_s: number;
  routes: Route[];
  last: Delivery | null;
  secret?: string;
}
