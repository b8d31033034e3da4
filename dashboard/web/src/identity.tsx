// Who a device is, and whether it may come in: its certificate, the machine it is bound to, revoke and restore.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, type DeviceDetail, post, type Revocation } from "./api";
import { Fact } from "./commands";
import { absolute, count, duration } from "./format";
import { useNow } from "./hooks";
import { serverNow } from "./live";
import { Card, Dialog, Empty, Fault, Icon, Short, Time } from "./parts";
import { ReenrolButton, ReenrolTicket, useReenrolment } from "./reenroll";

const EFFECT_EVERY_MS = 500; // and less often the longer the broker does not confirm
const EFFECT_EVERY_MAX_MS = 10_000;
const WARN_DAYS = 30; // or a third of its life
const BAD_DAYS = 7; // or a twelfth
const REASON_MAX = 200; // bytes
const DAY_S = 86_400;

type Verb = "revoke" | "restore";

export function IdentityCard({ device, mayRevoke, mayRestore, change, reload }: {
  device: DeviceDetail;
  mayRevoke: boolean;
  mayRestore: boolean;
  change: (update: (device: DeviceDetail) => DeviceDetail) => void;
  reload: () => void;
}) {
  const [fault, setFault] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const reenrolment = useReenrolment(device);
  const decide = async (verb: Verb, reason: string) => {
    setBusy(true);
    setFault(null);
    try {
      const revocation = await post<Revocation>(`devices/${encodeURIComponent(device.device)}/${verb}`, { reason });
      const { revoked, requested_at, requested_by, reason: why } = revocation;
      const disabled = revoked ? { at: requested_at, by: requested_by, reason: why } : null;
      change((old) => ({ ...old, enabled: !revoked, disabled, revocation }));
    } catch (thrown) {
      setFault(advised(thrown as ApiError, verb));
    }
    setBusy(false);
    reload(); // also after a failure: it may have been done before the answer was lost
  };
  return (
    <Card
      id="identity-title"
      title="Identity"
      aside={
        <span class="decide">
          {mayRestore && <ReenrolButton device={device} reenrolment={reenrolment} />}
          {(device.enabled ? mayRevoke : mayRestore) && (
            <span data-testid={device.enabled ? "revoke" : "restore"}>
              {device.enabled ? (
                <RevokeButton device={device} mayRestore={mayRestore} disabled={busy} decide={decide} />
              ) : (
                <RestoreButton device={device} disabled={busy} decide={decide} />
              )}
            </span>
          )}
        </span>
      }
    >
      <div class="identity" data-testid="identity">
        {fault && <Fault error={fault} />}
        <Standing device={device} mayRestore={mayRestore} reload={reload} />
        <ReenrolTicket device={device} reenrolment={reenrolment} />
        {device.certificate || device.fingerprint || device.enrolled_at ? (
          <>
            <Facts device={device} />
            <Mismatches device={device} />
          </>
        ) : (
          <Empty title="No certificate issued here">
            It gets one when it enrols with a token: <code>muster token create</code>.
          </Empty>
        )}
      </div>
    </Card>
  );
}

// The server says what went wrong; what to do about it depends on who asks.
function advised(error: ApiError, verb: Verb): ApiError {
  const advice: { [status: number]: string } = {
    0: "It may have been done all the same: when the page is live again, see here whether it was.",
    403: `Your role may not ${verb} devices: ask an administrator.`,
    503: "Nothing is changed until this page says so: try again when the database is back.",
  };
  return new ApiError(error.status, [error.message, advice[error.status]].filter(Boolean).join(" "));
}

// ---- revoked, or let in again ----

