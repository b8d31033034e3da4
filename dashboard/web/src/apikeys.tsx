// API keys: one's own on /account, everybody's on /users.
import { useState } from "preact/hooks";
import { ApiError, del, get, type Page, post } from "./api";
import { useLoad } from "./hooks";
import { Card, Dialog, Empty, Fault, Short, Time } from "./parts";

interface ApiKey {
  id: string;
  user: string;
  label: string;
  role: string | null;
  scopes: string[] | null;
  group: string | null;
  created_at: string;
  last_used: string | null;
  expires_at: string;
  revoked_at: string | null;
}

const SCOPES = ["read", "commands", "devices", "enrolment", "alerts", "people"];
const ROLES = ["viewer", "operator", "administrator", "auditor"];

export function ApiKeys({ whose, title }: { whose: string; title: string }) {
  const keys = useLoad(`api-keys ${whose}`, (signal) => get<Page<ApiKey>>("api-keys", { user: whose }, signal));
  const [made, setMade] = useState<string | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const all = whose === "*";
  const attempt = (work: Promise<unknown>) => {
    setFault(null);
    void work.catch((error: ApiError) => setFault(error)).then(keys.reload);
  };
  const create = (form: FormData) => {
    const said = (name: string) => String(form.get(name) ?? "").trim();
    const scopes = form.getAll("scopes").map(String);
    attempt(
      post<{ key: string }>("api-keys", {
        label: said("label"),
        expires_in_days: Number(said("days")),
        ...(said("role") ? { role: said("role") } : {}),
        ...(said("group") ? { group: said("group") } : {}),
        ...(scopes.length > 0 && scopes.length < SCOPES.length ? { scopes } : {}),
      }).then(({ key }) => setMade(key)),
    );
  };
  const items = keys.data?.items ?? [];
  return (
    <Card id="api-keys-title" title={title} aside={!all && <NewKey create={create} />}>
      {(fault ?? keys.error) && <Fault error={(fault ?? keys.error)!} />}
      {made && (
        <p class="made" role="status" data-testid="new-key">
          The new key, shown this once: <Short text={made} what="key" whole />
        </p>
      )}
      {items.length === 0 && !keys.loading ? (
        <Empty title="No API keys">A key lets a program use the API: Authorization: Bearer.</Empty>
      ) : (
        <div class="table-wrap">
          <table class="people labelled" data-testid="api-keys">
            <thead>
              <tr>
                <th scope="col">For</th>
                {all && <th scope="col">Of</th>}
                <th scope="col">May</th>
                <th scope="col">Last used</th>
                <th scope="col">Expires</th>
                <th scope="col"><span class="sr">End</span></th>
              </tr>
            </thead>
            <tbody>
              {items.map((key) => (
                <tr key={key.id}>
                  <th scope="row">{key.label || <span class="muted">no name</span>}</th>
                  {all && <td data-label="Of">{key.user}</td>}
                  <td data-label="May">{[key.role, key.scopes?.join(", "), key.group && `group ${key.group}`].filter(Boolean).join("; ") || "all its user may"}</td>
                  <td data-label="Last used"><Time at={key.last_used} /></td>
                  <td data-label="Expires">{key.revoked_at ? <span class="tag off">revoked</span> : <Time at={key.expires_at} />}</td>
                  <td class="decide">
                    {!key.revoked_at && (
                      <Dialog
                        button="Revoke…"
                        id={`revoke-${key.id}`}
                        title={`Revoke the key ${key.label}?`}
                        confirm="Revoke"
                        danger
                        disabled={false}
                        onConfirm={() => attempt(del(`api-keys/${key.id}`))}
                      >
                        <p>Programs that use it are refused from now on. This cannot be taken back.</p>
                      </Dialog>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function NewKey({ create }: { create: (form: FormData) => void }) {
  return (
    <Dialog button="New API key…" title="A key for a program" confirm="Make the key" disabled={false} onConfirm={create}>
      <label>What it is for<input name="label" required maxLength={100} autocomplete="off" /></label>
      <label>Days it holds<input name="days" type="number" min={1} max={366} defaultValue="90" required /></label>
      <label>
        Role
        <select name="role">
          <option value="">as mine</option>
          {ROLES.map((role) => <option key={role} value={role}>{role}</option>)}
        </select>
      </label>
      <fieldset>
        <legend>May (none chosen: all)</legend>
        {SCOPES.map((scope) => (
          <label key={scope} class="check"><input type="checkbox" name="scopes" value={scope} />{scope}</label>
        ))}
      </fieldset>
      <label>Only devices of the group<input name="group" placeholder="all devices" autocomplete="off" /></label>
    </Dialog>
  );
}
