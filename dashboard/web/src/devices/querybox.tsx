// The box in which a person says which devices: completes fields and values, and shows what is wrong where it is.
import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, get } from "../api";
import { Icon } from "../parts";

const APPLY_MS = 350;
const SHOWN_MAX = 8;

// The fields of docs/protocol.md, section 18, with what stands behind them.
const fields: [name: string, op: string, hint: string, values?: string[]][] = [
  ["status", ":", "online, stale, offline, never, revoked", ["online", "stale", "offline", "never", "revoked"]],
  ["tag", ":", "has this tag"],
  ["group", ":", "is in this group"],
  ["filter", ":", "matches this saved filter"],
  ["os", ":", "android, linux, …", ["android", "linux", "debian", "ubuntu"]],
  ["device", ":", "its id, * for any part"],
  ["name", ":", "its name, * for any part"],
  ["battery", "<", "percent"],
  ["memory", ">", "percent used"],
  ["disk", ">", "percent used"],
  ["cpu", ">", "percent"],
  ["seen", ">", "how long ago: 15m, 12h, 7d", ["5m", "1h", "1d", "7d", "30d"]],
  ["uptime", ">", "how long: 12h, 7d", ["1h", "1d", "7d", "30d"]],
  ["enrolled", "<", "how long ago: 7d", ["1d", "7d", "30d"]],
  ["agent", ":", "version of its agent, as 1.4.*"],
  ["network", ":", "wifi, ethernet, …", ["wifi", "ethernet", "lte"]],
  ["charging", ":", "yes or no", ["yes", "no"]],
  ["temperature", ">", "degrees Celsius"],
  ["load", ">", "over one minute"],
  ["rssi", "<", "signal in dBm"],
  ["cell", ":", "number of its broker"],
];

interface Option {
  text: string; // in place of the word at the cursor
  hint: string;
  more: boolean; // a value follows
}

// Names come from the server when they are first asked for.
type Named = "group" | "filter" | "tag";
const names: { [field in Named]?: Promise<string[]> } = {};
function namesOf(field: Named): Promise<string[]> {
  names[field] ??= get<{ items: { name?: string; tag?: string }[] }>(`${field}s`, field === "tag" ? {} : { limit: 500 }).then(
    ({ items }) => items.map(({ name, tag }) => name ?? tag ?? ""),
    () => {
      delete names[field];
      return [];
    },
  );
  return names[field];
}

export const forgetNames = (): void => {
  for (const field of ["group", "filter", "tag"] as const) delete names[field];
};

// The word that the cursor is in or behind.
function wordAt(text: string, at: number): { word: string; from: number } {
  const from = text.slice(0, at).search(/\S*$/);
  return { word: text.slice(from, at), from };
}

