// Lists in pages by cursor: each page is asked for once, and what changes comes in by the stream or by a reload.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError, type Page } from "./api";
import { useRecovery, useReturn } from "./hooks";

export interface Pages<T> {
  items: T[] | null; // null: not there yet
  next: string | null;
  error: ApiError | null;
  loading: boolean;
  more: () => void;
  reload: () => void; // as many as are shown, anew
  change: (update: (items: T[]) => T[]) => void;
}

type Load<T> = (after: string | null, signal: AbortSignal) => Promise<Page<T>>;

// Begins anew whenever key changes.
export function usePages<T>(key: string, load: Load<T>): Pages<T> {
  const [items, setItems] = useState<T[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [loading, setLoading] = useState(true);
  const current = useRef({ load, abort: new AbortController(), count: 0 });
  const begunAt = useRef(0);
  current.current.load = load;

  const run = useCallback(async (wanted: number, from: string | null, before: T[]) => {
    current.current.abort.abort();
    const abort = new AbortController();
    current.current.abort = abort;
    begunAt.current = Date.now();
    setLoading(true);
    try {
      const gathered = [...before];
      let after = from;
      do {
        const page = await current.current.load(after, abort.signal);
        if (abort.signal.aborted) return;
        gathered.push(...page.items);
        after = page.next;
      } while (after && gathered.length < wanted);
      current.current.count = gathered.length;
      setItems(gathered);
      setNext(after);
      setError(null);
      setLoading(false);
    } catch (thrown) {
      if (abort.signal.aborted) return;
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown)));
      setLoading(false);
    }
  }, []);

  useEffect(() => {
    setItems(null);
    current.current.count = 0;
    void run(1, null, []);
    return () => current.current.abort.abort();
  }, [key]);
  const more = () => {
    current.current.count = (items?.length ?? 0) + 1; // a reload that comes in between brings it, too
    void run(1, next, items ?? []);
  };
  const reload = useCallback(() => void run(Math.max(1, current.current.count), null, []), []);
  useRecovery(error, reload);
  useReturn(begunAt, reload);
  const change = useCallback((update: (items: T[]) => T[]) => setItems((old) => (old === null ? old : update(old))), []);
  return { items, next, error, loading, more, reload, change };
}
