// People and API keys, for administrators.
import { useState } from "preact/hooks";
import { ApiError, del, get, type Page, patch, post } from "./api";
import { ApiKeys } from "./apikeys";
import { useLoad } from "./hooks";
import { Dialog, Empty, Fault, Filter, Icon, Short, Time } from "./parts";
import { useQuery } from "./router";
import type { ViewProps } from "./views";

interface User {
  name: string;
  role: string;
  email: string | null;
  enabled: boolean;
  tenant: string | null;
  has_password: boolean;
  second_factor: string | null;
  sessions: number;
  api_keys: number;
  last_seen: string | null;
}

const ROLES = [
  ["viewer", "sees everything, changes nothing"],
  ["operator", "also sends commands and keeps groups"],
  ["administrator", "also people, enrolment and keys"],
  ["auditor", "sees everything, and the audit"],
] as const;

export default function UsersView({ who }: ViewProps) {
  const [q, setQ] = useQuery("q");
  const users = useLoad(`users ${q}`, (signal) => get<Page<User>>("users", { q, limit: 500 }, signal));
  const [fault, setFault] = useState<ApiError | null>(null);
  const [link, setLink] = useState<{ name: string; login_link: string } | null>(null);
  const attempt = (work: Promise<unknown>) => {
    setFault(null);
    void work.catch((error: ApiError) => setFault(error)).then(users.reload);
  };
  const create = (form: FormData) => {
    const said = (name: string) => String(form.get(name) ?? "").trim();
    attempt(
      post<{ name: string; login_link: string }>("users", {
        name: said("name"), role: said("role"),
        ...(said("email") ? { email: said("email") } : {}), ...(said("tenant") ? { tenant: said("tenant") } : {}),
      }).then(setLink),
    );
  };
  const items = users.data?.items;
  return (
    <>
      <div class="heading">
        <h1>Users</h1>
        <p class="muted">Who may come in, and what they may do. A change of rights ends a person's sessions.</p>
        <div class="end"><NewUser create={create} /></div>
      </div>
      <div class="toolbar">
        <Filter label="Only these people" placeholder="Name or e-mail" value={q} onChange={setQ} />
      </div>
      {(fault ?? users.error) && <Fault error={(fault ?? users.error)!} />}
      {link && (
        <p class="card made" role="status" data-testid="login-link">
          {link.name} gets in once by this link, within a day: <Short text={link.login_link} what="login link" whole />
        </p>
      )}
      {!items ? (
        <div class="card skeleton tall" role="status" aria-label="Loading" />
      ) : items.length === 0 ? (
        <div class="card"><Empty title="Nobody matches"><button type="button" onClick={() => setQ("")}>Show everybody</button></Empty></div>
      ) : (
        <People items={items} me={who.name} attempt={attempt} setLink={setLink} />
      )}
      <ApiKeys whose="*" title="API keys of everybody" />
    </>
  );
}

interface Actions {
  attempt: (work: Promise<unknown>) => void;
  setLink: (link: { name: string; login_link: string }) => void;
}

function People({ items, me, ...actions }: { items: User[]; me: string } & Actions) {
  return (
    <div class="card table-wrap">
      <table class="people labelled" data-testid="users">
        <thead>
          <tr>
            <th scope="col">Name</th><th scope="col">Role</th><th scope="col">E-mail</th><th scope="col">Tenant</th>
            <th scope="col">Second factor</th><th scope="col">Last seen</th><th scope="col"><span class="sr">Change</span></th>
          </tr>
        </thead>
        <tbody>
          {items.map((user) => (
            <tr key={user.name}>
              <th scope="row">
                {user.name} {user.name === me && <span class="tag">you</span>}
                {!user.enabled && <span class="tag off"><Icon name="revoked" />disabled</span>}
              </th>
              <td data-label="Role">{user.role}</td>
              <td data-label="E-mail">{user.email ?? <span class="muted">none</span>}</td>
              <td data-label="Tenant">{user.tenant ?? <span class="muted">all</span>}</td>
              <td data-label="Second factor">{user.second_factor ? <span class="status online"><Icon name="online" />On</span> : <span class="muted">off</span>}</td>
              <td data-label="Last seen"><Time at={user.last_seen} /></td>
              <td class="decide"><Change user={user} {...actions} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function RoleField({ value }: { value?: string }) {
  return (
    <label>
      Role
      <select name="role" defaultValue={value ?? "viewer"}>
        {ROLES.map(([role, words]) => <option key={role} value={role}>{role}: {words}</option>)}
      </select>
    </label>
  );
}

function NewUser({ create }: { create: (form: FormData) => void }) {
  return (
    <Dialog button="New person…" primary title="Let somebody in" confirm="Make the account" disabled={false} onConfirm={create}>
      <label>
        Name
        <input name="name" required pattern="[a-z0-9][a-z0-9._\-]{0,62}" title="small letters, digits, . _ -" autocapitalize="none" autocomplete="off" />
      </label>
      <RoleField />
      <label>E-mail, for a forgotten password<input name="email" type="email" autocomplete="off" /></label>
      <label>Tenant<input name="tenant" placeholder="all" autocapitalize="none" autocomplete="off" /></label>
      <p class="hint">You get a link to hand over, by which they come in and choose a password.</p>
    </Dialog>
  );
}

function Change({ user, attempt, setLink }: { user: User } & Actions) {
  const path = `users/${encodeURIComponent(user.name)}`;
  const save = (form: FormData) => {
    const email = String(form.get("email") ?? "").trim();
    attempt(patch(path, { role: String(form.get("role")), email: email || null, enabled: form.get("enabled") === "on" }));
  };
  return (
    <span class="row">
      <Dialog button="Change…" id={`change-${user.name}`} title={`Change ${user.name}`} confirm="Save" disabled={false} onConfirm={save}>
        <RoleField value={user.role} />
        <label>E-mail<input name="email" type="email" defaultValue={user.email ?? ""} autocomplete="off" /></label>
        <label class="check"><input type="checkbox" name="enabled" defaultChecked={user.enabled} />May come in</label>
        <p class="hint">
          {user.sessions === 1 ? "One session ends" : `${user.sessions} sessions end`} when role or admission change; API keys go on with the
          new rights.
        </p>
        <p class="row">
          <button type="button" disabled={!user.enabled}
            onClick={() => attempt(post<{ name: string; login_link: string }>(`${path}/login-link`, {}).then(setLink))}>
            Make a login link
          </button>
          {user.second_factor && (
            <button type="button" onClick={() => attempt(del(`${path}/totp`))}>Take the second factor away</button>
          )}
        </p>
      </Dialog>
      <Dialog button="Delete…" id={`delete-${user.name}`} title={`Delete ${user.name}?`} confirm="Delete" danger disabled={false}
        onConfirm={() => attempt(del(path))}>
        <p>Sessions and {user.api_keys} API keys end. What the person did stays in the audit.</p>
        <label>Type {user.name} to confirm<input name="confirm" required pattern={user.name.replace(/\./g, "\\.")} autocomplete="off" /></label>
      </Dialog>
    </span>
  );
}
