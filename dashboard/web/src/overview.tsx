// How the fleet is, at a glance; how it came to be so; and what waits for a person.
import type { ComponentChildren } from "preact";
import { type Overview, type Sample, type Status } from "./api";
import { Attention } from "./attention";
import { Changes } from "./changes";
import { useOverviewClosely } from "./fleet";
import { compact, count } from "./format";
import { Card, Empty, Fault, Icon, StatusBadge } from "./parts";
import { Registrations } from "./registrations";
import { hourly, type Layer, Trend } from "./trend";
import type { ViewProps } from "./views";

const statuses: Status[] = ["online", "stale", "offline", "never"];

export default function OverviewView({ who }: ViewProps) {
  const { data, error } = useOverviewClosely();
  return (
    <>
      <h1 class="sr">Overview</h1>
      {error && error.status !== 503 && <Fault error={error} />}
      {data ? (
        <>
          <Numbers data={data} />
          {data.devices.total === 0 && <First mayEnrol={who.role === "administrator"} />}
          {data.waiting.registrations > 0 && <Registrations mayDecide={who.role === "administrator"} />}
          <div class="overview">
            <div>
              <History data={data} />
            </div>
            <div class="side-cards">
              <Card title="Needs attention" id="attention-title"><Attention data={data} /></Card>
              <Card title="In the last hour" id="changes-title"><Changes items={data.changes} /></Card>
            </div>
          </div>
        </>
      ) : (
        !error && <div class="card skeleton tall" role="status" aria-label="Loading" />
      )}
    </>
  );
}

// ---- nothing yet ----

function First({ mayEnrol }: { mayEnrol: boolean }) {
  return (
    <div class="card" data-testid="first">
      <Empty title="Bring in the first device">
        {mayEnrol ? (
          <>
            A token lets one in; the page that makes it has the line for a Linux machine, a script for Android, and a QR code.
            <a class="button primary" href="/enrolment?show=tokens">Enrol a device</a>
          </>
        ) : (
          "An administrator makes the token that lets it in. It appears here by itself."
        )}
      </Empty>
    </div>
  );
}

// ---- now ----

function Numbers({ data }: { data: Overview }) {
  const { devices, commands_today: commands, ledger, quarantine, system } = data;
  return (
    <section class="strip" aria-label="Now" data-testid="overview">
      <div class="tile wide">
        <h2>Devices online</h2>
        <p class="big">
          {count(devices.online)}
          <small> of {count(devices.total)}</small>
        </p>
        <Shares devices={devices} />
        <ul class="share-keys">
          {statuses.map((status) => (
            <li key={status}>
              <a href={`/devices?status=${status}`} class={devices[status] ? "" : "none"}>
                <StatusBadge status={status} />
                <b>{count(devices[status])}</b>
              </a>
            </li>
          ))}
        </ul>
      </div>
      <Tile
        name="Messages a minute"
        value={ledger.per_minute === null ? "–" : compact(ledger.per_minute)}
        note={ledger.per_minute === null ? "measured over a minute" : "taken in and committed"}
      />
      <Tile name="Ledger" value={`${count(ledger.lost)} lost`} tone={ledger.lost ? "bad" : "good"} note={ledgerNote(ledger)} />
      <Tile name="Commands today" href="/commands" value={count(commands.total)} note={commandNote(commands)} />
      <Tile name="System" {...systemState(system)} />
      <Tile
        name="Quarantine"
        value={quarantine.total > 100_000 ? "> 100 k" : count(quarantine.total)}
        note={quarantine.last_day ? <Warn tone="warn">{count(quarantine.last_day)} since yesterday</Warn> : "nothing refused today"}
      />
    </section>
  );
}

const ledgerNote = (ledger: Overview["ledger"]): string =>
  `${compact(ledger.stored)} stored once, ${compact(ledger.duplicates)} repeats refused`;

function commandNote(commands: Overview["commands_today"]): ComponentChildren {
  if (commands.failed) return <Warn tone="bad">{count(commands.failed)} not done</Warn>;
  if (commands.open) return `${count(commands.open)} on their way`;
  return commands.total ? "all done" : "none yet";
}

function systemState({ parts, troubled }: Overview["system"]): { value: string; tone: string; note: ComponentChildren } {
  if (parts === 0) return { value: "–", tone: "", note: "no part has spoken yet" };
  if (troubled.length === 0) return { value: "All well", tone: "good", note: `${parts} parts, heard within 30 s` };
  const first = troubled[0]!;
  return {
    value: `${troubled.length} of ${parts}`,
    tone: "bad",
    note: <Warn tone="bad">{first.part} {first.state === "silent" ? "is silent" : "is not well"}</Warn>,
  };
}

function Warn({ tone, children }: { tone: "bad" | "warn"; children: ComponentChildren }) {
  return (
    <span class={tone}>
      <Icon name="alert" />
      {children}
    </span>
  );
}

function Tile({ name, value, note, tone = "", href }: {
  name: string;
  value: string;
  note: ComponentChildren;
  tone?: string;
  href?: string;
}) {
  return (
    <div class="tile">
      <h2>{href ? <a href={href}>{name}</a> : name}</h2>
      <p class={`big ${tone}`}>{value}</p>
      <p class="note">{note}</p>
    </div>
  );
}

function Shares({ devices }: { devices: Overview["devices"] }) {
  if (devices.total === 0) return <p class="note">none enrolled yet</p>;
  return (
    <div class="shares" aria-hidden="true">
      {statuses.map(
        (status) => devices[status] > 0 && <span key={status} class={status} style={{ flexGrow: devices[status] }} />,
      )}
    </div>
  );
}

// ---- the last day ----

const column = (samples: Sample[], index: number): (number | null)[] => samples.map((sample) => sample[index] ?? null);

function History({ data: { history: samples, devices, at } }: { data: Overview }) {
  if (!samples || samples.length < 2)
    return (
      <Card title="The last 24 hours" id="history-title">
        <p class="quiet">
          The course of the fleet is kept from now on, a sample each minute; it is drawn here in some minutes. Who sees only
          some groups has the numbers of now alone.
        </p>
      </Card>
    );
  const times = samples.map(([ms]) => ms);
  const presence: Layer[] = [
    { name: "Online", tone: "good", values: [...column(samples, 1), devices.online] },
    { name: "Stale", tone: "warn", values: [...column(samples, 2), devices.stale] },
    { name: "Offline", tone: "bad", values: [...column(samples, 3), devices.offline] },
    { name: "Never seen", tone: "idle", values: [...column(samples, 4), devices.never] },
  ];
  const ended = hourly(times, [
    { name: "Succeeded", tone: "good", values: column(samples, 8) },
    { name: "Not done", tone: "bad", values: column(samples, 9) },
  ]);
  const enrolled = hourly(times, [{ name: "Enrolled", tone: "accent", values: column(samples, 6) }]);
  const rate = samples.filter((sample) => sample[5] !== null); // the first sample has none before it
  return (
    <Card title="The last 24 hours" id="history-title">
      <div class="trends" data-testid="history">
        <Trend label="Devices" kind="area" times={[...times, Date.parse(at)]} layers={presence} />
        <Trend label="Messages a minute" kind="area" times={rate.map(([ms]) => ms)} layers={[{ name: "Messages", tone: "accent", values: column(rate, 5) }]} />
        <Trend label="Commands ended, by the hour" kind="bars" {...ended} />
        <Trend label="Enrolments, by the hour" kind="bars" {...enrolled} />
      </div>
    </Card>
  );
}
