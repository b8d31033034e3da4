// Groups of devices, and tags.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, get, type Group, type Page, post, type TagCount } from "./api";
import { count } from "./format";
import { useLoad } from "./hooks";
import { usePages } from "./pages";
import { Card, Dialog, Empty, Fault, Segments, Time } from "./parts";
import { navigate, useQuery } from "./router";
import type { ViewProps } from "./views";

const PAGE = 100;
const NAME = "[a-z0-9][a-z0-9._\\-]{0,62}";

export default function GroupsView({ who: { can_act: canAct } }: ViewProps) {
  const groups = usePages<Group>("", (after, signal) => get<Page<Group>>("groups", { after, limit: PAGE }, signal));
  return (
    <>
      <div class="heading">
        <h1>Groups and tags</h1>
        <p class="muted">What commands, campaigns and queries can be for.</p>
        {canAct && <div class="end"><NewGroup /></div>}
      </div>
      <Card id="groups" title="Groups">
        {groups.error && <Fault error={groups.error} retry={groups.reload} />}
        {!groups.items ? (
          !groups.error && <div class="skeleton" role="status" aria-label="Loading" />
        ) : groups.items.length === 0 ? (
          <Empty title="No groups yet">
            A group has listed devices, or all those that match a query, such as <code>os:android tag:kiosk</code>.
          </Empty>
        ) : (
          <GroupTable items={groups.items} />
        )}
        {groups.next && (
          <p class="foot inside"><span /><button type="button" onClick={groups.more} disabled={groups.loading}>Show {PAGE} more</button></p>
        )}
      </Card>
      <Tags canAct={canAct} />
    </>
  );
}

