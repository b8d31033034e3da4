// The messages of a live console: some thousand lines, of which only those in sight are drawn.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Message } from "./console-link";
import { bytes } from "./format";

export type Line = { id: number; message: Message } | { id: number; gap: number; why: string };

const ROW_PX = 28; // as in console.css
const AROUND = 10; // rows drawn beyond what is in sight
const NEAR_PX = 24; // of the end

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
export const timeOf = (at: number): string => clock.format(at);

export function Lines({ lines, follow, setFollow, chosen, choose }: {
  lines: readonly Line[];
  follow: boolean;
  setFollow: (follow: boolean) => void;
  chosen: number | null;
  choose: (id: number | null) => void;
}) {
  const place = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(400);
  useLayoutEffect(() => {
    if (follow && place.current) place.current.scrollTop = place.current.scrollHeight;
  }, [lines, follow]);
  // What is read stays in its place when lines before it are let go.
  const former = useRef(lines);
  useLayoutEffect(() => {
    const first = lines[0]?.id ?? 0;
    const gone = follow ? 0 : former.current.findIndex(({ id }) => id >= first);
    former.current = lines;
    if (gone > 0 && place.current) place.current.scrollTop -= gone * ROW_PX;
  }, [lines]);
  useEffect(() => {
    const seen = new ResizeObserver(([entry]) => setHeight(entry!.contentRect.height));
    seen.observe(place.current!);
    return () => seen.disconnect();
  }, []);
  const inSight = Math.ceil(height / ROW_PX);
  // A list that has become shorter is drawn before it is said that it was scrolled.
  const from = Math.max(0, Math.min(Math.floor(top / ROW_PX), lines.length - inSight) - AROUND);
  const shown = lines.slice(from, from + inSight + 2 * AROUND);
  const step = (by: number) => {
    const messages = lines.filter((line) => "message" in line);
    const at = messages.findIndex(({ id }) => id === chosen);
    const next = messages[at < 0 ? messages.length - 1 : Math.min(messages.length - 1, Math.max(0, at + by))];
    if (!next || !place.current) return;
    setFollow(false);
    choose(next.id);
    const y = lines.indexOf(next) * ROW_PX;
    if (y < place.current.scrollTop) place.current.scrollTop = y;
    if (y + ROW_PX > place.current.scrollTop + height) place.current.scrollTop = y + ROW_PX - height;
  };
  return (
    <div
      ref={place}
      class="lines"
      tabIndex={0}
      role="listbox"
      aria-label="Messages"
      aria-activedescendant={shown.some(({ id }) => id === chosen) ? `message-${chosen}` : undefined}
      data-testid="messages"
      onScroll={({ currentTarget }) => {
        setTop(currentTarget.scrollTop);
        const atEnd = currentTarget.scrollTop + currentTarget.clientHeight > currentTarget.scrollHeight - NEAR_PX;
        if (!atEnd && follow && currentTarget.matches(":hover, :focus")) setFollow(false);
      }}
      onKeyDown={(event) => {
        if (event.key === "ArrowDown" || event.key === "j") step(1);
        else if (event.key === "ArrowUp" || event.key === "k") step(-1);
        else if (event.key === "Escape") choose(null);
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    >
      <div class="extent" role="presentation" style={{ height: `${lines.length * ROW_PX}px` }}>
        <div class="drawn" role="presentation" style={{ transform: `translateY(${from * ROW_PX}px)` }}>
          {shown.map((line) =>
            "gap" in line ? (
              <div key={line.id} class="line gap" role="option" aria-disabled="true" aria-selected="false">
                {timeOf(line.gap)} {line.why}
              </div>
            ) : (
              <MessageLine key={line.id} line={line} chosen={line.id === chosen} choose={choose} />
            ),
          )}
        </div>
      </div>
    </div>
  );
}

function MessageLine({ line: { id, message }, chosen, choose }: {
  line: { id: number; message: Message };
  chosen: boolean;
  choose: (id: number | null) => void;
}) {
  return (
    <div
      id={`message-${id}`}
      class="line"
      role="option"
      aria-selected={chosen}
      data-topic={message.topic}
      // Not when the button comes up: a line that others push up is elsewhere then. What clicks without a mouse has no detail.
      onMouseDown={(event) => event.button === 0 && choose(chosen ? null : id)}
      onClick={(event) => event.detail === 0 && choose(chosen ? null : id)}
    >
      <span class="at">{timeOf(message.at)}</span>
      <span class="topic">{message.topic.replace(/^fleet\/v1\//, "")}</span>
      <span class="text">{message.text.slice(0, 300)}</span>
      <span class="flags">
        {message.retain && <span title="Retained: the last of its topic, kept by the broker">R</span>}
        <span title="Quality of service with which it was delivered">Q{message.qos}</span>
        <span>{bytes(message.bytes)}</span>
      </span>
    </div>
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // no JSON, or one that was cut
  }
}

export function Detail({ message, close }: { message: Message; close: () => void }) {
  const [copied, setCopied] = useState(false);
  const cut = message.text.length < message.bytes && message.bytes > 65_536;
  return (
    <section class="detail" aria-label="The chosen message">
      <header>
        <code>{message.topic}</code>
        <span class="muted">
          {timeOf(message.at)} · QoS {message.qos} · {message.retain ? "retained · " : ""}{bytes(message.bytes)}
        </span>
        <button type="button" onClick={() => void navigator.clipboard.writeText(message.text).then(() => setCopied(true))}>
          {copied ? "Copied" : "Copy"}
        </button>
        <button type="button" class="plain" onClick={close}>Close</button>
      </header>
      <pre tabIndex={0} data-testid="payload">{pretty(message.text)}</pre>
      {cut && <p class="hint">Only the first 64 kB are kept here.</p>}
    </section>
  );
}
