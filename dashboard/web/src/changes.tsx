// What changed in the last hour, in sentences with links.
import type { ComponentChildren } from "preact";
import type { Change } from "./api";
import { count } from "./format";
import { Icon, Time } from "./parts";

interface Look {
  icon: string;
  tone: string;
  words: string; // after the names
  query?: string; // of the device table, where there are many
}

const looks: { [kind: string]: Look } = {
  "presence.online": { icon: "online", tone: "online", words: "came online", query: "online" },
  "presence.offline": { icon: "offline", tone: "offline", words: "went offline", query: "offline" },
  enrolled: { icon: "online", tone: "busy", words: "enrolled" },
  revoked: { icon: "revoked", tone: "offline", words: "revoked", query: "revoked" },
  restored: { icon: "online", tone: "online", words: "let in again" },
};

const commandWords: { [state: string]: string } = { failed: "failed", rejected: "was rejected", expired: "expired" };

function Device({ name }: { name: string }) {
  return <a href={`/devices/${encodeURIComponent(name)}`}>{name}</a>;
}

// "a", "a and b", "a, b and 40 more"
function Names({ change, query }: { change: Change; query?: string | undefined }) {
  const { names, count: all } = change;
  if (all === 1) return <Device name={names[0]!} />;
  const shown = all <= 3 ? names.slice(0, -1) : names.slice(0, 2);
  const rest = all - shown.length;
  return (
    <>
      {shown.map((name, i) => (
        <span key={name}>
          {i > 0 && ", "}
          <Device name={name} />
        </span>
      ))}
      {" and "}
      {rest === 1 ? (
        <Device name={names[names.length - 1]!} />
      ) : query ? (
        <a href={`/devices?status=${query}`}>{count(rest)} more</a>
      ) : (
        `${count(rest)} more`
      )}
    </>
  );
}

function describe(change: Change): { icon: string; tone: string; text: ComponentChildren } {
  const [kind, action] = change.kind.split(" ");
  if (kind!.startsWith("command.")) {
    const state = kind!.slice("command.".length);
    return {
      icon: state === "expired" ? "stale" : "offline",
      tone: state === "expired" ? "stale" : "offline",
      text: (
        <>
          <a href={`/commands?state=${state}`}>{action}</a> {commandWords[state] ?? state} on <Names change={change} />
        </>
      ),
    };
  }
  if (kind!.startsWith("campaign.")) {
    const state = kind!.slice("campaign.".length);
    return {
      icon: state === "finished" ? "online" : state === "running" ? "running" : "waiting",
      tone: state === "paused" || state === "aborted" ? "stale" : "busy",
      text: (
        <>
          Campaign <a href={`/campaigns/${change.id}`}>{change.names[0]}</a> {state === "running" ? "started" : `is ${state}`}
        </>
      ),
    };
  }
  const look = looks[kind!] ?? { icon: "waiting", tone: "never", words: kind! };
  return { icon: look.icon, tone: look.tone, text: <><Names change={change} query={look.query} /> {look.words}</> };
}

export function Changes({ items }: { items: Change[] }) {
  if (items.length === 0)
    return <p class="quiet">Nothing changed in the last hour: nobody came, went, enrolled or failed.</p>;
  return (
    <ol class="changes" data-testid="changes">
      {items.map((change) => {
        const { icon, tone, text } = describe(change);
        return (
          <li key={`${change.kind} ${change.at} ${change.id ?? ""}`}>
            <span class={`status ${tone}`}><Icon name={icon} /></span>
            <span class="change-text">{text}</span>
            <Time at={change.at} />
          </li>
        );
      })}
    </ol>
  );
}
