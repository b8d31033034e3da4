import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError, onUnderway } from "./api";
import { liveState, type LiveState, onLiveState, onReturn, serverNow } from "./live";

const tickers = new Set<() => void>();
setInterval(() => {
  if (!document.hidden) tickers.forEach((tick) => tick());
}, 1000);

// The server's time in ms, anew each second; one timer for the whole page.
export function useNow(): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    const tick = () => setNow(serverNow());
    tickers.add(tick);
    return () => {
      tickers.delete(tick);
    };
  }, []);
  return now;
}

export function useLive(): LiveState {
  const [state, setState] = useState(liveState);
  useEffect(() => onLiveState(() => setState(liveState())), []);
  return state;
}

const LONG_MS = 1000;

// Whether an answer of the server has been waited for longer than a person takes for at once.
export function useLong(): boolean {
  const [long, setLong] = useState(false);
  useEffect(() => {
    let timer = 0;
    const end = onUnderway((oldest) => {
      clearTimeout(timer);
      const left = oldest === null ? 0 : oldest + LONG_MS - Date.now();
      setLong(oldest !== null && left <= 0);
      if (left > 0) timer = window.setTimeout(() => setLong(true), left);
    });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, []);
  return long;
}

const AGAIN_MS = 3000;
const passes = ({ status }: ApiError): boolean => status === 0 || status === 429 || status >= 502;

// What failed for no fault of its own is asked for again, as long as the server and its database are there.
export function useRecovery(error: ApiError | null, reload: () => void): void {
  const { connected, databaseUp } = useLive();
  const well = connected && databaseUp;
  useEffect(() => {
    if (!well || !error || !passes(error)) return;
    const timer = setTimeout(reload, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [well, error]);
}

const JUST_MS = 500; // what was asked for so lately has been asked for since the return

// What is shown is asked for again when the server has been away, unless that was done already: who listens to the stream
// does so at once.
export function useReturn(begunAt: { current: number }, reload: () => void): void {
  useEffect(() => onReturn(() => Date.now() - begunAt.current > JUST_MS && reload()), [reload]);
}

export interface Loaded<T> {
  data: T | null;
  error: ApiError | null;
  loading: boolean;
  reload: () => void;
  change: (update: (data: T) => T) => void;
}

// Loads again whenever key changes; the former data stay while new ones are on their way for the same key. What changes
// meanwhile is changed in the new ones too: they may have been read before it.
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [loading, setLoading] = useState(true);
  const loadRef = useRef(load);
  const abortRef = useRef<AbortController | null>(null);
  const meanwhile = useRef<((data: T) => T)[] | null>(null); // null: nothing is on its way
  const begunAt = useRef(0);
  loadRef.current = load;

  const reload = useCallback(() => {
    abortRef.current?.abort();
    const abort = new AbortController();
    abortRef.current = abort;
    meanwhile.current = [];
    begunAt.current = Date.now();
    setLoading(true);
    loadRef.current(abort.signal).then(
      (loaded) => {
        if (abort.signal.aborted) return;
        setData((meanwhile.current ?? []).reduce((data, update) => update(data), loaded));
        meanwhile.current = null;
        setError(null);
        setLoading(false);
      },
      (thrown: unknown) => {
        if (abort.signal.aborted) return;
        meanwhile.current = null;
        setError(thrown instanceof ApiError ? thrown : new ApiError(0, String(thrown)));
        setLoading(false);
      },
    );
  }, []);
  useEffect(() => {
    reload();
    return () => abortRef.current?.abort();
  }, [key, reload]);
  useRecovery(error, reload);
  useReturn(begunAt, reload);
  const change = useCallback((update: (data: T) => T) => {
    meanwhile.current?.push(update);
    setData((old) => (old === null ? old : update(old)));
  }, []);
  return { data, error, loading, reload, change };
}

// Calls fn at most once in ms, the last call not being lost.
export function useThrottled(fn: () => void, ms: number): () => void {
  const timer = useRef(0);
  const last = useRef(0);
  const current = useRef(fn);
  current.current = fn;
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    if (timer.current) return;
    timer.current = window.setTimeout(() => {
      timer.current = 0;
      last.current = Date.now();
      current.current();
    }, Math.max(0, last.current + ms - Date.now()));
  }, [ms]);
}
