// Numbers beside places of the navigation: what waits there for a person.
import { useEffect, useState } from "preact/hooks";

export interface Badge {
  count: number;
  words: string; // what is counted, for the mouse and for screen readers
  tone?: "bad" | "warn";
}

const badges = new Map<string, Badge>();
const listeners = new Set<() => void>();

// Nothing to count takes the badge away.
export function setBadge(link: string, badge: Badge | null): void {
  const old = badges.get(link);
  const next = badge && badge.count > 0 ? badge : null;
  if (old?.count === next?.count && old?.words === next?.words && old?.tone === next?.tone) return;
  if (next) badges.set(link, next);
  else badges.delete(link);
  listeners.forEach((listener) => listener());
}

export function useBadges(): ReadonlyMap<string, Badge> {
  const [, setTurn] = useState(0);
  useEffect(() => {
    const update = () => setTurn((turn) => turn + 1);
    listeners.add(update);
    return () => {
      listeners.delete(update);
    };
  }, []);
  return badges;
}
