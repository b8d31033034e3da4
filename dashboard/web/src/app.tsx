import type { ComponentType } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, del, get, type Pending, post, type Session } from "./api";
import { useOverview, watchFleet } from "./fleet";
import { useLive, useLong, useNow, useRecovery } from "./hooks";
import { listenToKeys } from "./keys";
import { serverNow, start, stop } from "./live";
import { Login } from "./login";
import { Navigation } from "./nav";
import { Absent, Fault, Icon } from "./parts";
import { navigate, useLocation } from "./router";
import { findView, type Found, type View, type ViewProps, views } from "./views";

const LINK = /^#([A-Za-z0-9_-]{43})$/; // a one-time login link's token

// undefined: not known yet; null: nobody is logged in.
type Who = Session | null | undefined;

function useSession() {
  const [who, setWho] = useState<Who>(undefined);
  const [fault, setFault] = useState<ApiError | null>(null);
  const [pending, setPending] = useState<Pending | null>(null);
  useEffect(() => {
    const link = LINK.exec(location.hash)?.[1];
    // The token leaves the address bar and the history before anything else happens.
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    const ask: Promise<Session | Pending> = link ? post("session", { link }) : get("session");
    ask.then(
      (answer) => {
        if ("pending" in answer) setPending(answer);
        setWho("pending" in answer ? null : answer);
      },
      (error: ApiError) => {
        setWho(null);
        if (link || error.status !== 401) setFault(error);
      },
    );
  }, []);
  return { who, setWho, fault, pending };
}

export function App() {
  return location.pathname === "/reset" ? <Later load={() => import("./reset")} /> : <LoggedIn />;
}

function LoggedIn() {
  const { who, setWho, fault, pending } = useSession();
  useEffect(() => {
    if (!who) return;
    start(() => setWho(null));
    return stop;
  }, [who]);
  if (who === undefined) return <p class="loading" role="status">Loading…</p>;
  if (who === null) return <Login fault={fault} begun={pending} onLogin={setWho} />;
  const logOut = () => {
    void del("session").finally(() => setWho(null));
  };
  return <Shell who={who} logOut={logOut} />;
}

function Shell({ who, logOut }: { who: Session; logOut: () => void }) {
  const url = useLocation();
  const path = url.pathname === "/login" ? "/" : url.pathname;
  const found = findView(path);
  const all = useOverview().data?.all ?? false;
  const mine = useMemo(
    () => views.filter(({ link, roles, installation }) => link && roles.includes(who.role) && (all || !installation)),
    [who.role, all],
  );
  const [help, setHelp] = useState(false);
  useEffect(() => {
    if (url.pathname === "/login") navigate("/", true);
  }, [url.pathname]);
  useEffect(watchFleet, []);
  useEffect(() => listenToKeys(mine, () => setHelp(true)), [mine]);
  useEffect(() => loadInAdvance(mine), [mine]);
  return (
    <div class="frame">
      <a class="skip" href="#main">Skip to content</a>
      <Navigation who={who} views={mine} path={path} logOut={logOut} help={() => setHelp(true)} />
      <div class="content">
        <Banner />
        <Silent who={who} />
        {who.needs_second_factor && (
          <p class="banner" role="status">
            <Icon name="alert" />
            <span>Administrators need a second factor here: <a href="/account">set it up</a> first.</span>
          </p>
        )}
        <main id="main" tabIndex={-1}>
          <Working />
          <Place key={path} found={found} who={who} />
        </main>
      </div>
      {help && <Later load={() => import("./help")} views={mine} close={() => setHelp(false)} />}
    </div>
  );
}

// What is loaded when it is first asked for.
function Later<P extends object>({ load, ...props }: { load: () => Promise<{ default: ComponentType<P> }> } & P) {
  const [Shown, setShown] = useState<ComponentType<P> | null>(null);
  useEffect(() => {
    load().then(
      (module) => setShown(() => module.default),
      () => "close" in props && typeof props.close === "function" && props.close(),
    );
  }, []);
  return Shown && <Shown {...(props as unknown as P)} />;
}

// Loads the view's file when it is first needed; what was loaded once is there at once.
const loaded = new Map<string, ComponentType<ViewProps>>();

