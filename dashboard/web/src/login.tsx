import { useRef, useState } from "preact/hooks";
import { ApiError, post, type Session } from "./api";
import { Icon, Mark } from "./parts";

export function Login({ fault, onLogin }: { fault: ApiError | null; onLogin: (who: Session) => void }) {
  const [error, setError] = useState<ApiError | null>(fault);
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const submit = async (event: Event) => {
    event.preventDefault();
    const data = new FormData(form.current!);
    setBusy(true);
    try {
      onLogin(
        await post<Session>("session", { name: String(data.get("name")).trim(), password: String(data.get("password")) }),
      );
    } catch (thrown) {
      setError(thrown as ApiError);
      setBusy(false);
      const password = form.current?.elements.namedItem("password") as HTMLInputElement;
      password.value = "";
      password.focus();
    }
  };
  return (
    <main class="login">
      <form ref={form} onSubmit={submit} aria-labelledby="login-title">
        <Mark />
        <h1 id="login-title">Log in to Muster</h1>
        {error && (
          <p class="fault" role="alert">
            <Icon name="alert" />
            <span>{error.message}</span>
          </p>
        )}
        <label>
          Name
          <input name="name" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" required />
        </label>
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Logging in…" : "Log in"}
        </button>
        <p class="hint">
          Without a password, take a one-time link: <code>muster login-link NAME</code> on the server prints one.
        </p>
      </form>
    </main>
  );
}
