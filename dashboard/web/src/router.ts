// Paths and queries of the page, kept in the address bar so that every view can be linked to.
import { useEffect, useState } from "preact/hooks";

const listeners = new Set<() => void>();
const current = () => location.pathname + location.search;

// The device list as it was last seen, with its filters.
let list = "/devices";
export const listAddress = (): string => list;

function announce(): void {
  if (location.pathname === "/devices") list = current();
  listeners.forEach((listener) => listener());
}

export function navigate(to: string, replace = false): void {
  if (to === current()) return;
  if (replace) history.replaceState(null, "", to);
  else {
    history.pushState(null, "", to);
    scrollTo(0, 0);
  }
  announce();
}

addEventListener("popstate", announce);
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const link = (event.target as Element).closest?.("a");
  if (!link || link.target || link.origin !== location.origin || link.getAttribute("href")?.startsWith("#")) return;
  event.preventDefault();
  navigate(link.pathname + link.search);
});

export function useLocation(): URL {
  const [path, setPath] = useState(current);
  useEffect(() => {
    const update = () => setPath(current());
    listeners.add(update);
    return () => {
      listeners.delete(update);
    };
  }, []);
  return new URL(path, location.origin);
}

// Members of the address's query; an empty one goes away. No new entry in the history.
export function changeQuery(values: { [name: string]: string }): void {
  const next = new URL(location.href);
  for (const [name, value] of Object.entries(values))
    if (value) next.searchParams.set(name, value);
    else next.searchParams.delete(name);
  navigate(next.pathname + next.search, true);
}

// One value of the query; "" when absent. Setting it keeps the rest.
export function useQuery(name: string): [string, (value: string) => void] {
  const url = useLocation();
  return [url.searchParams.get(name) ?? "", (value) => changeQuery({ [name]: value })];
}
