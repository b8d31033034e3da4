// The small pieces that every view is made of.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { ApiError, CommandState, Device, Json, Status } from "./api";
import { absolute, ago } from "./format";
import { useNow } from "./hooks";

type Path = string;
const paths: { [name: string]: Path } = {
  // drawn on 16 x 16, stroked
  online: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM5.2 8.2l2 2 3.7-4.2",
  stale: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM8 4.8V8l2.2 1.6",
  offline: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  never: "M5.6 2.3a6.2 6.2 0 0 1 4.8 0M13.7 5.6a6.2 6.2 0 0 1 0 4.8M10.4 13.7a6.2 6.2 0 0 1-4.8 0M2.3 10.4a6.2 6.2 0 0 1 0-4.8",
  revoked: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM3.7 3.7l8.6 8.6",
  waiting: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM5.2 8h.01M8 8h.01M10.8 8h.01",
  running: "M14.2 8A6.2 6.2 0 1 1 10.5 2.3M10.4 5.4 10.6 2.2 13.6 3",
  cancelled: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8ZM5.4 8h5.2",
  group: "M1.8 3.6h4.4l1.4 1.8h6.6v7H1.8z",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4l3.4 3.4",
  bolt: "M8.8 1.8 3.8 9h3.6l-.4 5.2L12.2 7H8.6l.2-5.2Z",
  alert: "M8 2.2 14.4 13.4H1.6L8 2.2ZM8 6.4v3.2M8 11.6h.01",
  up: "M4.5 9.5 8 6l3.5 3.5",
  down: "M4.5 6.5 8 10l3.5-3.5",
  back: "M9.5 4 5.5 8l4 4",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
  keys: "M1.8 4h12.4v8H1.8zM4.4 6.6h.01M7 6.6h.01M9.6 6.6h.01M11.8 6.6h.01M4.8 9.4h6.4",
  leave: "M6.4 2.6H2.8v10.8h3.6M6.2 8h7.4M10.8 5.2 13.6 8l-2.8 2.8",
  send: "M2.2 8 13.8 2.4 10.6 13.6 7.6 9.2 2.2 8ZM7.6 9.2l3-3.4",
};

export function Icon({ name }: { name: string }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={paths[name] ?? ""} />
    </svg>
  );
}

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      {[11, 21].flatMap((y) =>
        [9, 16, 23].map((x) => <circle key={`${x} ${y}`} cx={x} cy={y} r="2.6" class={x + y === 44 ? "here" : ""} />),
      )}
    </svg>
  );
}

const statusWords: Record<Status, string> = { online: "Online", stale: "Stale", offline: "Offline", never: "Never seen" };
export const statusWord = (status: Status): string => statusWords[status];

export function StatusBadge({ status, why }: { status: Status; why?: string }) {
  return (
    <span class={`status ${status}`} title={why} data-testid="status">
      <Icon name={status} />
      {statusWords[status]}
    </span>
  );
}

// Nothing for a device that may come in.
export function RevokedTag({ device }: { device: Pick<Device, "enabled" | "why"> }) {
  if (device.enabled) return null;
  return (
    <span class="tag off" title={device.why} data-testid="revoked">
      <Icon name="revoked" />
      revoked
    </span>
  );
}

const commandLooks: Record<CommandState, [tone: string, icon: string, word: string]> = {
  requested: ["never", "waiting", "Requested"],
  queued: ["never", "waiting", "Queued"],
  sent: ["busy", "send", "Sent"],
  accepted: ["busy", "running", "Accepted"],
  running: ["busy", "running", "Running"],
  succeeded: ["online", "online", "Succeeded"],
  failed: ["offline", "offline", "Failed"],
  rejected: ["offline", "offline", "Rejected"],
  expired: ["stale", "stale", "Expired"],
  cancelled: ["never", "cancelled", "Cancelled"],
};
export const isOpen = (state: CommandState): boolean =>
  state === "requested" || state === "queued" || state === "sent" || state === "accepted" || state === "running";

export function CommandBadge({ state }: { state: CommandState }) {
  const [tone, icon, word] = commandLooks[state] ?? ["never", "waiting", state];
  return (
    <span class={`status ${tone}`} data-testid="command-state">
      <Icon name={icon} />
      {word}
    </span>
  );
}

export function Time({ at, none = "never" }: { at: string | null; none?: string }) {
  const now = useNow();
  if (!at) return <span class="muted">{none}</span>;
  return (
    <time dateTime={at} title={absolute(at)}>
      {ago(at, now)}
    </time>
  );
}

export type Level = "good" | "warn" | "bad";
export const usageLevel = (percent: number): Level => (percent >= 90 ? "bad" : percent >= 75 ? "warn" : "good");
export const batteryLevel = (percent: number): Level => (percent <= 15 ? "bad" : percent <= 30 ? "warn" : "good");

export function Bar({ percent, level, label }: { percent: number | null; level: Level; label?: ComponentChildren }) {
  if (percent === null) return <span class="muted">–</span>;
  return (
    <span class={`bar ${level}`}>
      <span class="track">
        <span class="fill" style={{ width: `${Math.max(2, Math.min(100, percent))}%` }} />
      </span>
      <span class="number">
        {Math.round(percent)}
        {" %"}
        {label}
      </span>
    </span>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="title">{title}</p>
      {children && <p>{children}</p>}
    </div>
  );
}