function Standing({ device, mayRestore, reload }: { device: DeviceDetail; mayRestore: boolean; reload: () => void }) {
  const { enabled, disabled, revocation } = device;
  // A summary that came live may be ahead of the details, which then are asked for.
  const current = revocation !== null && revocation.revoked === !enabled;
  const effects = current ? revocation.effects : [];
  const waiting = revocation !== null && !effects.some((effect) => effect.cell === device.cell);
  useEffect(() => {
    if (!waiting) return;
    const age_ms = serverNow() - Date.parse(revocation.requested_at);
    const timer = setTimeout(reload, Math.min(EFFECT_EVERY_MAX_MS, Math.max(EFFECT_EVERY_MS, age_ms / 4)));
    return () => clearTimeout(timer);
  }, [waiting, device]);
  if (enabled && !current) return null;
  const at = enabled ? revocation!.requested_at : (disabled?.at ?? null);
  const by = enabled ? revocation!.requested_by : disabled?.by;
  const why = (enabled ? revocation!.reason : disabled?.reason)?.replace(/[.!?]*$/, "");
  return (
    <div class={`standing ${enabled ? "" : "revoked"}`} data-testid="standing">
      <Icon name={enabled ? "online" : "revoked"} />
      <div>
        <p>
          <strong>{enabled ? "Let in again" : "Revoked"}</strong> <Time at={at} none="some time ago" /> by{" "}
          {by || "somebody unknown"}{why && `: ${why}`}.
        </p>
        <p role="status" data-testid="effect">
          {effects.length > 0 &&
            `In effect ${effects.map(({ cell, seconds }) => `in cell ${cell} after ${seconds.toFixed(3)} s`).join(", ")}. `}
          {waiting && `Waiting for the broker of cell ${device.cell} to confirm it. `}
          {!enabled && !mayRestore && "Only an administrator can restore it."}
        </p>
      </div>
    </div>
  );
}

type Decide = (verb: Verb, reason: string) => Promise<void>;

function RevokeButton({ device, mayRestore, disabled, decide }: {
  device: DeviceDetail;
  mayRestore: boolean;
  disabled: boolean;
  decide: Decide;
}) {
  const id = device.device;
  return (
    <Dialog
      button="Revoke…"
      title={`Revoke ${id}?`}
      confirm="Revoke it"
      danger
      disabled={disabled}
      onConfirm={(form) => void decide("revoke", String(form.get("reason") ?? "").trim())}
    >
      <p>
        Its session is cut within a second, and no broker lets it in again until it is restored
        {!mayRestore && " by an administrator"} or enrolled again. Its data stay here.
      </p>
      <label>
        Type {id} to confirm
        <input
          name="confirm"
          required
          pattern={`\\s*${id}\\s*`}
          title={`Type ${id}`}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
        />
      </label>
      <ReasonInput />
    </Dialog>
  );
}

function RestoreButton({ device, disabled, decide }: { device: DeviceDetail; disabled: boolean; decide: Decide }) {
  const expired = device.certificate !== null && Date.parse(device.certificate.not_after) < useNow();
  return (
    <Dialog
      button="Restore…"
      title={`Restore ${device.device}?`}
      confirm="Restore it"
      disabled={disabled}
      onConfirm={(form) => void decide("restore", String(form.get("reason") ?? "").trim())}
    >
      <p>
        Whoever holds its key is let in again. When it may be in the wrong hands, enrol the device again instead: its old
        certificates then stay revoked.
      </p>
      {expired && <p>Its certificate has expired meanwhile, so it has to enrol again in any case.</p>}
      <ReasonInput />
    </Dialog>
  );
}

function ReasonInput() {
  const check = (input: HTMLInputElement) => {
    const size = new TextEncoder().encode(input.value).length;
    input.setCustomValidity(size > REASON_MAX ? `At most ${REASON_MAX} bytes; these are ${size}.` : "");
  };
  return (
    <label>
      Why (optional)
      <input name="reason" autocomplete="off" onInput={(event) => check(event.currentTarget)} />
    </label>
  );
}

// ---- what it shows ----

