// The table of actions, asked for once.
import { useEffect, useState } from "preact/hooks";
import { type Action, type Command, get } from "./api";

let table: Promise<Action[]> | null = null;

export function loadActions(): Promise<Action[]> {
  table ??= get<{ items: Action[] }>("actions").then(
    ({ items }) => items,
    (error: unknown) => {
      table = null; // the next one who needs it asks again
      throw error;
    },
  );
  return table;
}

// Empty until it is there. wanted: false asks for nothing.
export function useActions(wanted: boolean): Action[] {
  const [actions, setActions] = useState<Action[]>([]);
  useEffect(() => {
    if (wanted) loadActions().then(setActions, () => {}); // the banner says that the server is away
  }, [wanted]);
  return actions;
}

export function isCancellable({ state, action, cancels }: Command, actions: Action[]): boolean {
  if (cancels) return false;
  if (state === "requested" || state === "queued" || state === "sent") return true;
  return (state === "accepted" || state === "running") && actions.some((one) => one.action === action && one.cancellable);
}
