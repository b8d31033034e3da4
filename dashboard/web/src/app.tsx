import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, del, get, post, type Session } from "./api";
import { CommandsView } from "./commands";
import { DeviceView } from "./device";
import { DevicesView } from "./devices";
import { EventsView } from "./events";
import { useLive, useNow } from "./hooks";
import { serverNow, start, stop } from "./live";
import { Login } from "./login";
import { Empty, Icon, Mark } from "./parts";
import { navigate, useLocation } from "./router";

const LINK = /^#([A-Za-z0-9_-]{43})$/; // a one-time login link's token

// undefined: not known yet; null: nobody is logged in.
type Who = Session | null | undefined;

function useSession() {
  const [who, setWho] = useState<Who>(undefined);
  const [fault, setFault] = useState<ApiError | null>(null);
  useEffect(() => {
    const link = LINK.exec(location.hash)?.[1];
    // The token leaves the address bar and the history before anything else happens.
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    const ask = link ? post<Session>("session", { link }) : get<Session>("session");
    ask.then(setWho, (error: ApiError) => {
      setWho(null);
      if (link || error.status !== 401) setFault(error);
    });
  }, []);
  return { who, setWho, fault };
}

export function App() {
  const { who, setWho, fault } = useSession();
  useEffect(() => {
    if (!who) return;
    start(() => setWho(null));
    return stop;
  }, [who]);
  if (who === undefined) return <p class="loading" role="status">Loading…</p>;
  if (who === null) return <Login fault={fault} onLogin={setWho} />;
  const logOut = () => {
    void del("session").finally(() => setWho(null));
  };
  return <Shell who={who} logOut={logOut} />;
}

function Shell({ who, logOut }: { who: Session; logOut: () => void }) {
  const url = useLocation();
  const path = url.pathname === "/login" ? "/" : url.pathname;
  useEffect(() => {
    if (url.pathname === "/login") navigate("/", true);
  }, [url.pathname]);
  return (
    <>
      <a class="skip" href="#main">Skip to content</a>
      <header class="top">
        <a class="brand" href="/" aria-label="Muster, all devices">
          <Mark />
          <span>Muster</span>
        </a>
        <nav aria-label="Main">
          <Tab href="/" here={path === "/" || path.startsWith("/devices")}>Devices</Tab>
          <Tab href="/commands" here={path === "/commands"}>Commands</Tab>
          <Tab href="/events" here={path === "/events"}>Events</Tab>
        </nav>
        <div class="right">
          <Pulse />
          <span class="who" title={`Logged in until ${new Date(who.expires_at).toLocaleString()}`}>
            {who.name}
            <span class="role">{who.role}</span>
          </span>
          <button type="button" class="plain" onClick={logOut}>Log out</button>
        </div>
      </header>
      <Banner />
      <main id="main" tabIndex={-1}>
        <View path={path} who={who} />
      </main>
    </>
  );
}

function Tab({ href, here, children }: { href: string; here: boolean; children: string }) {
  return (
    <a href={href} {...(here ? { "aria-current": "page" as const } : {})}>
      {children}
    </a>
  );
}

function View({ path, who }: { path: string; who: Session }) {
  const device = /^\/devices\/([^/]+)$/.exec(path)?.[1];
  const title = device ?? (path === "/commands" ? "Commands" : path === "/events" ? "Events" : "Devices");
  const first = useRef(true);
  useEffect(() => {
    document.title = `${title} · Muster`;
    // After a step to another view the keyboard and screen readers start at its beginning.
    if (!first.current) document.getElementById("main")?.focus({ preventScroll: true });
    first.current = false;
  }, [title]);
  if (device) return <DeviceView key={device} id={decodeURIComponent(device)} canAct={who.can_act} mayRestore={who.role === "administrator"} />;
  if (path === "/" || path === "/devices") return <DevicesView mayDecide={who.role === "administrator"} />;
  if (path === "/commands") return <CommandsView canAct={who.can_act} />;
  if (path === "/events") return <EventsView />;
  return (
    <Empty title="There is no such page">
      <a href="/">Go to all devices</a>
    </Empty>
  );
}

function Pulse() {
  const { connected, lostAt } = useLive();
  const [tone, word] = connected ? ["on", "Live"] : lostAt ? ["off", "Not live"] : ["", "Connecting"];
  return (
    <span class={`pulse ${tone}`} role="status" data-testid="live">
      <span class="dot" aria-hidden="true" />
      {word}
    </span>
  );
}

function Banner() {
  const { lostAt, databaseUp } = useLive();
  const now = useNow();
  if (!databaseUp)
    return (
      <p class="banner" role="status" data-testid="banner">
        <Icon name="alert" />
        The database is away. Devices keep what they report, and this page recovers by itself.
      </p>
    );
  if (!lostAt) return null;
  const seconds = Math.max(0, Math.round((now - (serverNow() - Date.now()) - lostAt) / 1000));
  if (seconds < 2) return null; // a blink is not worth a word
  return (
    <p class="banner" role="status" data-testid="banner">
      <Icon name="alert" />
      Live updates lost {seconds} s ago, reconnecting. What you see may be out of date.
    </p>
  );
}
