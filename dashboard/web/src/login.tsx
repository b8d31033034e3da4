import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, type Pending, post, type Session } from "./api";
import { Icon, Mark } from "./parts";

interface LoginProps {
  fault: ApiError | null;
  begun: Pending | null; // a login link has done the first step
  onLogin: (who: Session) => void;
}

// One step, or two where a code is asked for: whether the password was right is said with the code.
export function Login({ fault, begun, onLogin }: LoginProps) {
  const [error, setError] = useState<ApiError | null>(fault);
  const [pending, setPending] = useState(begun);
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const field = pending ? "code" : "password";
  const submit = async (event: Event) => {
    event.preventDefault();
    const data = new FormData(form.current!);
    const said = (name: string) => String(data.get(name) ?? "");
    setBusy(true);
    try {
      const answer = await post<Session | Pending>(
        "session",
        pending ? { pending: pending.pending, code: said("code").trim() } : { name: said("name").trim(), password: said("password") },
      );
      setError(null);
      if ("pending" in answer) setPending(answer);
      else onLogin(answer);
    } catch (thrown) {
      const problem = thrown as ApiError;
      setError(problem);
      if (pending && problem.message.includes("begin again")) setPending(null);
    }
    setBusy(false);
  };
  useEffect(() => {
    const input = form.current?.elements.namedItem(field) as HTMLInputElement | null;
    if (!input || (!error && field === "password")) return; // the name comes first
    input.value = "";
    input.focus();
  }, [error, field]);
  return (
    <main class="login">
      <form ref={form} onSubmit={submit} aria-labelledby="login-title">
        <Mark />
        <h1 id="login-title">{pending ? "Your code" : "Log in to Muster"}</h1>
        {error && (
          <p class="fault" role="alert">
            <Icon name="alert" />
            <span>{error.message}</span>
          </p>
        )}
        {pending ? <CodeField /> : <PasswordFields />}
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Logging in…" : pending ? "Continue" : "Log in"}
        </button>
        {pending ? (
          <p class="hint">
            <button type="button" class="plain" onClick={() => { setPending(null); setError(null); }}>Begin again</button>
          </p>
        ) : (
          <p class="hint">
            <a href="/reset" target="_self">Forgot the password?</a> Without one, take a one-time link: an administrator makes it
            under Users, or <code>muster login-link NAME</code> on the server.
          </p>
        )}
      </form>
    </main>
  );
}

function PasswordFields() {
  return (
    <>
      <label>
        Name
        <input name="name" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus />
      </label>
      <label>
        Password
        <input name="password" type="password" autocomplete="current-password" required />
      </label>
    </>
  );
}

function CodeField() {
  return (
    <label>
      From the authenticator app, or a recovery code
      <input name="code" autocomplete="one-time-code" autocapitalize="none" spellcheck={false} required maxLength={24} />
    </label>
  );
}
