// Devices that asked to be let in by themselves, decided one by one or together.
import { useEffect, useState } from "preact/hooks";
import { ApiError, get, type Page, post, type Registration } from "./api";
import { count } from "./format";
import { useLoad } from "./hooks";
import { Dialog, Empty, Fault, Filter, Segments, Time } from "./parts";
import { Decisions, says } from "./registrations";
import { useQuery } from "./router";

const PAGE = 100;
const EVERY_MS = 10_000;
const AT_ONCE = 100; // of one request
const states = [
  { value: "", text: "Waiting" },
  { value: "approved", text: "Approved" },
  { value: "issued", text: "Let in" },
  { value: "rejected", text: "Rejected" },
  { value: "all", text: "All" },
];
const words: { [state in Registration["state"]]: string } = {
  pending: "Waiting",
  approved: "Approved, has not come for it yet",
  issued: "Let in",
  rejected: "Rejected",
};

type Verb = "approve" | "reject";
interface Outcome {
  id: string;
  done: boolean;
  detail?: string;
}

export function Waiting({ mayDecide }: { mayDecide: boolean }) {
  const [q, setQ] = useQuery("q");
  const [state, setState] = useQuery("state");
  const [shown, setShown] = useState(PAGE);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const query = { state: state === "all" ? "" : state || "pending", serial: q ? `*${q}*` : "", limit: Math.min(shown, 500) };
  const list = useLoad(JSON.stringify(query), (signal) => get<Page<Registration>>("registrations", query, signal));
  useEffect(() => setChosen(new Set()), [q, state]);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) list.reload();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const { decide, decideAll, progress, fault, refused } = useDecisions(() => {
    setChosen(new Set());
    list.reload();
  });
  const items = list.data?.items;
  const open = items?.filter((item) => item.state === "pending") ?? [];
  const picked = open.filter((item) => chosen.has(item.id)).map((item) => item.id);
  return (
    <>
      <div class="toolbar">
        <Filter label="Filter by serial number" placeholder="Serial number" value={q} onChange={setQ} />
        <Segments label="State" value={state} options={states} onChange={setState} />
      </div>
      {(fault ?? list.error) && <Fault error={(fault ?? list.error)!} retry={list.reload} />}
      {refused.length > 0 && <Refused refused={refused} />}
      {mayDecide && picked.length > 0 && <Together picked={picked} busy={progress} decide={decideAll} />}
      <div class="card">
        {!items ? (
          !list.error && <div class="skeleton tall" role="status" aria-label="Loading" />
        ) : items.length === 0 ? (
          <Empty title={q || state ? "No registration matches" : "Nobody waits"}>
            {q || state ? (
              <button type="button" onClick={() => { setQ(""); setState(""); }}>Show those that wait</button>
            ) : (
              <>
                A device asks with <code>muster-agent register</code>, and appears here by itself. One that has{" "}
                <a href="/enrolment?show=tokens">a token</a> is let in at once.
              </>
            )}
          </Empty>
        ) : (
          <div class="table-wrap">
            <table class="registrations labelled" data-testid="waiting">
              <thead>
                <tr>
                  {mayDecide && (
                    <th scope="col" class="pick">
                      <input
                        type="checkbox"
                        aria-label="All shown"
                        disabled={open.length === 0}
                        checked={open.length > 0 && picked.length === open.length}
                        onChange={(event) => setChosen(new Set(event.currentTarget.checked ? open.map(({ id }) => id) : []))}
                      />
                    </th>
                  )}
                  <th scope="col">Asks to be</th>
                  <th scope="col">Serial number</th>
                  <th scope="col">Model</th>
                  <th scope="col">From</th>
                  <th scope="col">Since</th>
                  <th scope="col">Its id</th>
                  {mayDecide && <th scope="col"><span class="sr">Decide</span></th>}
                </tr>
              </thead>
              <tbody>
                {items.map((item) => (
                  <tr key={item.id} data-registration={item.id}>
                    {mayDecide && (
                      <td class="pick">
                        {item.state === "pending" && (
                          <input
                            type="checkbox"
                            aria-label={`Choose ${item.wish ?? item.id}`}
                            checked={chosen.has(item.id)}
                            onChange={() => setChosen(toggled(chosen, item.id))}
                          />
                        )}
                      </td>
                    )}
                    <th scope="row" class="device">
                      {item.wish ?? <span class="muted">any name</span>}
                      {item.taken && <span class="tag off">taken</span>}
                      {item.state !== "pending" && <span class="tag">{words[item.state]}</span>}
                    </th>
                    <td data-label="Serial number">{item.serial ?? <span class="muted">–</span>}</td>
                    <td data-label="Model">{says(item.info.model) ?? says(item.info.os_name) ?? <span class="muted">–</span>}</td>
                    <td data-label="From">{item.peer}</td>
                    <td data-label="Since"><Time at={item.created_at} /></td>
                    <td data-label="Its id"><code>{item.id}</code></td>
                    {mayDecide && <td class="decide">{item.state === "pending" && <Decisions item={item} decide={decide} />}</td>}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {list.data?.next && shown < 500 && (
        <p class="foot">
          <span>{count(items?.length ?? 0)} shown</span>
          <button type="button" onClick={() => setShown(500)}>Show more</button>
        </p>
      )}
    </>
  );
}

function toggled(set: ReadonlySet<string>, id: string): ReadonlySet<string> {
  const next = new Set(set);
  if (!next.delete(id)) next.add(id);
  return next;
}

function useDecisions(after: () => void) {
  const [fault, setFault] = useState<ApiError | null>(null);
  const [refused, setRefused] = useState<Outcome[]>([]);
  const [progress, setProgress] = useState<{ done: number; of: number } | null>(null);
  const decide = async (item: Registration, verb: Verb, body: { [name: string]: string }) => {
    setFault(null);
    try {
      await post(`registrations/${item.id}/${verb}`, body);
    } catch (thrown) {
      setFault(thrown as ApiError);
    }
    after();
  };
  // In pieces that the server takes, one after the other.
  const decideAll = async (verb: Verb, ids: string[], more: { [name: string]: string | string[] }) => {
    const bad: Outcome[] = [];
    setFault(null);
    setRefused([]);
    try {
      for (let done = 0; done < ids.length; done += AT_ONCE) {
        setProgress({ done, of: ids.length });
        const answer = await post<{ items: Outcome[] }>("registrations/decide", { verb, ids: ids.slice(done, done + AT_ONCE), ...more });
        bad.push(...answer.items.filter((item) => !item.done));
      }
    } catch (thrown) {
      setFault(thrown as ApiError);
    }
    setProgress(null);
    setRefused(bad);
    after();
  };
  return { decide, decideAll, progress, fault, refused };
}

function Refused({ refused }: { refused: Outcome[] }) {
  return (
    <div class="fault" role="alert" data-testid="refused">
      <ul>
        {refused.map(({ id, detail }) => (
          <li key={id}>
            <code>{id}</code> {detail}
          </li>
        ))}
      </ul>
    </div>
  );
}

const tagsOf = (form: FormData): string[] =>
  String(form.get("tags") ?? "").split(",").map((tag) => tag.trim()).filter(Boolean);

function Together({ picked, busy, decide }: {
  picked: string[];
  busy: { done: number; of: number } | null;
  decide: (verb: Verb, ids: string[], more: { [name: string]: string | string[] }) => Promise<void>;
}) {
  const many = `${count(picked.length)} ${picked.length === 1 ? "device" : "devices"}`;
  return (
    <div class="bulk-bar" role="region" aria-label="Chosen" data-testid="together">
      <span>{busy ? `${count(busy.done)} of ${count(busy.of)} done` : `${many} chosen`}</span>
      <Dialog
        button="Approve all…"
        title={`Let ${many} in?`}
        confirm={`Approve ${count(picked.length)}`}
        disabled={busy !== null}
        onConfirm={(form) => void decide("approve", picked, { tags: tagsOf(form) })}
      >
        <label>
          Tags for all of them
          <input name="tags" placeholder="shop, north" />
        </label>
        <p class="hint">
          Each gets the name that it asks for; one whose name is taken stays and says so. Serial number and model are what devices say
          of themselves: approve many only where you know that these are yours.
        </p>
      </Dialog>
      <Dialog
        button="Reject all…"
        title={`Reject ${many}?`}
        confirm={`Reject ${count(picked.length)}`}
        danger
        disabled={busy !== null}
        onConfirm={(form) => void decide("reject", picked, { reason: String(form.get("reason") ?? "") })}
      >
        <label>
          Why
          <input name="reason" maxLength={200} />
        </label>
        <p class="hint">The devices are told the reason. An administrator may still approve them later.</p>
      </Dialog>
    </div>
  );
}
