// Tokens: each lets so many devices in for so long. One is told once, as text and as a QR code.
import { useState } from "preact/hooks";
import { ApiError, del, get, type Page, post } from "./api";
import { absolute, count } from "./format";
import { useLoad } from "./hooks";
import { serverNow } from "./live";
import { Card, Dialog, Empty, Fault, Short, Time } from "./parts";
import { Qr } from "./qr";

const PAGE = 100;
const HOUR_S = 3600;
const lifetimes = [
  [HOUR_S, "An hour"],
  [24 * HOUR_S, "A day"],
  [7 * 24 * HOUR_S, "A week"],
  [30 * 24 * HOUR_S, "30 days"],
] as const;

interface Token {
  id: string;
  device: string | null;
  tags: string[];
  uses_left: number;
  created_by: string;
  created_at: string;
  expires_at: string;
  state: "valid" | "used" | "expired" | "revoked";
}

interface Made {
  id: string;
  token: string;
  uses: number;
  expires_s: number;
}

export function Tokens() {
  const [made, setMade] = useState<(Made & { until: string }) | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const [shown, setShown] = useState(PAGE);
  const list = useLoad(`tokens ${shown}`, (signal) => get<Page<Token>>("tokens", { limit: shown }, signal));
  const doing = async (act: () => Promise<void>) => {
    setFault(null);
    try {
      await act();
    } catch (thrown) {
      setFault(thrown as ApiError);
    }
    list.reload();
  };
  const make = (form: FormData) =>
    doing(async () => {
      const device = String(form.get("device") ?? "").trim();
      const tags = String(form.get("tags") ?? "").split(",").map((tag) => tag.trim()).filter(Boolean);
      const body = { uses: Number(form.get("uses")), expires_s: Number(form.get("expires_s")), tags, ...(device && { device }) };
      const answer = await post<Made>("tokens", body);
      setMade({ ...answer, until: new Date(serverNow() + answer.expires_s * 1000).toISOString() });
    });
  const items = list.data?.items;
  return (
    <>
      {(fault ?? list.error) && <Fault error={(fault ?? list.error)!} retry={list.reload} />}
      {made && <Ticket made={made} forget={() => setMade(null)} />}
      <Card id="tokens-title" title="Tokens" aside={<MakeToken make={make} />}>
        {!items ? (
          !list.error && <div class="skeleton tall" role="status" aria-label="Loading" />
        ) : items.length === 0 ? (
          <Empty title="No tokens yet">One is given to a device, which takes its certificate for it: make one with New token.</Empty>
        ) : (
          <div class="table-wrap">
            <table class="labelled" data-testid="tokens">
              <thead>
                <tr>
                  <th scope="col">Id</th>
                  <th scope="col">State</th>
                  <th scope="col">For</th>
                  <th scope="col">Tags</th>
                  <th scope="col" class="number">Uses left</th>
                  <th scope="col">Made</th>
                  <th scope="col">Until</th>
                  <th scope="col"><span class="sr">Revoke</span></th>
                </tr>
              </thead>
              <tbody>
                {items.map((token) => (
                  <tr key={token.id} data-token={token.id}>
                    <th scope="row"><code>{token.id}</code></th>
                    <td data-label="State">{token.state}</td>
                    <td data-label="For" class="device">{token.device ?? <span class="muted">any device</span>}</td>
                    <td data-label="Tags">{token.tags.map((tag) => <span key={tag} class="tag">{tag}</span>)}</td>
                    <td data-label="Uses left" class="number">{count(token.uses_left)}</td>
                    <td data-label="Made"><Time at={token.created_at} /> <span class="muted">by {token.created_by}</span></td>
                    <td data-label="Until"><Time at={token.expires_at} /></td>
                    <td class="end">
                      {token.state === "valid" && (
                        <Dialog
                          button="Revoke…"
                          id={`revoke-${token.id}`}
                          title={`Revoke the token ${token.id}?`}
                          confirm="Revoke"
                          danger
                          disabled={false}
                          onConfirm={() => void doing(() => del(`tokens/${token.id}`))}
                        >
                          <p class="hint">Nobody is let in by it any more. Devices that it let in stay.</p>
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
      {list.data?.next && shown < 500 && (
        <p class="foot">
          <span>{count(items?.length ?? 0)} shown</span>
          <button type="button" onClick={() => setShown(500)}>Show more</button>
        </p>
      )}
    </>
  );
}

function MakeToken({ make }: { make: (form: FormData) => Promise<void> }) {
  return (
    <Dialog button="New token…" primary title="Make an enrolment token" confirm="Make it" disabled={false} onConfirm={(form) => void make(form)}>
      <label>
        For one device alone
        <input name="device" placeholder="any device" pattern="[a-z0-9][a-z0-9\-]{0,62}" />
      </label>
      <label>
        How many devices
        <input name="uses" type="number" min={1} max={100000} defaultValue="1" required />
      </label>
      <label>
        Good for
        <select name="expires_s">
          {lifetimes.map(([seconds, name]) => (
            <option key={seconds} value={seconds}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        Tags that they get
        <input name="tags" placeholder="shop, north" />
      </label>
      <p class="hint">Few uses and a short life: whoever reads it gets in.</p>
    </Dialog>
  );
}

function Ticket({ made, forget }: { made: Made & { until: string }; forget: () => void }) {
  return (
    <div class="card ticket" role="status" data-testid="made">
      <Qr text={made.token} label="The token, for a scanner at the device" />
      <div>
        <p>
          <strong>Shown only now.</strong> Good for {made.uses === 1 ? "one device" : `${count(made.uses)} devices`} until {absolute(made.until)}.
        </p>
        <p data-testid="token"><Short text={made.token} what="token" whole /></p>
        <p class="muted">On the device, this waits for it, and a scanner types what it reads:</p>
        <p><Short text="muster-agent enroll --token-file -" what="command" whole /></p>
        <button type="button" onClick={forget}>Done</button>
      </div>
    </div>
  );
}
