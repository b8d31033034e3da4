// The keyboard, for every view: "/" to its filter, j and k along the rows of its table (Enter opens, as the row's link has
// the focus), "g" and a letter to another view, "?" for help.
import { places } from "./places";
import { navigate } from "./router";
import type { View } from "./views";

export interface Shortcut {
  keys: string[];
  words: string;
}

const CHORD_MS = 1500; // between "g" and its letter

export const general: Shortcut[] = [
  { keys: ["/"], words: "Filter what is shown" },
  { keys: ["j"], words: "Next row" },
  { keys: ["k"], words: "Row before" },
  { keys: ["Enter"], words: "Open the row" },
  { keys: ["Esc"], words: "Empty the filter, close what is open" },
  { keys: ["?"], words: "This help" },
];

export const goTo = (views: View[]): Shortcut[] =>
  views.flatMap(({ link, title }) => {
    const place = link && places[link];
    return place ? [{ keys: ["g", place.letter], words: title }] : [];
  });

const visible = (element: HTMLElement): boolean => element.getClientRects().length > 0;

function focusFilter(): boolean {
  const boxes = document.querySelectorAll<HTMLInputElement>('#main [aria-keyshortcuts="/"]');
  const box = [...boxes].find(visible);
  box?.focus();
  box?.select();
  return box !== undefined;
}

// What opens a row: its link, otherwise what unfolds it.
const opener = (row: Element): HTMLElement | null =>
  row.querySelector<HTMLElement>("summary, a[href]") ?? row.querySelector<HTMLElement>("button.reveal, button:not(:disabled)");

// The rows of the table that has the focus, otherwise of the first in view.
function rows(): HTMLElement[] {
  const here = document.activeElement?.closest("#main table");
  const tables = document.querySelectorAll<HTMLElement>("#main table");
  const table = here ?? [...tables].find(visible);
  const found = table?.querySelectorAll<HTMLElement>("tbody > tr") ?? document.querySelectorAll<HTMLElement>("#main details");
  return [...found].filter((row) => visible(row) && opener(row));
}

function walk(step: 1 | -1): boolean {
  const all = rows();
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
  if (!next) return false;
  opener(next)?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
  return true;
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof Element)) return false;
  return target.matches("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]") || target.closest("dialog") !== null;
}

// views: those of whoever is logged in.
export function listenToKeys(views: View[], help: () => void): () => void {
  let chordUntil = 0;
  const letters = new Map(goTo(views).map(({ keys }, i) => [keys[1], views.filter(({ link }) => link && places[link])[i]!.link!]));
  const act = (key: string): boolean => {
    if (Date.now() < chordUntil) {
      chordUntil = 0;
      const link = letters.get(key);
      if (link) navigate(link);
      return link !== undefined;
    }
    if (key === "g") chordUntil = Date.now() + CHORD_MS;
    else if (key === "/") return focusFilter();
    else if (key === "j" || key === "k") return walk(key === "j" ? 1 : -1);
    else if (key === "?") help();
    else return false;
    return true;
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
    if (act(event.key)) event.preventDefault();
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}
