// What people write about a device, changed where it stands: its name, its tags, notes.
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { ApiError, type DeviceDetail, get, type Group, type Page, patch, post } from "./api";
import { count } from "./format";
import { Card, Icon, tagAddress } from "./parts";

const NAME_MAX = 100;
const TAG_MAX = 64;
const NOTES_MAX = 4000;

export interface EditProps {
  device: DeviceDetail;
  canAct: boolean;
  edited: (change: Partial<DeviceDetail>) => void;
}

// Sends a change; the form stays open with what was typed until it is done.
function useChange(edited: EditProps["edited"]) {
  const [open, setOpen] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const send = async (change: () => Promise<Partial<DeviceDetail>>, stay = false) => {
    setBusy(true);
    setError("");
    try {
      edited(await change());
      if (!stay) setOpen(false);
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown.message : String(thrown));
    }
    setBusy(false);
  };
  return { open, busy, error, send, begin: () => { setError(""); setOpen(true); }, end: () => setOpen(false) };
}

// Focuses what is in it first, and again what opened it.
function Editor({ label, end, submit, children }: {
  label: string;
  end: () => void;
  submit: (form: HTMLFormElement) => void;
  children: ComponentChildren;
}) {
  const form = useRef<HTMLFormElement>(null);
  useLayoutEffect(() => form.current?.querySelector<HTMLElement>("input, textarea")?.focus(), []);
  return (
    <form
      ref={form}
      class="edit"
      aria-label={label}
      onSubmit={(event) => {
        event.preventDefault();
        submit(event.currentTarget);
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") end();
      }}
    >
      {children}
    </form>
  );
}

const valueOf = (form: HTMLFormElement, name: string): string => String(new FormData(form).get(name) ?? "");

export function NameEdit({ device, canAct, edited }: EditProps) {
  const change = useChange(edited);
  const path = `devices/${encodeURIComponent(device.device)}`;
  const submit = (form: HTMLFormElement) =>
    void change.send(async () => {
      const { display_name } = await patch<DeviceDetail>(path, { display_name: valueOf(form, "name").trim() || null });
      return { display_name };
    });
  if (!change.open)
    return (
      <span class="device-name">
        {device.display_name && <span class="name" data-testid="display-name">{device.display_name}</span>}
        {canAct && (
          <button type="button" class="plain" onClick={change.begin}>{device.display_name ? "Rename" : "Name it"}</button>
        )}
      </span>
    );
  return (
    <Editor label="Name" end={change.end} submit={submit}>
      <input
        name="name"
        aria-label="Name; empty for none"
        placeholder="A name for people"
        maxLength={NAME_MAX}
        defaultValue={device.display_name ?? ""}
        autocomplete="off"
      />
      <button type="submit" class="primary" disabled={change.busy}>Save</button>
      <button type="button" onClick={change.end}>Cancel</button>
      {change.error && <span class="bad" role="alert">{change.error}</span>}
    </Editor>
  );
}

export function TagsEdit({ device, canAct, edited }: EditProps) {
  const change = useChange(edited);
  const path = `devices/${encodeURIComponent(device.device)}/tags`;
  const send = (body: { add?: string[]; remove?: string[] }) =>
    change.send(async () => {
      const { tags } = await post<{ tags: string[] }>(path, { add: [], remove: [], ...body });
      return { tags };
    }, true);
  const submit = (form: HTMLFormElement) => {
    const add = valueOf(form, "tag").split(/[\s,]+/).filter(Boolean);
    if (add.length > 0) void send({ add }).then(() => form.reset());
  };
  return (
    <span class="device-tags" data-testid="tags">
      {device.tags.map((tag) => (
        <span key={tag} class="tag">
          {change.open ? tag : <a href={tagAddress(tag)}>{tag}</a>}
          {change.open && (
            <button type="button" class="plain" aria-label={`Take the tag ${tag} away`} disabled={change.busy} onClick={() => void send({ remove: [tag] })}>
              ×
            </button>
          )}
        </span>
      ))}
      {change.open ? (
        <Editor label="Tags" end={change.end} submit={submit}>
          <input name="tag" aria-label="New tags" placeholder="New tags" maxLength={8 * TAG_MAX} autocomplete="off" autocapitalize="none" />
          <button type="submit" disabled={change.busy}>Add</button>
          <button type="button" onClick={change.end}>Done</button>
          {change.error && <span class="bad" role="alert">{change.error}</span>}
        </Editor>
      ) : (
        canAct && <button type="button" class="plain" onClick={change.begin}>{device.tags.length > 0 ? "Edit tags" : "Add tags"}</button>
      )}
    </span>
  );
}

