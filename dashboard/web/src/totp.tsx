// Setting up the second factor: a QR code for an authenticator app, a code that confirms it, recovery codes.
import { useState } from "preact/hooks";
import { ApiError, post } from "./api";
import { Fault, Short } from "./parts";
import { Qr } from "./qr";

interface Begun {
  secret: string;
  uri: string;
}

export function RecoveryCodes({ codes, done }: { codes: string[]; done: () => void }) {
  const file = `data:text/plain;charset=utf-8,${encodeURIComponent(`Recovery codes for Muster\n\n${codes.join("\n")}\n`)}`;
  return (
    <div class="recovery" data-testid="recovery-codes">
      <p><strong>Keep these recovery codes.</strong> Each lets you in once when the app is lost; they are not shown again.</p>
      <ul>{codes.map((code) => <li key={code}><code>{code}</code></li>)}</ul>
      <p class="row">
        <a class="button" href={file} download="muster-recovery-codes.txt" target="_self">Save as a file</a>
        <button type="button" class="primary" onClick={done}>I have kept them</button>
      </p>
    </div>
  );
}

export default function SetUp({ done }: { done: () => void }) {
  const [begun, setBegun] = useState<Begun | null>(null);
  const [codes, setCodes] = useState<string[] | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const begin = () => post<Begun>("account/totp", {}).then(setBegun, setFault);
  const confirm = (event: Event) => {
    event.preventDefault();
    const code = String(new FormData(event.currentTarget as HTMLFormElement).get("code")).replaceAll(" ", "");
    setFault(null);
    void post<{ recovery_codes: string[] }>("account/totp/confirm", { code }).then(({ recovery_codes }) => setCodes(recovery_codes), setFault);
  };
  if (codes) return <RecoveryCodes codes={codes} done={done} />;
  return (
    <>
      {fault && <Fault error={fault} />}
      {!begun ? (
        <p class="row"><button type="button" class="primary" onClick={() => void begin()}>Set up a second factor</button></p>
      ) : (
        <form class="totp" onSubmit={confirm}>
          <Qr text={begun.uri} label="QR code of the secret" />
          <div>
            <p>Scan this with an authenticator app, or type the secret into it:</p>
            <p data-testid="totp-secret"><Short text={begun.secret} what="secret" whole /></p>
            <label>
              The code that the app shows
              <input name="code" inputMode="numeric" autocomplete="one-time-code" pattern="[0-9 ]{6,7}" title="six digits" required />
            </label>
            <button type="submit" class="primary">Turn it on</button>
          </div>
        </form>
      )}
    </>
  );
}
