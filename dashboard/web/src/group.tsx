// One group: its devices, who may be added and taken out, and what it is used for.
import { useState } from "preact/hooks";
import { ApiError, del, type Device, get, type GroupDetail, type Page, patch, post } from "./api";
import { CampaignBadge } from "./campaign-parts";
import { ComposeButton } from "./commands";
import { count } from "./format";
import { useLoad } from "./hooks";
import { usePages } from "./pages";
import { Card, Dialog, Empty, Fault, Filter, Icon, NotYet, StatusBadge, Tag, Time } from "./parts";
import { navigate, useQuery } from "./router";
import { devicesOf } from "./targets";
import type { ViewProps } from "./views";

const PAGE = 100;
const STEP = 5000; // devices of one request

export default function GroupView({ who: { can_act: canAct }, args: [name] }: ViewProps) {
  const path = `groups/${encodeURIComponent(name!)}`;
  const loaded = useLoad(name!, (signal) => get<GroupDetail>(path, {}, signal));
  const [error, setError] = useState<ApiError | null>(null);
  const group = loaded.data;
  const attempt = async (act: () => Promise<unknown>) => {
    setError(null);
    try {
      await act();
      loaded.reload();
    } catch (thrown) {
      setError(thrown as ApiError);
    }
  };
  if (!group) return <NotYet {...loaded} absent={`There is no group ${name}`} all={["/groups", "all groups"]} />;
  return (
    <>
      <a class="back" href="/groups"><Icon name="back" /> Groups and tags</a>
      <div class="heading">
        <h1>{group.name}</h1>
        <p class="muted">
          <a href={`/devices?query=${encodeURIComponent(`group:${group.name}`)}`}>{count(group.devices)} {group.devices === 1 ? "device" : "devices"}</a>
          {group.query === null ? ", listed" : <>, those that match <code>{group.query || "everything"}</code></>}
          {group.description && `. ${group.description}`}
        </p>
        {canAct && (
          <div class="end">
            <ComposeButton text="Send command…" targets={{ query: `group:${group.name}` }} />
            <Edit group={group} save={(body) => attempt(() => patch(path, body))} />
            <Dialog button="Delete…" title={`Delete ${group.name}`} confirm="Delete it" danger disabled={false}
              onConfirm={() => void attempt(() => del(path).then(() => navigate("/groups")))}>
              <p>Its devices stay. Queries and filters that name it fail from then on.</p>
            </Dialog>
          </div>
        )}
      </div>
      {error && <Fault error={error} />}
      {canAct && group.query === null && <Add path={path} added={loaded.reload} />}
      <Members group={group} path={path} canAct={canAct} changed={loaded.reload} />
      <Card id="used" title="Campaigns for it">
        {group.campaigns.length === 0 ? (
          <Empty title="No campaign names it">{canAct && "Send it a command: for more than one device that is a campaign."}</Empty>
        ) : (
          <ul class="plain-list inside">
            {group.campaigns.map((one) => (
              <li key={one.id}><CampaignBadge state={one.state} /> <a href={`/campaigns/${one.id}`}>{one.name}</a></li>
            ))}
          </ul>
        )}
      </Card>
    </>
  );
}

function Edit({ group, save }: { group: GroupDetail; save: (body: { [name: string]: string }) => Promise<void> }) {
  const confirm = (form: FormData) => {
    const body: { [name: string]: string } = { description: String(form.get("description") ?? "").trim() };
    if (group.query !== null) body.query = String(form.get("query") ?? "").trim();
    void save(body);
  };
  return (
    <Dialog button="Edit…" title={`Edit ${group.name}`} confirm="Save" disabled={false} onConfirm={confirm}>
      <div class="field">
        <label for="edit-description">Description</label>
        <input id="edit-description" name="description" defaultValue={group.description} maxLength={400} autocomplete="off" />
      </div>
      {group.query !== null && (
        <div class="field">
          <label for="edit-query">Query</label>
          <input id="edit-query" name="query" defaultValue={group.query} autocomplete="off" autocapitalize="none" spellcheck={false} />
        </div>
      )}
    </Dialog>
  );
}

interface Outcome {
  changed: number;
  unknown: string[];
}

