// Enrolling a device again: a token for its id alone, which is told once, and the command that takes it.
import { useState } from "preact/hooks";
import { ApiError, type DeviceDetail, post } from "./api";
import { absolute } from "./format";
import { serverNow } from "./live";
import { Dialog, Fault, Icon, Short } from "./parts";

const LIFETIME_S = 3600;

interface Ticket {
  token: string;
  until: string;
  serial: string | null; // of the certificate that it had when the token was made
}

export interface Reenrolment {
  ticket: Ticket | null;
  fault: ApiError | null;
  busy: boolean;
  make: () => Promise<void>;
  forget: () => void;
}

export function useReenrolment(device: DeviceDetail): Reenrolment {
  const [ticket, setTicket] = useState<Ticket | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const serial = device.certificate?.serial ?? null;
  const make = async () => {
    setBusy(true);
    setFault(null);
    try {
      const made = await post<{ token: string }>("tokens", { device: device.device, uses: 1, expires_s: LIFETIME_S });
      setTicket({ token: made.token, until: new Date(serverNow() + LIFETIME_S * 1000).toISOString(), serial });
    } catch (thrown) {
      setFault(thrown as ApiError);
    }
    setBusy(false);
  };
  // Once there is another certificate, the token has done its work.
  const current = ticket !== null && ticket.serial === serial ? ticket : null;
  return { ticket: current, fault, busy, make, forget: () => setTicket(null) };
}

export function ReenrolButton({ device, reenrolment }: { device: DeviceDetail; reenrolment: Reenrolment }) {
  return (
    <Dialog
      button="Enrol again…"
      title={`Enrol ${device.device} again?`}
      confirm="Make a token"
      disabled={reenrolment.busy}
      onConfirm={() => void reenrolment.make()}
    >
      <p>
        Makes a token that is good once, for {device.device} alone, within an hour. Nothing changes until it is used. Then the
        device gets a new certificate, all its earlier ones are revoked, and commands that are open are cancelled.
      </p>
      {!device.enabled && <p>It is revoked now, and is let in again with that.</p>}
    </Dialog>
  );
}

export function ReenrolTicket({ device, reenrolment }: { device: DeviceDetail; reenrolment: Reenrolment }) {
  const { ticket, fault } = reenrolment;
  const command = `muster-agent enroll ${device.enrolled_at ? "--again " : ""}--token-file -`;
  if (fault) return <Fault error={fault} />;
  if (!ticket) return null;
  return (
    <div class="standing ticket" role="status" data-testid="ticket">
      <Icon name="bolt" />
      <div>
        <p>
          <strong>On the device</strong>, stop the agent, run this once, paste the token when it waits, and start the agent
          again:
        </p>
        <p><Short text={command} what="command" whole /></p>
        <p>The token, which is shown only now and is good until {absolute(ticket.until)}:</p>
        <p data-testid="token"><Short text={ticket.token} what="token" whole /></p>
        <p class="muted">A device that speaks only HTTP gives it to <code>POST /v1/register</code>.</p>
        <button type="button" onClick={reenrolment.forget}>Done</button>
      </div>
    </div>
  );
}
