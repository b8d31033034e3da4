// Serial numbers whose devices are let in without anybody being asked.
import { useRef, useState } from "preact/hooks";
import { ApiError, del, get, type Page, postText } from "./api";
import { count } from "./format";
import { useLoad } from "./hooks";
import { Card, Empty, Fault, Filter, Icon, Segments, Tag, Time } from "./parts";
import { useQuery } from "./router";

const PAGE = 100;
const FILE_MAX = 16 * 1024 * 1024; // bytes
const PIECE = 16 * 1024; // bytes of one request: some 1,000 rows, which a busy database takes within its time for a statement
const states = [
  { value: "", text: "All" },
  { value: "waiting", text: "Not come yet" },
  { value: "used", text: "Let in" },
];

interface Listed {
  serial: string;
  device: string | null;
  tags: string[];
  created_by: string;
  created_at: string;
  used_at: string | null;
}

interface Counts {
  added: number;
  changed: number;
  unchanged: number;
  used: number;
}

// Whole lines, each piece within what one request may hold. Lines of comments and the heading may stand anywhere.
export function pieces(text: string): string[] {
  const out: string[] = [];
  let piece = "";
  for (const line of text.split("\n")) {
    if (piece && new Blob([piece, line]).size > PIECE) {
      out.push(piece);
      piece = "";
    }
    piece += `${line}\n`;
  }
  if (piece.trim()) out.push(piece);
  return out;
}

export function Preapprovals() {
  const [q, setQ] = useQuery("q");
  const [state, setState] = useQuery("state");
  const [shown, setShown] = useState(PAGE);
  const [fault, setFault] = useState<ApiError | null>(null);
  const query = { q, state, limit: shown };
  const list = useLoad(JSON.stringify(query), (signal) => get<Page<Listed>>("preapprovals", query, signal));
  const remove = async (serial: string) => {
    setFault(null);
    try {
      await del(`preapprovals/${encodeURIComponent(serial)}`);
    } catch (thrown) {
      setFault(thrown as ApiError);
    }
    list.reload();
  };
  const items = list.data?.items;
  return (
    <>
      <Import done={list.reload} />
      {(fault ?? list.error) && <Fault error={(fault ?? list.error)!} retry={list.reload} />}
      <div class="toolbar">
        <Filter label="Filter" placeholder="Serial number or device" value={q} onChange={setQ} />
        <Segments label="State" value={state} options={states} onChange={setState} />
      </div>
      <div class="card">
        {!items ? (
          !list.error && <div class="skeleton tall" role="status" aria-label="Loading" />
        ) : items.length === 0 ? (
          <Empty title={q || state ? "No serial number matches" : "The list is empty"}>
            {q || state ? (
              <button type="button" onClick={() => { setQ(""); setState(""); }}>Show all</button>
            ) : (
              "Import the serial numbers of a delivery: its devices are let in when they ask, whichever comes first."
            )}
          </Empty>
        ) : (
          <div class="table-wrap">
            <table class="labelled" data-testid="preapprovals">
              <thead>
                <tr>
                  <th scope="col">Serial number</th>
                  <th scope="col">Its name</th>
                  <th scope="col">Tags</th>
                  <th scope="col">Listed</th>
                  <th scope="col">Let in</th>
                  <th scope="col"><span class="sr">Remove</span></th>
                </tr>
              </thead>
              <tbody>
                {items.map((item) => (
                  <tr key={item.serial} data-serial={item.serial}>
                    <th scope="row">{item.serial}</th>
                    <td data-label="Its name">{item.device ?? <span class="muted">as it asks</span>}</td>
                    <td data-label="Tags">{item.tags.map((tag) => <Tag key={tag} tag={tag} />)}</td>
                    <td data-label="Listed"><Time at={item.created_at} /> <span class="muted">by {item.created_by}</span></td>
                    <td data-label="Let in"><Time at={item.used_at} none="not yet" /></td>
                    <td class="end">
                      <button type="button" aria-label={`Remove ${item.serial}`} onClick={() => void remove(item.serial)}>Remove</button>
                    </td>
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

function Import({ done }: { done: () => void }) {
  const [fault, setFault] = useState<ApiError | null>(null);
  const [progress, setProgress] = useState<{ at: number; of: number } | null>(null);
  const [told, setTold] = useState<Counts | null>(null);
  const area = useRef<HTMLTextAreaElement>(null);
  const send = async (text: string) => {
    const sum: Counts = { added: 0, changed: 0, unchanged: 0, used: 0 };
    const all = pieces(text);
    setFault(null);
    setTold(null);
    try {
      for (const [at, piece] of all.entries()) {
        setProgress({ at, of: all.length });
        const counts = await postText<Counts>("preapprovals", piece, "text/csv");
        for (const name of Object.keys(sum) as (keyof Counts)[]) sum[name] += counts[name];
      }
      if (area.current) area.current.value = "";
    } catch (thrown) {
      const error = thrown as ApiError;
      const before = sum.added + sum.changed > 0 ? `${count(sum.added + sum.changed)} lines before these were taken. ` : "";
      setFault(new ApiError(error.status, before + error.message));
    }
    setProgress(null);
    setTold(sum);
    done();
  };
  const choose = async (input: HTMLInputElement) => {
    const file = input.files?.[0];
    if (!file) return;
    if (file.size > FILE_MAX) setFault(new ApiError(422, "The file is larger than 16 MB: divide it."));
    else await send(await file.text());
    input.value = "";
  };
  return (
    <Card id="import-title" title="Import">
      <div class="body">
        <label class="paste">
          Lines of <code>serial,device,tags</code>, of which the last two may be missing; tags are separated by ;
          <textarea ref={area} rows={3} placeholder={"SN-00017,till-17,shop;north\nSN-00018"} spellcheck={false} />
        </label>
        <p class="buttons">
          <button type="button" class="primary" disabled={progress !== null} onClick={() => void send(area.current?.value ?? "")}>
            Import
          </button>
          <label class="file">
            or a CSV file
            <input type="file" accept=".csv,text/csv,text/plain" disabled={progress !== null} onChange={(event) => void choose(event.currentTarget)} />
          </label>
          {progress && progress.of > 1 && <progress value={progress.at} max={progress.of} aria-label="Import" />}
        </p>
        {fault && (
          <div class="fault lines" role="alert">
            <Icon name="alert" />
            <span>{fault.message}</span>
          </div>
        )}
        {told && !fault && (
          <p class="good" role="status" data-testid="imported">
            {count(told.added)} added, {count(told.changed)} changed, {count(told.unchanged)} as they were
            {told.used > 0 && `, ${count(told.used)} left alone, as they let a device in already`}
          </p>
        )}
      </div>
    </Card>
  );
}
