// A forgotten password: asking for a link by e-mail, and, with the link, choosing a new one. For people who are not logged in.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ApiError, post } from "./api";
import { Icon, Mark } from "./parts";

const PASSWORD_MIN = 12;

export default function Reset() {
  const [token, setToken] = useState<string | null>(null);
  useEffect(() => {
    document.title = "New password · Muster";
    const take = () => {
      const found = /^#([A-Za-z0-9_-]{43})$/.exec(location.hash)?.[1];
      // The token leaves the address bar and the history before anything else happens.
      if (location.hash) history.replaceState(null, "", location.pathname);
      setToken((before) => found ?? before ?? "");
    };
    take();
    addEventListener("hashchange", take); // a link opened where this page is shown already
    return () => removeEventListener("hashchange", take);
  }, []);
  if (token === null) return null;
  return token ? <Choose token={token} /> : <Ask />;
}

function Frame({ title, error, done, onSubmit, children }: {
  title: string;
  error: ApiError | null;
  done?: string | undefined;
  onSubmit: (form: FormData) => Promise<void>;
  children: ComponentChildren;
}) {
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    await onSubmit(new FormData(event.currentTarget as HTMLFormElement));
    setBusy(false);
  };
  return (
    <main class="login">
      <form onSubmit={submit} aria-labelledby="reset-title">
        <Mark />
        <h1 id="reset-title">{title}</h1>
        {error && <p class="fault" role="alert"><Icon name="alert" /><span>{error.message}</span></p>}
        {done ? <p role="status">{done}</p> : children}
        {!done && <button type="submit" class="primary" disabled={busy}>{busy ? "One moment…" : title}</button>}
        <p class="hint"><a href="/login" target="_self">Back to the login</a></p>
      </form>
    </main>
  );
}

function Ask() {
  const [error, setError] = useState<ApiError | null>(null);
  const [done, setDone] = useState(false);
  const ask = (form: FormData) =>
    post("password-reset", { name: String(form.get("name")).trim() }).then(() => setDone(true), setError);
  return (
    <Frame
      title="Send me a link"
      error={error}
      onSubmit={ask}
      done={done ? "If there is such an account with an e-mail address, a link is on its way. It works once, for 30 minutes." : undefined}
    >
      <label>
        Name or e-mail address
        <input name="name" autocomplete="username" autocapitalize="none" spellcheck={false} required maxLength={255} autofocus />
      </label>
    </Frame>
  );
}

function Choose({ token }: { token: string }) {
  const [error, setError] = useState<ApiError | null>(null);
  const [done, setDone] = useState(false);
  const choose = (form: FormData) =>
    post("password-reset/finish", { token, password: String(form.get("password")) }).then(() => {
      setError(null);
      setDone(true);
    }, setError);
  return (
    <Frame
      title="Choose this password"
      error={error}
      onSubmit={choose}
      done={done ? "The password is changed, and whoever was logged in with the old one is not any more." : undefined}
    >
      <label>
        New password, {PASSWORD_MIN} characters or more
        <input name="password" type="password" autocomplete="new-password" minLength={PASSWORD_MIN} required autofocus />
      </label>
    </Frame>
  );
}
