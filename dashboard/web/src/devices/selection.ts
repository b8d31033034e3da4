// Which devices are selected: some by their ids, or all that the question finds, however many these are.
import type { Json } from "../api";
import type { Question, Row, Rows } from "./rows";

export const LISTED_MAX = 5000; // ids of one request

export type Selection = { kind: "none" } | { kind: "ids"; ids: ReadonlySet<string> } | { kind: "all" };
export const nothing: Selection = { kind: "none" };

// The question as one query of the language.
export const queryOf = ({ query, status }: Question): string => [query, status && `status:${status}`].filter(Boolean).join(" ");

export type Target = { [name: string]: Json };

export function targetOf(selection: Selection, question: Question): Target {
  if (selection.kind === "ids") return { devices: [...selection.ids] };
  const query = queryOf(question);
  return query ? { query } : { all: true };
}

export const sizeOf = (selection: Selection, rows: Rows): number =>
  selection.kind === "ids" ? selection.ids.size : selection.kind === "all" ? rows.length : 0;

export function toggled(selection: Selection, row: Row): Selection {
  const ids = new Set(selection.kind === "ids" ? selection.ids : []);
  if (!ids.delete(row.device)) ids.add(row.device);
  return ids.size > 0 ? { kind: "ids", ids } : nothing;
}

// All from the row that was clicked before to this one.
export async function extended(selection: Selection, rows: Rows, from: number, to: number): Promise<Selection> {
  const first = Math.min(from, to);
  const found = await rows.range(first, Math.min(Math.max(from, to) + 1, first + LISTED_MAX));
  return { kind: "ids", ids: new Set([...(selection.kind === "ids" ? selection.ids : []), ...found].slice(0, LISTED_MAX)) };
}
