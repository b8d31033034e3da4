// What a command prints on its device, while it prints it; and its cancelling.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, type Chunk, type Command, get, type Page, post } from "./api";
import { type Printed, subscribe } from "./live";
import { Bar, Fault, isOpen } from "./parts";

const NEAR_PX = 24; // of the end

// Nothing for a command that has printed nothing.
export function Output({ command }: { command: Command }) {
  const [chunks, setChunks] = useState<Chunk[]>([]);
  const [error, setError] = useState<ApiError | null>(null);
  const place = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  const going = isOpen(command.state);
  useEffect(() => {
    const abort = new AbortController();
    let after = chunks.at(-1)?.n ?? -1;
    let asking = false;
    let missing = false; // more came while it was asked
    const add = (more: Chunk[]) => {
      after = more.at(-1)?.n ?? after;
      if (more.length > 0) setChunks((old) => [...old, ...more]);
    };
    const ask = async () => {
      missing = asking;
      if (asking) return;
      asking = true;
      try {
        const page = await get<Page<Chunk>>(`commands/${command.id}/output`, { after }, abort.signal);
        missing ||= page.next !== null;
        setError(null);
        add(page.items);
      } catch (thrown) {
        if (!abort.signal.aborted) setError(thrown as ApiError);
      }
      asking = false;
      if (missing && !abort.signal.aborted) void ask();
    };
    // What comes next is shown at once; behind a hole, or where only its coming is told, it is asked for.
    const outputs = (printed: Printed[]) => {
      for (const { command: of, n, data, end, cut } of printed) {
        if (of !== command.id || n <= after) continue;
        if (!asking && n === after + 1 && data !== null) add([{ n, data, end, cut }]);
        else void ask();
      }
    };
    void ask();
    const unsubscribe = going ? subscribe({ outputs, refresh: () => void ask() }, [command.device]) : () => {};
    return () => {
      unsubscribe();
      abort.abort();
    };
  }, [command.id, going]);
  // The newest lines stay in sight, unless somebody has gone back to read.
  useEffect(() => {
    if (place.current && atEnd.current) place.current.scrollTop = place.current.scrollHeight;
  }, [chunks.length]);
  if (error && error.status !== 503) return <Fault error={error} />;
  if (chunks.length === 0) return null;
  return (
    <div class="printed">
      <h3 id={`output-${command.id}`}>Output{going && <span class="muted"> so far</span>}</h3>
      <pre
        ref={place}
        tabIndex={0}
        role="region"
        aria-labelledby={`output-${command.id}`}
        data-testid="output"
        onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
          atEnd.current = scrollTop + clientHeight > scrollHeight - NEAR_PX;
        }}
      >
        {chunks.map((chunk) => chunk.data).join("")}
      </pre>
      {chunks.at(-1)!.cut && <p class="hint">The rest was cut off: a device sends so much and no more.</p>}
    </div>
  );
}

// In place of the result, as long as there is none.
export function Underway({ command, mayCancel }: { command: Command; mayCancel: boolean }) {
  const [asked, setAsked] = useState(false);
  const [error, setError] = useState<ApiError | null>(null);
  const cancel = async () => {
    setAsked(true);
    setError(null);
    try {
      await post<Command>(`commands/${command.id}/cancel`, {});
    } catch (thrown) {
      setAsked(false);
      setError(thrown as ApiError);
    }
  };
  return (
    <span class="underway">
      {command.state === "running" && command.progress !== null && <Bar percent={command.progress} level="good" />}
      {asked || command.cancel_requested_at ? (
        <span class="muted">cancelling…</span>
      ) : (
        mayCancel && (
          <button type="button" aria-label={`Cancel ${command.action}`} onClick={() => void cancel()}>Cancel</button>
        )
      )}
      {error && <span class="bad" role="alert">{error.message}</span>}
    </span>
  );
}