// The groups whose members are listed; those with a query have whatever matches it.
export function GroupsEdit({ device, canAct, edited }: EditProps) {
  const change = useChange(edited);
  const [names, setNames] = useState<string[]>([]);
  const send = (group: string, body: { add?: string[]; remove?: string[] }) =>
    change.send(async () => {
      await post(`groups/${encodeURIComponent(group)}/devices`, body);
      const others = device.groups.filter((one) => one !== group);
      return { groups: body.add ? [...others, group].sort() : others };
    }, true);
  const begin = () => {
    change.begin();
    get<Page<Group>>("groups", { limit: 500 }).then(
      ({ items }) => setNames(items.filter(({ query }) => query === null).map(({ name }) => name)),
      () => {}, // the name can be typed all the same
    );
  };
  const submit = (form: HTMLFormElement) => {
    const group = valueOf(form, "group").trim();
    if (group) void send(group, { add: [device.device] }).then(() => form.reset());
  };
  return (
    <span class="device-tags" data-testid="groups">
      {device.groups.map((group) => (
        <span key={group} class="tag">
          <span class="sr">group </span>
          <Icon name="group" />
          {change.open ? group : <a href={`/groups/${encodeURIComponent(group)}`}>{group}</a>}
          {change.open && (
            <button type="button" class="plain" aria-label={`Take it out of ${group}`} disabled={change.busy}
              onClick={() => void send(group, { remove: [device.device] })}>
              ×
            </button>
          )}
        </span>
      ))}
      {change.open ? (
        <Editor label="Groups" end={change.end} submit={submit}>
          <input name="group" aria-label="Another group" placeholder="Another group" list="device-groups" maxLength={63} autocomplete="off" autocapitalize="none" />
          <datalist id="device-groups">{names.filter((name) => !device.groups.includes(name)).map((name) => <option key={name} value={name} />)}</datalist>
          <button type="submit" disabled={change.busy}>Add</button>
          <button type="button" onClick={change.end}>Done</button>
          {change.error && <span class="bad" role="alert">{change.error}</span>}
        </Editor>
      ) : (
        canAct && <button type="button" class="plain" onClick={begin}>{device.groups.length > 0 ? "Edit groups" : "Add to a group"}</button>
      )}
    </span>
  );
}

export function NotesCard({ device, canAct, edited }: EditProps) {
  const change = useChange(edited);
  const [length, setLength] = useState(0);
  const path = `devices/${encodeURIComponent(device.device)}`;
  const submit = (form: HTMLFormElement) =>
    void change.send(async () => {
      const { notes } = await patch<DeviceDetail>(path, { notes: valueOf(form, "notes").replaceAll("\r\n", "\n").trimEnd() });
      return { notes };
    });
  const begin = () => {
    setLength(device.notes.length);
    change.begin();
  };
  if (!change.open && !device.notes)
    return canAct ? (
      <p class="no-notes"><button type="button" class="plain" onClick={begin}><Icon name="keys" /> Add a note</button></p>
    ) : null;
  return (
    <Card
      id="notes-title"
      title="Notes"
      aside={!change.open && canAct && <button type="button" onClick={begin}>Edit</button>}
    >
      {change.open ? (
        <Editor label="Notes" end={change.end} submit={submit}>
          <textarea
            name="notes"
            aria-label="Notes"
            rows={6}
            maxLength={NOTES_MAX}
            defaultValue={device.notes}
            placeholder="Where it stands, whom to call, what is special about it"
            onInput={(event) => setLength(event.currentTarget.value.length)}
          />
          <button type="submit" class="primary" disabled={change.busy}>Save</button>
          <button type="button" onClick={change.end}>Cancel</button>
          <span class="muted">{count(length)} of {count(NOTES_MAX)}</span>
          {change.error && <span class="bad" role="alert">{change.error}</span>}
        </Editor>
      ) : (
        <p class="notes" data-testid="notes">{device.notes}</p>
      )}
    </Card>
  );
}