const quoted = (value: string): string => (/[\s,"]/.test(value) ? `"${value.replace(/(["\\])/g, "\\$1")}"` : value);

async function optionsFor(word: string): Promise<Option[]> {
  const minus = word.startsWith("-") ? "-" : "";
  const [, name, op, rest] = /^-?([a-z]+)(:|=|<=|>=|<|>)(.*)$/.exec(word) ?? [];
  if (!name) {
    const begun = word.slice(minus.length).toLowerCase();
    return fields.filter(([field]) => field.startsWith(begun)).map(([field, usual, hint]) => ({ text: `${minus}${field}${usual}`, hint, more: true }));
  }
  const done = rest!.includes(",") ? rest!.slice(0, rest!.lastIndexOf(",") + 1) : "";
  const begun = rest!.slice(done.length).toLowerCase();
  const values =
    name === "tag" || name === "group" || name === "filter" ? await namesOf(name) : (fields.find(([field]) => field === name)?.[3] ?? []);
  return values.filter((value) => value.toLowerCase().startsWith(begun) && value.toLowerCase() !== begun)
    .map((value) => ({ text: `${minus}${name}${op}${done}${quoted(value)}`, hint: "", more: false }));
}

// The server names the column where the term begins that it could not read.
function faultyTerm(text: string, error: ApiError): { before: string; term: string; why: string } | null {
  const [, column, why] = /^query, column (\d+): (.*)$/.exec(error.message) ?? [];
  if (!column) return null;
  // It counts bytes.
  const before = new TextDecoder().decode(new TextEncoder().encode(text).slice(0, Number(column) - 1));
  return { before, term: /^\S*/.exec(text.slice(before.length))![0] || " ", why: why! };
}

interface QueryBoxProps {
  value: string;
  onChange: (value: string) => void;
  error: ApiError | null; // of value
}

export function QueryBox({ value, onChange, error }: QueryBoxProps) {
  const input = useRef<HTMLInputElement>(null);
  const timer = useRef(0);
  const [options, setOptions] = useState<Option[]>([]);
  const [chosen, setChosen] = useState(-1);
  useEffect(() => () => clearTimeout(timer.current), []);
  // From elsewhere (a saved filter, "show all"), but never under the fingers of whoever types.
  useEffect(() => {
    if (input.current && (document.activeElement !== input.current || value === "")) input.current.value = value;
  }, [value]);
  const close = () => {
    setOptions([]);
    setChosen(-1);
  };
  const suggest = async () => {
    const box = input.current!;
    const asked = box.value;
    const found = await optionsFor(wordAt(asked, box.selectionStart ?? asked.length).word);
    if (input.current?.value !== asked || document.activeElement !== box) return;
    setOptions(found.slice(0, SHOWN_MAX));
    setChosen(-1);
  };
  const apply = (wait: number) => {
    clearTimeout(timer.current);
    const text = input.current!.value.trim();
    // A term without its value is not meant yet.
    if (wait > 0 && /[:<>=,]$/.test(text)) return;
    timer.current = window.setTimeout(() => onChange(text), wait);
  };
  const take = (option: Option) => {
    const box = input.current!;
    const at = box.selectionStart ?? box.value.length;
    const { from } = wordAt(box.value, at);
    const text = option.more ? option.text : `${option.text} `;
    box.value = box.value.slice(0, from) + text + box.value.slice(at).trimStart();
    box.setSelectionRange(from + text.length, from + text.length);
    box.focus();
    apply(APPLY_MS);
    void suggest();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step && options.length > 0) setChosen((chosen + step + options.length + (chosen < 0 && step < 0 ? 1 : 0)) % options.length);
    else if ((event.key === "Enter" || event.key === "Tab") && options[chosen]) take(options[chosen]);
    else if (event.key === "Enter") {
      close();
      apply(0);
      return;
    } else if (event.key === "Escape" && options.length > 0) close();
    else if (event.key === "Escape") {
      input.current!.value = "";
      apply(0);
    } else return;
    event.preventDefault();
  };
  const fault = error && faultyTerm(value, error);
  const open = options.length > 0;
  return (
    <div class="query">
      <label class="filter">
        <span class="sr">Filter devices</span>
        <Icon name="search" />
        <input
          ref={input}
          type="text"
          role="combobox"
          placeholder="status:offline tag:kiosk battery<20"
          defaultValue={value}
          onInput={() => { apply(APPLY_MS); void suggest(); }}
          onFocus={() => void suggest()}
          onClick={() => void suggest()}
          onBlur={close}
          onKeyDown={onKeyDown}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          aria-keyshortcuts="/"
          aria-autocomplete="list"
          aria-expanded={open}
          aria-controls="query-options"
          aria-activedescendant={open && chosen >= 0 ? `query-option-${chosen}` : undefined}
          aria-invalid={error !== null}
          aria-describedby={error ? "query-fault" : undefined}
        />
        <kbd aria-hidden="true">/</kbd>
      </label>
      <ul id="query-options" role="listbox" aria-label="What may stand here" hidden={!open}>
        {options.map((option, i) => (
          <li
            key={option.text}
            id={`query-option-${i}`}
            role="option"
            aria-selected={i === chosen}
            onPointerDown={(event) => { event.preventDefault(); take(option); }}
          >
            <code>{option.text}</code>
            <span class="muted">{option.hint}</span>
          </li>
        ))}
      </ul>
      {error && (
        <p id="query-fault" class="query-fault" role="alert" data-testid="query-fault">
          {fault && <code>{fault.before.slice(-40)}<mark>{fault.term}</mark></code>}
          {fault ? fault.why : error.message}
        </p>
      )}
    </div>
  );
}