// A list as it is pasted: of any length, in steps.
function Add({ path, added }: { path: string; added: () => void }) {
  const [text, setText] = useState("");
  const [said, setSaid] = useState<Outcome | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const devices = devicesOf(text);
  const add = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    setSaid(null);
    try {
      const all: Outcome = { changed: 0, unknown: [] };
      for (let at = 0; at < devices.length; at += STEP) {
        const step = await post<Outcome>(`${path}/devices`, { add: devices.slice(at, at + STEP) });
        all.changed += step.changed;
        all.unknown.push(...step.unknown);
      }
      setSaid(all);
      setText(all.unknown.join("\n")); // what is left to be mended
      added();
    } catch (thrown) {
      setError(thrown as ApiError);
    }
    setBusy(false);
  };
  return (
    <Card id="add" title="Add devices">
      <form class="inside" onSubmit={(event) => void add(event)}>
        <div class="field">
          <label for="add-devices">Ids, separated by blanks, commas or lines</label>
          <textarea id="add-devices" class="code" rows={2} value={text} onInput={(event) => setText(event.currentTarget.value)} spellcheck={false} />
        </div>
        {error && <Fault error={error} />}
        <p class="foot">
          <span role="status">
            {said && `${count(said.changed)} added.`}
            {said && said.unknown.length > 0 && <b class="bad"> Unknown, left above: {count(said.unknown.length)}.</b>}
          </span>
          <button type="submit" disabled={busy || devices.length === 0}>Add {devices.length > 0 ? count(devices.length) : ""}</button>
        </p>
      </form>
    </Card>
  );
}

function Members({ group, path, canAct, changed }: { group: GroupDetail; path: string; canAct: boolean; changed: () => void }) {
  const [find, setFind] = useQuery("find");
  const [error, setError] = useState<ApiError | null>(null);
  const list = usePages<Device>(`${group.name} ${find} ${group.devices} ${group.query}`, (after, signal) =>
    get<Page<Device>>("devices", { query: `group:${group.name}`, q: find, after, limit: PAGE }, signal),
  );
  const remove = async (device: string) => {
    setError(null);
    try {
      await post(`${path}/devices`, { remove: [device] });
      changed();
    } catch (thrown) {
      setError(thrown as ApiError);
    }
  };
  const removable = canAct && group.query === null;
  return (
    <Card id="members" title="Devices" aside={<Filter label="Find a device" placeholder="Id, name or tag" value={find} onChange={setFind} />}>
      {(error ?? list.error) && <Fault error={(error ?? list.error)!} retry={list.reload} />}
      {list.items?.length === 0 && (
        <Empty title={find ? "No device matches" : "No devices yet"}>
          {!find && (group.query === null ? "Add some above." : "None matches the query now.")}
        </Empty>
      )}
      {list.items && list.items.length > 0 && (
        <div class="table-wrap">
          <table class="members" data-testid="members">
            <thead>
              <tr>
                <th scope="col">Device</th>
                <th scope="col">Status</th>
                <th scope="col">Last seen</th>
                <th scope="col">Tags</th>
                {removable && <th scope="col"><span class="sr">What to do</span></th>}
              </tr>
            </thead>
            <tbody>
              {list.items.map((device) => (
                <tr key={device.device} data-device={device.device}>
                  <th scope="row">
                    <a href={`/devices/${encodeURIComponent(device.device)}`}>{device.device}</a>{" "}
                    {device.display_name && <span class="muted">{device.display_name}</span>}
                  </th>
                  <td><StatusBadge status={device.status} why={device.why} /></td>
                  <td class="at"><Time at={device.last_seen} /></td>
                  <td><span class="tag-list">{device.tags.map((tag) => <Tag key={tag} tag={tag} />)}</span></td>
                  {removable && (
                    <td class="decide">
                      <button type="button" aria-label={`Take out ${device.device}`} onClick={() => void remove(device.device)}>Take out</button>
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {list.next && (
        <p class="foot inside">
          <span>{count(list.items?.length ?? 0)} shown</span>
          <button type="button" onClick={list.more} disabled={list.loading}>Show {PAGE} more</button>
        </p>
      )}
    </Card>
  );
}