function GroupTable({ items }: { items: Group[] }) {
  return (
    <div class="table-wrap">
      <table class="groups" data-testid="groups">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Devices</th>
            <th scope="col">Description</th>
            <th scope="col">Changed</th>
          </tr>
        </thead>
        <tbody>
          {items.map((group) => (
            <tr key={group.name} data-group={group.name}>
              <th scope="row"><a href={`/groups/${encodeURIComponent(group.name)}`}>{group.name}</a></th>
              <td>{group.query === null ? `${count(group.listed ?? 0)} listed` : <code>{group.query || "everything"}</code>}</td>
              <td class="description">{group.description}</td>
              <td class="at"><Time at={group.changed_at} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function NewGroup() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [kind, setKind] = useState<"listed" | "query">("listed");
  const [error, setError] = useState<ApiError | null>(null);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    setError(null);
    try {
      const body = { name: text("name"), description: text("description") };
      const made = await post<Group>("groups", kind === "query" ? { ...body, query: text("query") } : body);
      navigate(`/groups/${encodeURIComponent(made.name)}`);
    } catch (thrown) {
      setError(thrown as ApiError);
    }
  };
  return (
    <>
      <button type="button" class="primary" onClick={() => dialog.current?.showModal()}>New group…</button>
      <dialog ref={dialog} aria-labelledby="new-group">
        <form onSubmit={(event) => void submit(event)}>
          <h2 id="new-group">New group</h2>
          <div class="field">
            <label for="group-name">Name</label>
            <input id="group-name" name="name" required pattern={NAME} autocomplete="off" autocapitalize="none" spellcheck={false}
              aria-describedby="group-name-hint" />
            <p id="group-name-hint" class="hint">Small letters, digits, dots and hyphens.</p>
          </div>
          <div class="field">
            <label for="group-description">Description</label>
            <input id="group-description" name="description" maxLength={400} autocomplete="off" />
          </div>
          <div class="field">
            <span class="label" aria-hidden="true">Its devices</span>
            <Segments label="Its devices" value={kind} onChange={setKind}
              options={[{ value: "listed", text: "Are listed" }, { value: "query", text: "Match a query" }]} />
          </div>
          {kind === "query" && (
            <div class="field">
              <label for="group-query">Query</label>
              <input id="group-query" name="query" autocomplete="off" autocapitalize="none" spellcheck={false} aria-describedby="group-query-hint" />
              <p id="group-query-hint" class="hint">Such as <code>os:android tag:kiosk</code>; empty: everything.</p>
            </div>
          )}
          {error && <Fault error={error} />}
          <div class="buttons">
            <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
            <button type="submit" class="primary">Make it</button>
          </div>
        </form>
      </dialog>
    </>
  );
}

// ---- tags ----

// In several steps where there are many devices; told how far it is.
async function everywhere(path: string, body: { [name: string]: string }, told: (changed: number) => void): Promise<void> {
  let changed = 0;
  for (;;) {
    const step = await post<{ changed: number; more: boolean }>(path, body);
    changed += step.changed;
    told(changed);
    if (!step.more) return;
  }
}

function Tags({ canAct }: { canAct: boolean }) {
  const tags = useLoad("tags", (signal) => get<{ items: TagCount[] }>("tags", {}, signal));
  const [find, setFind] = useQuery("tag");
  const [busy, setBusy] = useState("");
  const [error, setError] = useState<ApiError | null>(null);
  const change = async (path: string, body: { [name: string]: string }) => {
    setError(null);
    setBusy("0 devices changed…");
    try {
      await everywhere(path, body, (changed) => setBusy(`${count(changed)} devices changed…`));
    } catch (thrown) {
      setError(thrown as ApiError);
    }
    setBusy("");
    tags.reload();
  };
  const items = (tags.data?.items ?? []).filter(({ tag }) => tag.toLowerCase().includes(find.toLowerCase()));
  useEffect(() => () => setBusy(""), []);
  return (
    <Card id="tags" title="Tags" aside={
      <label class="named">
        <span class="sr">Find a tag</span>
        <input type="search" placeholder="Find a tag" value={find} onInput={(event) => setFind(event.currentTarget.value)} autocomplete="off" />
      </label>
    }>
      {tags.error && <Fault error={tags.error} retry={tags.reload} />}
      {error && <Fault error={error} />}
      <p class="inside muted" role="status">{busy}</p>
      {tags.data && items.length === 0 && (
        <Empty title={find ? "No tag matches" : "No tags yet"}>
          {find ? "" : <>Tag devices where they are listed, or with <code>muster device tag DEVICE TAG</code>.</>}
        </Empty>
      )}
      {items.length > 0 && (
        <div class="table-wrap">
          <table class="tags" data-testid="tags">
            <thead>
              <tr>
                <th scope="col">Tag</th>
                <th scope="col">Devices</th>
                {canAct && <th scope="col"><span class="sr">What to do</span></th>}
              </tr>
            </thead>
            <tbody>
              {items.map((one) => (
                <tr key={one.tag} data-tag={one.tag}>
                  <th scope="row"><a href={`/devices?query=${encodeURIComponent(`tag:"${one.tag}"`)}`}>{one.tag}</a></th>
                  <td>{count(one.devices)}</td>
                  {canAct && <td class="decide"><TagMoves tag={one} disabled={busy !== ""} change={change} /></td>}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function TagMoves({ tag: { tag, devices }, disabled, change }: {
  tag: TagCount;
  disabled: boolean;
  change: (path: string, body: { [name: string]: string }) => Promise<void>;
}) {
  const id = `tag-${tag.replace(/[^A-Za-z0-9]/g, "-")}`;
  return (
    <>
      <Dialog button="Rename…" id={`${id}-rename`} title={`Rename ${tag}`} confirm="Rename it" disabled={disabled}
        onConfirm={(form) => void change("tags/rename", { tag, to: String(form.get("to") ?? "").trim() })}>
        <p>On {count(devices)} devices. Queries and groups that name the tag are not changed.</p>
        <div class="field">
          <label for={`${id}-to`}>New name</label>
          <input id={`${id}-to`} name="to" required maxLength={64} autocomplete="off" />
        </div>
      </Dialog>{" "}
      <Dialog button="Remove…" id={`${id}-remove`} title={`Remove ${tag}`} confirm="Remove it" danger disabled={disabled}
        onConfirm={() => void change("tags/remove", { tag })}>
        <p>{count(devices)} devices lose it; the devices stay.</p>
      </Dialog>
    </>
  );
}