function Facts({ device }: { device: DeviceDetail }) {
  const { certificate, fingerprint } = device;
  const cell = cellOf(device);
  return (
    <dl class="facts">
      {certificate ? (
        <>
          <Fact name="Certificate"><Validity certificate={certificate} /></Fact>
          <Fact name="Valid until">{absolute(certificate.not_after)}</Fact>
          <Fact name="Serial"><Short text={certificate.serial} what="serial number" /></Fact>
          <Fact name="SHA-256"><Short text={certificate.sha256} what="SHA-256" /></Fact>
        </>
      ) : (
        <Fact name="Certificate"><span class="muted">none issued here</span></Fact>
      )}
      <Fact name="Bound to machine">
        {fingerprint ? (
          <Short text={fingerprint} what="fingerprint" />
        ) : (
          <span class="muted">not yet: its first hello that tells one binds it</span>
        )}
      </Fact>
      <Fact name="Said to be another machine">
        <span class={device.mismatches > 0 ? "bad" : ""} data-testid="mismatches">
          {device.mismatches > 0 ? (
            <>
              {device.mismatches === 1 ? "once" : `${count(device.mismatches)} times`}, last <Time at={device.mismatch_at} />
              {device.mismatch_fingerprint && <> as <Short text={device.mismatch_fingerprint} what="other fingerprint" /></>}
              {device.mismatch_peer && <> from <span class="numbers">{device.mismatch_peer}</span></>}
            </>
          ) : (
            "never"
          )}
        </span>
      </Fact>
      {device.enrolled_at && <Fact name="Enrolled"><Time at={device.enrolled_at} /></Fact>}
      {cell && <Fact name="Cell">{cell}</Fact>}
    </dl>
  );
}

const MISMATCHES_SHOWN = 5;

// Each session that said to be another machine.
function Mismatches({ device: { mismatch_history: all } }: { device: DeviceDetail }) {
  const [whole, setWhole] = useState(false);
  if (all.length === 0) return null;
  const shown = whole ? all : all.slice(0, MISMATCHES_SHOWN);
  return (
    <>
      <h3>As which machine, from where, and when</h3>
      <ul class="gaps" data-testid="mismatch-history">
        {shown.map((one) => (
          <li key={one.at}>
            <span class="numbers">{one.said ? <Short text={one.said} what="fingerprint that it said" /> : "unknown"}</span>
            <span class="muted">
              {one.peer && <>from <span class="numbers">{one.peer}</span>, </>}
              {one.count > 0 && `${count(one.count)}. time, `}<Time at={one.at} />
            </span>
          </li>
        ))}
      </ul>
      {all.length > shown.length && (
        <p class="foot"><button type="button" onClick={() => setWhole(true)}>Show all {count(all.length)}</button></p>
      )}
    </>
  );
}

// Nothing where there is but one.
function cellOf({ cell, reports_in }: DeviceDetail): string | null {
  if (reports_in !== null && reports_in !== cell) return `${cell}, but it reports in ${reports_in}`;
  return cell === 1 ? null : String(cell);
}

function Validity({ certificate }: { certificate: NonNullable<DeviceDetail["certificate"]> }) {
  const until_ms = Date.parse(certificate.not_after);
  const life_s = (until_ms - Date.parse(certificate.not_before)) / 1000;
  const left_s = (until_ms - useNow()) / 1000;
  const left = left_s < 2 * DAY_S ? duration(left_s) : `${count(Math.floor(left_s / DAY_S))} days`;
  const [look, words]: [string, ComponentChildren] = certificate.revoked_at
    ? ["revoked", <>Revoked <Time at={certificate.revoked_at} /></>]
    : left_s <= 0
      ? ["offline", "Expired: it must enrol again"]
      : left_s < Math.min(BAD_DAYS * DAY_S, life_s / 12)
        ? ["offline", `${left} left: see why it is not renewed`]
        : left_s < Math.min(WARN_DAYS * DAY_S, life_s / 3)
          ? ["stale", `${left} left: due for renewal`]
          : ["online", `Valid, ${left} left`];
  return (
    <span class={`status ${look === "revoked" ? "offline" : look}`} data-testid="certificate">
      <Icon name={look} />
      <span>{words}</span>
    </span>
  );
}
