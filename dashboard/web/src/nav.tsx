// The frame's navigation: a sidebar where there is room, otherwise a bar with a drawer; and the person's own menu.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Session } from "./api";
import { useBadges } from "./badges";
import { useLive } from "./hooks";
import { Icon, Mark, Segments } from "./parts";
import { places } from "./places";
import { chosenTheme, chooseTheme, type Theme } from "./theme";
import { groups, type View } from "./views";

const wide = matchMedia("(min-width: 1000px)");
const themes = [
  { value: "light", text: "Light" },
  { value: "dark", text: "Dark" },
  { value: "system", text: "System" },
] as const;

export interface NavProps {
  who: Session;
  views: View[]; // those that stand in the navigation, for this person
  path: string;
  logOut: () => void;
  help: () => void;
}

export function Navigation(props: NavProps) {
  const [isWide, setWide] = useState(wide.matches);
  useEffect(() => {
    const update = () => setWide(wide.matches);
    wide.addEventListener("change", update);
    return () => wide.removeEventListener("change", update);
  }, []);
  return isWide ? <Sidebar {...props} /> : <Bar {...props} />;
}

function Brand() {
  return (
    <a class="brand" href="/" aria-label="Muster, overview">
      <Mark />
      <span>Muster</span>
    </a>
  );
}

function Sidebar(props: NavProps) {
  return (
    <header class="side">
      <div class="side-top">
        <Brand />
        <Pulse />
      </div>
      <Places {...props} />
      <Me {...props} />
    </header>
  );
}

// The drawer is a dialog, so that the keyboard stays in it and Escape closes it.
function Bar(props: NavProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.close(), [props.path]);
  return (
    <header class="bar-top">
      <button type="button" class="plain menu" aria-label="Menu" aria-haspopup="dialog" onClick={() => dialog.current?.showModal()}>
        <Icon name="menu" />
      </button>
      <Brand />
      <Pulse />
      <dialog
        ref={dialog}
        class="drawer"
        aria-label="Menu"
        onClick={(event) => {
          const target = event.target as Element;
          // Beside the drawer, or a link in it, also to where one is already.
          if (target === event.currentTarget || target.closest("a")) dialog.current?.close();
        }}
      >
        <div class="drawer-in">
          <div class="side-top">
            <Brand />
            <button type="button" class="plain" onClick={() => dialog.current?.close()}>Close</button>
          </div>
          <Places {...props} />
          <Me {...props} />
        </div>
      </dialog>
    </header>
  );
}

function Places({ views, path }: NavProps) {
  const badges = useBadges();
  return (
    <nav aria-label="Main">
      {groups.map((group) => {
        const inside = views.filter((view) => view.group === group);
        if (inside.length === 0) return null;
        return (
          <div key={group} role="group" aria-labelledby={`nav-${group}`}>
            <h2 id={`nav-${group}`}>{group}</h2>
            <ul>
              {inside.map(({ link, title }) => {
                const here = path === link || (link !== "/" && path.startsWith(`${link}/`));
                const badge = badges.get(link!);
                return (
                  <li key={link}>
                    <a href={link!} {...(here ? { "aria-current": "page" as const } : {})}>
                      <Glyph link={link!} />
                      <span class="place">{title}</span>
                      {badge && (
                        <span class={`badge ${badge.tone ?? ""}`} title={`${badge.count} ${badge.words}`}>
                          {badge.count > 999 ? "999+" : badge.count}
                          <span class="sr"> {badge.words}</span>
                        </span>
                      )}
                    </a>
                  </li>
                );
              })}
            </ul>
          </div>
        );
      })}
    </nav>
  );
}

function Glyph({ link }: { link: string }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={places[link]?.path ?? ""} />
    </svg>
  );
}

function Me({ who, views, path, logOut, help }: NavProps) {
  const [open, setOpen] = useState(false);
  const [theme, setTheme] = useState<Theme>(chosenTheme);
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => setOpen(false), [path]);
  useEffect(() => {
    if (!open) return;
    const onPress = (event: Event) => {
      if (!place.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", onPress);
    return () => document.removeEventListener("pointerdown", onPress);
  }, [open]);
  const own = views.filter((view) => view.group === undefined);
  return (
    <div
      class="me"
      ref={place}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open) return;
        event.preventDefault(); // in the drawer, the drawer stays
        setOpen(false);
        place.current?.querySelector<HTMLElement>(".who")?.focus();
      }}
    >
      {open && (
        <div class="me-menu" id="me-menu">
          {own.map(({ link, title }) => (
            <a key={link} href={link!}>
              <Glyph link={link!} />
              {title}
            </a>
          ))}
          <button type="button" onClick={() => { setOpen(false); help(); }}>
            <Icon name="keys" />
            Keyboard
            <kbd aria-hidden="true">?</kbd>
          </button>
          <div class="me-theme">
            <Segments
              label="Theme"
              value={theme}
              options={themes}
              onChange={(next) => {
                chooseTheme(next);
                setTheme(next);
              }}
            />
          </div>
          <button type="button" onClick={logOut}>
            <Icon name="leave" />
            Log out
          </button>
        </div>
      )}
      <button
        type="button"
        class="who"
        aria-expanded={open}
        aria-controls="me-menu"
        title={`Logged in until ${new Date(who.expires_at).toLocaleString()}`}
        onClick={() => setOpen(!open)}
      >
        <span class="initial" aria-hidden="true">{who.name.slice(0, 1).toUpperCase()}</span>
        <span class="who-name">
          {who.name}
          <span class="role">{who.role}</span>
        </span>
        <Icon name={open ? "down" : "up"} />
      </button>
    </div>
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
