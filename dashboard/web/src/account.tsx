// One's own account: password, second factor, sessions, API keys.
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, del, get, type Page, post } from "./api";
import { ApiKeys } from "./apikeys";
import { useLoad } from "./hooks";
import { Card, Dialog, Fault, Icon, Time } from "./parts";
import type { ViewProps } from "./views";

interface Account {
  name: string;
  role: string;
  email: string | null;
  has_password: boolean;
  password_changed_at: string | null;
  second_factor: string | null; // since when
  recovery_codes_left: number;
}

interface Session {
  id: string;
  peer: string;
  user_agent: string;
  created_at: string;
  last_used: string | null;
  current: boolean;
}

export default function AccountView({ who }: ViewProps) {
  const account = useLoad("account", (signal) => get<Account>("account", {}, signal));
  if (!account.data) return account.error ? <Fault error={account.error} retry={account.reload} /> : <div class="card skeleton tall" role="status" aria-label="Loading" />;
  return (
    <>
      <div class="heading">
        <h1>{who.name}</h1>
        <p class="muted">{account.data.role}{account.data.email && `, ${account.data.email}`}</p>
      </div>
      <div class="columns">
        <Password account={account.data} reload={account.reload} />
        <SecondFactor account={account.data} reload={account.reload} />
      </div>
      <Sessions />
      <ApiKeys whose={who.name} title="My API keys" />
    </>
  );
}

function Password({ account, reload }: { account: Account; reload: () => void }) {
  const [fault, setFault] = useState<ApiError | null>(null);
  const [done, setDone] = useState(false);
  const change = async (event: Event) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const data = new FormData(form);
    setFault(null);
    setDone(false);
    try {
      await post("account/password", { old: String(data.get("old") ?? ""), new: String(data.get("new")) });
      form.reset();
      setDone(true);
      reload();
    } catch (error) {
      setFault(error as ApiError);
    }
  };
  return (
    <Card id="password-title" title="Password">
      <form class="stack" onSubmit={change}>
        {fault && <Fault error={fault} />}
        {done && <p role="status"><Icon name="online" /> Changed. Your other sessions have ended.</p>}
        {account.has_password ? (
          <label>Present password<input name="old" type="password" autocomplete="current-password" required /></label>
        ) : (
          <p class="muted">There is none yet: you came in by a link.</p>
        )}
        <label>
          New password
          <input name="new" type="password" autocomplete="new-password" minLength={12} required aria-describedby="password-hint" />
        </label>
        <p class="hint" id="password-hint">12 characters or more. A few words are easier to keep than signs.</p>
        <button type="submit" class="primary">{account.has_password ? "Change the password" : "Choose this password"}</button>
      </form>
    </Card>
  );
}

interface SetUpModule {
  default: ComponentType<{ done: () => void }>;
  RecoveryCodes: ComponentType<{ codes: string[]; done: () => void }>;
}

function SecondFactor({ account, reload }: { account: Account; reload: () => void }) {
  const [module, setModule] = useState<SetUpModule | null>(null);
  const [codes, setCodes] = useState<string[] | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  useEffect(() => {
    void import("./totp").then(setModule, () => setFault(new ApiError(0, "A part of the page could not be loaded: reload it.")));
  }, []);
  const attempt = (work: Promise<unknown>) => {
    setFault(null);
    void work.catch((error: ApiError) => setFault(error)).then(reload);
  };
  const codeOf = (form: FormData) => ({ code: String(form.get("code")).trim() });
  const on = account.second_factor !== null && !codes;
  return (
    <Card id="factor-title" title="Second factor">
      <div class="stack" data-testid="second-factor">
        {fault && <Fault error={fault} />}
        {codes && module && <module.RecoveryCodes codes={codes} done={() => setCodes(null)} />}
        {on && (
          <>
            <p class="status online"><Icon name="online" /><span>On since <Time at={account.second_factor} /></span></p>
            <p class="muted">{account.recovery_codes_left} of 10 recovery codes are left.</p>
            <p class="row">
              <Dialog button="New recovery codes…" title="New recovery codes" confirm="Make them" disabled={false}
                onConfirm={(form) => attempt(post<{ recovery_codes: string[] }>("account/recovery-codes", codeOf(form))
                  .then(({ recovery_codes }) => setCodes(recovery_codes)))}>
                <p>The old ones are of no use any more.</p>
                <CodeField />
              </Dialog>
              <Dialog button="Turn off…" title="Turn the second factor off?" confirm="Turn it off" danger disabled={false}
                onConfirm={(form) => attempt(post("account/totp/remove", codeOf(form)))}>
                <p>Whoever knows the password gets in then.</p>
                <CodeField />
              </Dialog>
            </p>
          </>
        )}
        {!on && !codes && (
          <>
            <p>With a code from an app on your phone, a password alone lets nobody in.</p>
            {module ? <module.default done={reload} /> : <div class="skeleton" role="status" aria-label="Loading" />}
          </>
        )}
      </div>
    </Card>
  );
}

const CodeField = () => (
  <label>
    A code of the app
    <input name="code" autocomplete="one-time-code" required maxLength={24} />
  </label>
);

// ---- sessions ----

const browsers: [RegExp, string][] = [
  [/Edg\//, "Edge"], [/OPR\//, "Opera"], [/Firefox\//, "Firefox"], [/HeadlessChrome|Chrome\//, "Chrome"], [/Safari\//, "Safari"], [/curl\//, "curl"],
];
const systems: [RegExp, string][] = [
  [/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Windows/, "Windows"], [/Mac OS X/, "macOS"], [/CrOS/, "ChromeOS"], [/Linux|X11/, "Linux"],
];
const found = (list: [RegExp, string][], text: string) => list.find(([pattern]) => pattern.test(text))?.[1];

export function agentWords(agent: string): string {
  const [browser, system] = [found(browsers, agent), found(systems, agent)];
  return browser && system ? `${browser} on ${system}` : (browser ?? system ?? (agent || "unknown"));
}

function Sessions() {
  const sessions = useLoad("sessions", (signal) => get<Page<Session>>("sessions", {}, signal));
  const [fault, setFault] = useState<ApiError | null>(null);
  const items = sessions.data?.items ?? [];
  const end = (path: string) => {
    setFault(null);
    void del(path).catch((error: ApiError) => setFault(error)).then(sessions.reload);
  };
  return (
    <Card
      id="sessions-title"
      title="My sessions"
      aside={items.length > 1 && <button type="button" onClick={() => end("sessions")}>End all others</button>}
    >
      {(fault ?? sessions.error) && <Fault error={(fault ?? sessions.error)!} />}
      <div class="table-wrap">
        <table class="people labelled" data-testid="sessions">
          <thead>
            <tr>
              <th scope="col">Browser</th><th scope="col">From</th><th scope="col">Last used</th><th scope="col">Since</th>
              <th scope="col"><span class="sr">End</span></th>
            </tr>
          </thead>
          <tbody>
            {items.map((session) => (
              <tr key={session.id}>
                <th scope="row" title={session.user_agent}>{agentWords(session.user_agent)}</th>
                <td data-label="From">{session.peer}</td>
                <td data-label="Last used"><Time at={session.last_used} /></td>
                <td data-label="Since"><Time at={session.created_at} /></td>
                <td class="decide">
                  {session.current ? <span class="tag">this one</span> : (
                    <button type="button" onClick={() => end(`sessions/${session.id}`)}>End</button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
