// Channels: who is told, how, and whether it arrived.
import { useEffect, useState } from "preact/hooks";
import type { Channel, Delivery } from "./alerts_api";
import { Answer, ChannelEditor, Deliveries, DeliveryBadge, wordsOf } from "./alerts_channel";
import { useAlerts } from "./alerts";
import { ApiError, del, get, type Page, post } from "./api";
import { useLoad } from "./hooks";
import { Dialog, Empty, Fault, Short, Time } from "./parts";
import { useQuery } from "./router";

function Last({ last }: { last: Delivery | null }) {
  if (!last) return <span class="muted">nothing sent yet</span>;
  return <span><DeliveryBadge state={last.state} /> <Time at={last.at} /> <span class="muted">{last.error || last.subject}</span></span>;
}

// A test message on its way: asked about each second until it arrived, or has failed.
function Tested({ tested, now, reload }: { tested: { channel: Channel; before: string }; now: Delivery | null; reload: () => void }) {
  const made = now && now.id !== tested.before ? now : null;
  const over = made !== null && made.state !== "waiting";
  useEffect(() => {
    if (over) return;
    const timer = setInterval(reload, 1000);
    return () => clearInterval(timer);
  }, [over]);
  return (
    <p class="card tested" role="status" data-testid="tested">
      Test of {tested.channel.name}: {made ? <><DeliveryBadge state={made.state} /> <Answer delivery={made} /></> : "asked for, not made yet"}
    </p>
  );
}

export function Channels({ admin }: { admin: boolean }) {
  const channels = useLoad("channels", (signal) => get<Page<Channel>>("channels", { limit: 500 }, signal));
  const [fault, setFault] = useState<ApiError | null>(null);
  const [secret, setSecret] = useState("");
  const [edited, setEdited] = useState<Channel | null>(null);
  const [opened, setOpened] = useQuery("channel");
  const [tested, setTested] = useState<{ channel: Channel; before: string } | null>(null);
  useAlerts(channels.reload);
  const change = (what: Promise<unknown>) => {
    setFault(null);
    what.then(channels.reload, (error: ApiError) => setFault(error));
  };
  const test = (channel: Channel) => {
    setFault(null);
    setTested(null);
    post<Channel>(`channels/${channel.id}/test`, {}).then(
      () => { setTested({ channel, before: channel.last?.id ?? "" }); channels.reload(); },
      (error: ApiError) => setFault(error),
    );
  };
  const create = (form: FormData, kind: "email" | "webhook") => {
    const addresses = wordsOf(String(form.get("addresses") ?? ""));
    const body = { name: String(form.get("name")), kind, routes: [{ severity: String(form.get("severity")) }] };
    change(post<Channel>("channels", kind === "email" ? { ...body, addresses } : { ...body, url: String(form.get("url")), bearer: String(form.get("bearer")) || null })
      .then((made) => setSecret(made.secret ?? "")));
  };
  const items = channels.data?.items;
  const shown = items?.find((one) => String(one.id) === opened);
  const from = (
    <label>From this severity on
      <select name="severity">{["info", "warning", "critical"].map((one) => <option key={one}>{one}</option>)}</select>
    </label>
  );
  return (
    <>
      {(fault ?? channels.error) && <Fault error={(fault ?? channels.error)!} retry={channels.reload} />}
      {secret && (
        <div class="card tested"><p class="hint">The secret that messages are signed with, shown this once: <Short text={secret} what="secret" whole /></p></div>
      )}
      {tested && <Tested key={tested.channel.id} tested={tested} now={items?.find(({ id }) => id === tested.channel.id)?.last ?? null} reload={channels.reload} />}
      {admin && (
        <div class="toolbar">
          <Dialog button="New e-mail channel" title="Tell people by e-mail" confirm="Make channel" disabled={false} onConfirm={(form) => create(form, "email")}>
            <label>Name<input name="name" required maxLength={100} /></label>
            <label>Addresses<input name="addresses" required placeholder="ada@example.org, ops@example.org" /></label>
            {from}
          </Dialog>
          <Dialog button="New webhook" title="Tell a program" confirm="Make webhook" disabled={false} onConfirm={(form) => create(form, "webhook")}>
            <label>Name<input name="name" required maxLength={100} /></label>
            <label>URL<input name="url" type="url" required placeholder="https://example.org/hook" /></label>
            <label>Bearer secret, if the program wants one<input name="bearer" type="password" autocomplete="new-password" maxLength={512} /></label>
            {from}
          </Dialog>
        </div>
      )}
      {edited && (
        <ChannelEditor key={edited.id} channel={edited} onDone={(saved) => { setEdited(null); if (saved) channels.reload(); }} />
      )}
      {items && (
        <div class="card table-wrap">
          {items.length === 0 ? <Empty title="Nobody is told">Alerts are shown here only. Make a channel for e-mail or a webhook.</Empty> : (
            <table class="commands alerts" data-testid="channels">
              <thead><tr><th scope="col">Kind</th><th scope="col">Name</th><th scope="col">To</th><th scope="col">Last message</th><th scope="col">Change</th></tr></thead>
              <tbody>
                {items.map((one) => (
                  <tr key={one.id}>
                    <td class="state">{one.kind === "email" ? "E-mail" : "Webhook"}</td>
                    <td class="device">{one.name} {!one.enabled && <span class="tag">off</span>}</td>
                    <td class="result">
                      {one.kind === "email" ? one.addresses.join(", ") : one.url}
                      {one.old_secret_until && <> <span class="muted">both secrets until <Time at={one.old_secret_until} /></span></>}
                    </td>
                    <td class="whom"><Last last={one.last} /></td>
                    <td class="decide">
                      <button type="button" class="plain" onClick={() => setOpened(String(one.id))}>Messages<span class="sr"> of {one.name}</span></button>
                      {admin && <>
                        <button type="button" class="plain" onClick={() => setEdited(one)}>Edit<span class="sr"> {one.name}</span></button>
                        <button type="button" class="plain" onClick={() => test(one)}>Test<span class="sr"> {one.name}</span></button>
                        {one.kind === "webhook" && (
                          <Dialog button="New secret" id={`secret-of-${one.id}`} title={`A new secret for ${one.name}`} confirm="Make it" disabled={false}
                            onConfirm={(form) => change(post<Channel>(`channels/${one.id}/secret`, { overlap_h: Number(form.get("overlap")) }).then((made) => setSecret(made.secret ?? "")))}>
                            <p>For so long messages are signed with both, so that the receiver can be changed meanwhile. With 0 the one before is worthless at once.</p>
                            <label>Hours that both count<input name="overlap" type="number" min={0} max={720} step="1" required defaultValue="24" /></label>
                          </Dialog>
                        )}
                        <button type="button" class="plain" onClick={() => change(del(`channels/${one.id}`))}>Delete<span class="sr"> {one.name}</span></button>
                      </>}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
        </div>
      )}
      {shown && <Deliveries key={shown.id} channel={shown} close={() => setOpened("")} />}
    </>
  );
}