function useView(found: Found | null) {
  const [, setArrived] = useState(0);
  const [fault, setFault] = useState<ApiError | null>(null);
  const name = found ? String(found.view.path) : "";
  const load = () => {
    setFault(null);
    if (!found || loaded.has(name)) return;
    found.view.load().then(
      (module) => {
        loaded.set(name, module.default);
        setArrived((n) => n + 1);
      },
      () => setFault(new ApiError(0, "A part of the page could not be loaded. Is the server there? Try again, or reload the page.")),
    );
  };
  useEffect(load, [name]);
  useRecovery(fault, load);
  return { Shown: loaded.get(name), fault, load };
}

const Working = () => (useLong() ? <div class="working" role="progressbar" aria-label="Waiting for the server" data-testid="working" /> : null);

const IDLE_MS = 5000;

// While nothing else is to do, so that a step to another view is quick, and possible when the server is away.
function loadInAdvance(wanted: View[]): () => void {
  const waiting = wanted.filter(({ path }) => !loaded.has(String(path)));
  let timer = 0;
  const next = () => {
    const view = waiting.shift();
    if (!view) return;
    view.load().then((module) => {
      loaded.set(String(view.path), module.default);
      timer = window.setTimeout(next, 0);
    }, () => {}); // it is loaded when it is needed
  };
  timer = window.setTimeout(next, IDLE_MS);
  return () => clearTimeout(timer);
}

function Place({ found, who }: { found: Found | null; who: Session }) {
  const title = found ? (found.args[0] ?? found.view.title) : "Not found";
  const { Shown, fault, load } = useView(found);
  useEffect(() => {
    document.title = `${title} · Muster`;
    // After a step to another view the keyboard and screen readers start at its beginning.
    if (!first) document.getElementById("main")?.focus({ preventScroll: true });
    first = false;
  }, [title]);
  if (!found) return <Absent title="There is no such page" href="/" link="Go to the overview" />;
  if (!found.view.roles.includes(who.role))
    return <Absent title={`${found.view.title} is for ${found.view.roles.map((role) => `${role}s`).join(" and ")}`} href="/" link="Go to the overview" />;
  if (fault) return <Fault error={fault} retry={load} />;
  if (!Shown) return <div class="card skeleton tall" role="status" aria-label="Loading" />;
  return <Shown who={who} args={found.args} />;
}
let first = true;

// What is silent means for whoever looks at devices and commands; the system's page says more.
const meanings: { [part: string]: string } = {
  ingest: "Devices keep what they report; states and values here are of before.",
  commander: "Commands, campaigns and alerts wait for it.",
  bridge: "Nobody can enrol, and devices that speak only HTTP keep what they have.",
};

function Silent({ who }: { who: Session }) {
  const silent = useOverview().data?.system.troubled.filter(({ state }) => state === "silent") ?? [];
  const { databaseUp } = useLive();
  if (silent.length === 0 || !databaseUp) return null;
  const sees = who.role === "administrator" || who.role === "auditor";
  return (
    <p class="banner" role="status" data-testid="silent">
      <Icon name="alert" />
      <span>
        {[...new Set(silent.map(({ part }) => part))].map((part) => `${part} is silent. ${meanings[part] ?? ""}`).join(" ")}{" "}
        {sees ? <a href="/system">Look at the system</a> : "Tell an administrator."}
      </span>
    </p>
  );
}

function Banner() {
  const { lostAt, databaseUp, databaseLostAt } = useLive();
  const now = useNow() - (serverNow() - Date.now()); // by this computer's clock, as the others
  const secondsSince = (ms: number) => Math.max(0, Math.round((now - ms) / 1000));
  if (!databaseUp && databaseLostAt !== null)
    return (
      <p class="banner" role="status" data-testid="banner">
        <Icon name="alert" />
        <span>
          The database is away. What you see is stale since {secondsSince(databaseLostAt)} s. Devices keep what they report, and this page
          recovers by itself. If it lasts, <code>muster status</code> on the server says what runs.
        </span>
      </p>
    );
  if (!lostAt) return null;
  const seconds = secondsSince(lostAt);
  if (seconds < 2) return null; // a blink is not worth a word
  return (
    <p class="banner" role="status" data-testid="banner">
      <Icon name="alert" />
      Live updates lost {seconds} s ago, reconnecting. What you see may be out of date.
    </p>
  );
}
