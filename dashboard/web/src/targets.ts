// Whom a command is for, as a person says it.
import type { Json } from "./api";

export type TargetKind = "devices" | "tag" | "group" | "filter" | "query" | "all";

export interface Target {
  kind: TargetKind;
  text: string; // as typed; devices: separated by blanks, commas or lines
}

export const LISTED_MAX = 5000; // devices of one list
const DEVICE = /^[a-z0-9][a-z0-9-]{0,62}$/;

export const kinds: { value: TargetKind; text: string }[] = [
  { value: "devices", text: "Devices" },
  { value: "tag", text: "Tag" },
  { value: "group", text: "Group" },
  { value: "filter", text: "Filter" },
  { value: "query", text: "Query" },
  { value: "all", text: "Everything" },
];

export const devicesOf = (text: string): string[] => [...new Set(text.split(/[\s,;]+/).filter(Boolean))];

// The member "target" of a request, or what is wrong.
export function targetOf({ kind, text }: Target): { target: { [name: string]: Json } } | { fault: string } {
  if (kind === "all") return { target: { all: true } };
  if (kind !== "devices") return text.trim() ? { target: { [kind]: text.trim() } } : { fault: "Say which." };
  const devices = devicesOf(text);
  const wrong = devices.find((device) => !DEVICE.test(device));
  if (devices.length === 0) return { fault: "Name at least one device." };
  if (wrong !== undefined) return { fault: `${wrong} is no device id: small letters, digits and hyphens.` };
  return devices.length <= LISTED_MAX
    ? { target: { devices } }
    : { fault: `${devices.length} devices are named; at most ${LISTED_MAX} can be. Use a query, a tag or a group.` };
}

export function targetText({ kind, text }: Target): string {
  if (kind === "all") return "everything";
  if (kind !== "devices") return `${kind} ${text.trim()}`;
  const devices = devicesOf(text);
  return devices.length === 1 ? devices[0]! : `${devices.length} devices`;
}