export function Fault({ error, retry }: { error: ApiError; retry?: () => void }) {
  return (
    <div class="fault" role="alert">
      <Icon name="alert" />
      <span>{error.message}</span>
      {retry && (
        <button type="button" class="plain" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

// A view whose subject is not there yet, cannot be had, or does not exist.
export function NotYet({ error, reload, absent, all: [href, list] }: {
  error: ApiError | null;
  reload: () => void;
  absent: string;
  all: [href: string, list: string];
}) {
  if (error?.status === 404) return <Absent title={absent} href={href} link={`Go to ${list}`} />;
  return error ? <Fault error={error} retry={reload} /> : <div class="card skeleton tall" role="status" aria-label="Loading" />;
}

export function Absent({ title, href, link }: { title: string; href: string; link: string }) {
  return (
    <div class="card empty">
      <h1 class="title">{title}</h1>
      <p><a href={href}>{link}</a></p>
    </div>
  );
}

export function Card({ title, aside, children, id }: {
  title: string;
  aside?: ComponentChildren;
  children: ComponentChildren;
  id: string;
}) {
  return (
    <section class="card" aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

export function Segments<T extends string>({ label, value, options, onChange }: {
  label: string;
  value: T;
  options: readonly { value: T; text: string; count?: number | undefined }[];
  onChange: (value: T) => void;
}) {
  return (
    <div class="segments" role="group" aria-label={label}>
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
        >
          {option.text}
          {option.count !== undefined && <span class="count">{option.count.toLocaleString("en")}</span>}
        </button>
      ))}
    </div>
  );
}

export function Dialog({ button, primary, id, title, children, confirm, danger, disabled, onConfirm }: {
  button: string;
  primary?: boolean; // what the view is mainly for
  id?: string; // where the same button stands more than once
  title: string;
  children: ComponentChildren;
  confirm: string;
  danger?: boolean;
  disabled: boolean;
  onConfirm: (form: FormData) => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const name = id ?? `dialog-${button.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  // Emptied when it is opened: the event of its closing may come when somebody types in it again already.
  const open = () => {
    dialog.current?.querySelector("form")?.reset();
    dialog.current?.showModal();
  };
  return (
    <>
      <button type="button" class={primary ? "primary" : ""} disabled={disabled} onClick={open}>{button}</button>
      <dialog ref={dialog} aria-labelledby={name}>
        <form
          method="dialog"
          onSubmit={(event) => onConfirm(new FormData(event.currentTarget))}
        >
          <h2 id={name}>{title}</h2>
          {children}
          <div class="buttons">
            <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
            <button type="submit" class={danger ? "primary danger" : "primary"}>{confirm}</button>
          </div>
        </form>
      </dialog>
    </>
  );
}

export const tagAddress = (tag: string): string => `/devices?query=${encodeURIComponent(`tag:"${tag}"`)}`;

// Leads to all devices with this tag.
export const Tag = ({ tag }: { tag: string }) => <a class="tag" href={tagAddress(tag)}>{tag}</a>;

// Leads to an export of what is shown.
export function ExportLink({ kind, query, device }: { kind: string; query?: string; device?: string }) {
  const wanted = new URLSearchParams({ kind });
  if (query) wanted.set("q", query);
  if (device) wanted.set("device", device);
  return <a class="button" href={`/exports?${wanted}`}>Export</a>;
}

// The filter box; "/" anywhere on the page goes to it (keys.ts), Escape empties it.
export function Filter({ label, placeholder, value, onChange }: {
  label: string;
  placeholder: string;
  value: string;
  onChange: (value: string) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  // Emptied from elsewhere ("show all"), but never under the fingers of whoever types.
  useEffect(() => {
    if (input.current && document.activeElement !== input.current) input.current.value = value;
  }, [value]);
  const change = (text: string, wait: number) => {
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => onChange(text.trim()), wait);
  };
  return (
    <label class="filter">
      <span class="sr">{label}</span>
      <Icon name="search" />
      <input
        ref={input}
        type="search"
        placeholder={placeholder}
        defaultValue={value}
        onInput={(event) => change(event.currentTarget.value, 200)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.currentTarget.value = "";
          change("", 0);
        }}
        autocomplete="off"
        spellcheck={false}
        aria-keyshortcuts="/"
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}

const plain = (value: Json): string =>
  value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);

// A JSON object as short "name value" pairs.
export function Pairs({ value }: { value: Json }) {
  if (value === null) return <span class="muted">–</span>;
  if (typeof value !== "object" || Array.isArray(value)) return <span>{plain(value)}</span>;
  const entries = Object.entries(value);
  if (entries.length === 0) return <span class="muted">–</span>;
  return (
    <span class="pairs">
      {entries.map(([name, member]) => (
        <span key={name}>
          <span class="muted">{name}</span> {plain(member)}
        </span>
      ))}
    </span>
  );
}

// Both ends of a long number, or the whole of it; all of it under the mouse, and to copy.
export function Short({ text, what, whole }: { text: string; what: string; whole?: boolean }) {
  const [copied, setCopied] = useState<boolean | null>(null);
  const short = !whole && text.length > 20 ? `${text.slice(0, 8)}…${text.slice(-8)}` : text;
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true), () => setCopied(false));
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(null), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <span class="short">
      <code title={text}>{copied === false ? text : short}</code>
      <button type="button" class="plain" aria-label={`Copy the ${what}`} onClick={() => void copy()}>
        {copied ? "Copied" : "Copy"}
      </button>
    </span>
  );
}
