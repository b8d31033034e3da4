// What runs and is installed on it, to search; and how that and the rest of its inventory changed.
import { useEffect, useState } from "preact/hooks";
import { type DeviceDetail, get, type InventoryChange, type Json, type Page } from "./api";
import { count } from "./format";
import { usePages } from "./pages";
import { Card, Empty, Fault, Filter, Icon, Pairs, Segments, Time } from "./parts";
import { useQuery } from "./router";

const SHOWN = 50;
const PAGE = 30;
const KINDS = ["software", "services"] as const;

interface Item {
  name: string;
  rest: { [name: string]: Json };
}

// Elements of its lists; what has no name is shown as it is.
function itemsOf(body: Json): Item[] {
  if (body === null || typeof body !== "object") return [];
  return Object.values(body)
    .filter(Array.isArray)
    .flat()
    .map((item) => {
      if (item === null || typeof item !== "object" || Array.isArray(item)) return { name: String(item), rest: {} };
      const { name, ...rest } = item;
      return name === undefined ? { name: "", rest } : { name: String(name), rest };
    });
}

export function SoftwareCards({ device }: { device: DeviceDetail }) {
  const [words, setWords] = useQuery("find");
  return (
    <div class="columns software">
      <SoftwareCard device={device} words={words} setWords={setWords} />
      <ChangesCard device={device} words={words} />
    </div>
  );
}

function SoftwareCard({ device, words, setWords }: { device: DeviceDetail; words: string; setWords: (words: string) => void }) {
  const [chosen, choose] = useQuery("list");
  const [shown, setShown] = useState(SHOWN);
  const known = KINDS.map((kind) => ({ kind, items: itemsOf(device.inventory[kind]?.body ?? null) }));
  const kind = KINDS.find((name) => name === chosen) ?? known.find(({ items }) => items.length > 0)?.kind ?? "software";
  const items = known.find((one) => one.kind === kind)!.items;
  const report = device.inventory[kind];
  const lower = words.toLowerCase();
  const found = lower ? items.filter((item) => item.name.toLowerCase().includes(lower)) : items;
  useEffect(() => setShown(SHOWN), [kind, words]);
  return (
    <Card
      id="software-title"
      title="Software and services"
      aside={
        <Segments
          label="List"
          value={kind}
          options={known.map((one) => ({ value: one.kind, text: one.kind === "software" ? "Software" : "Services", count: one.items.length }))}
          onChange={choose}
        />
      }
    >
      <div class="search">
        <Filter label="Find software, services and changes" placeholder="Part of a name" value={words} onChange={setWords} />
        {report && <span class="muted">as of <Time at={report.ts} /></span>}
      </div>
      {items.length === 0 ? (
        <Empty title="Nothing reported">The agent sends {kind} once it is connected, and again when it changes.</Empty>
      ) : found.length === 0 ? (
        <Empty title="Nothing of that name"><button type="button" onClick={() => setWords("")}>Show all</button></Empty>
      ) : (
        <>
          <ul class="things" tabIndex={0} aria-label="What it has" data-testid="things">
            {found.slice(0, shown).map((item, i) => (
              <li key={`${item.name} ${i}`}>
                <span class="name">{item.name || <span class="muted">without a name</span>}</span>
                {Object.keys(item.rest).length > 0 && <Pairs value={item.rest} />}
              </li>
            ))}
          </ul>
          <p class="foot">
            <span>{count(Math.min(shown, found.length))} of {count(found.length)}</span>
            {found.length > shown && (
              <button type="button" onClick={() => setShown(shown + 4 * SHOWN)}>Show {count(Math.min(4 * SHOWN, found.length - shown))} more</button>
            )}
          </p>
        </>
      )}
    </Card>
  );
}

const changes = {
  added: { sign: "plus", word: "Added", tone: "good" },
  removed: { sign: "minus", word: "Removed", tone: "bad" },
  changed: { sign: "running", word: "Changed", tone: "" },
  rest: { sign: "waiting", word: "", tone: "" },
};

function ChangesCard({ device, words }: { device: DeviceDetail; words: string }) {
  const path = `devices/${encodeURIComponent(device.device)}/inventory/changes`;
  const reported = Object.values(device.inventory).map(({ received_at }) => received_at).sort().at(-1) ?? "";
  const key = `${device.device} ${words} ${reported}`;
  const { items, next, error, loading, more, reload } = usePages<InventoryChange>(key, (after, signal) =>
    get<Page<InventoryChange>>(path, { q: words, limit: PAGE, after }, signal),
  );
  return (
    <Card id="changes-title" title="Changes" aside={<span class="muted">of the whole inventory</span>}>
      {error && error.status !== 503 && <Fault error={error} retry={reload} />}
      {items && items.length === 0 && (
        <Empty title={words ? "No change of that name" : "No change yet"}>
          {words ? "The search above looks here, too." : "What comes, goes or becomes another version appears here."}
        </Empty>
      )}
      {items && items.length > 0 && (
        <>
          <ol class="inventory-changes" tabIndex={0} aria-label="What changed" data-testid="changes">
            {items.map((item, i) => (
              <Line key={item.id} item={item} fresh={item.at !== items[i - 1]?.at || item.kind !== items[i - 1]?.kind} />
            ))}
          </ol>
          {next && (
            <p class="foot">
              <span>{count(items.length)} shown</span>
              <button type="button" disabled={loading} onClick={more}>Show more</button>
            </p>
          )}
        </>
      )}
    </Card>
  );
}

function Line({ item, fresh }: { item: InventoryChange; fresh: boolean }) {
  const { sign, word, tone } = changes[item.change];
  return (
    <li class={fresh ? "fresh" : ""}>
      {fresh && (
        <p class="when">
          <Time at={item.at} /> <span class="tag">{item.kind}</span>
        </p>
      )}
      <div class={`change ${tone}`}>
        <Icon name={sign} />
        {item.change === "rest" ? (
          <span class="muted">and {count(Number(item.after))} more</span>
        ) : (
          <span>
            <span class="sr">{word} </span>
            <strong>{item.name}</strong> <Difference item={item} />
          </span>
        )}
      </div>
    </li>
  );
}

const isObject = (value: Json): value is { [name: string]: Json } =>
  value !== null && typeof value === "object" && !Array.isArray(value);
const text = (value: Json | undefined): string =>
  value === undefined || value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);

// Of a thing that changed, the members that did.
function Difference({ item: { change, before, after } }: { item: InventoryChange }) {
  if (change !== "changed") {
    const value = change === "added" ? after : before;
    return value === null ? null : <span class="muted"><Pairs value={value} /></span>;
  }
  if (!isObject(before) || !isObject(after)) return <span class="muted">{text(before)} → {text(after)}</span>;
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const differing = names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
  return (
    <span class="muted">
      {differing.map((name) => `${name} ${text(before[name])} → ${text(after[name])}`).join(", ")}
    </span>
  );
}
