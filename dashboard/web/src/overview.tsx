// How the fleet is, at a glance.
import { type Overview, type Status } from "./api";
import { useOverview } from "./fleet";
import { compact, count } from "./format";
import { Fault, Icon, statusWord } from "./parts";
import { Registrations } from "./registrations";
import type { ViewProps } from "./views";

const statuses: Status[] = ["online", "stale", "offline", "never"];

export default function OverviewView({ who }: ViewProps) {
  const { data, error } = useOverview();
  return (
    <>
      <div class="heading">
        <h1>Overview</h1>
      </div>
      {error && error.status !== 503 && <Fault error={error} />}
      <OverviewStrip data={data} />
      <Registrations mayDecide={who.role === "administrator"} />
    </>
  );
}

function OverviewStrip({ data }: { data: Overview | null }) {
  if (!data) return <div class="strip skeleton" aria-hidden="true" />;
  const { devices, commands_today: commands, ledger, quarantine, ingest } = data;
  const perMinute = ingest.window_s > 0 ? Math.round((ingest.messages_last_minute * 60) / Math.max(ingest.window_s, 5)) : 0;
  return (
    <section class="strip" aria-label="Overview" data-testid="overview">
      <div class="tile wide">
        <h2>Devices online</h2>
        <p class="big">
          {count(devices.online)}
          <small> of {count(devices.total)}</small>
        </p>
        <Shares devices={devices} />
      </div>
      <Tile name="Messages a minute" value={compact(perMinute)} note="taken in by ingest" />
      <Tile
        name="Commands today"
        value={count(commands.total)}
        note={
          commands.failed ? (
            <span class="bad">
              <Icon name="alert" />
              {count(commands.failed)} not done
            </span>
          ) : commands.open ? (
            `${count(commands.open)} on their way`
          ) : commands.total ? (
            "all done"
          ) : (
            "none yet"
          )
        }
      />
      <Tile
        name="Ledger"
        value={`${count(ledger.lost)} lost`}
        tone={ledger.lost ? "bad" : "good"}
        note={`${compact(ledger.stored)} stored once, ${compact(ledger.duplicates)} repeats refused`}
      />
      <Tile
        name="Quarantine"
        value={count(quarantine.total)}
        note={
          quarantine.last_day ? (
            <span class="warn">
              <Icon name="alert" />
              {count(quarantine.last_day)} since yesterday
            </span>
          ) : (
            "no refused messages today"
          )
        }
      />
    </section>
  );
}

function Tile({ name, value, note, tone = "" }: {
  name: string;
  value: string;
  note: preact.ComponentChildren;
  tone?: string;
}) {
  return (
    <div class="tile">
      <h2>{name}</h2>
      <p class={`big ${tone}`}>{value}</p>
      <p class="note">{note}</p>
    </div>
  );
}

function Shares({ devices }: { devices: Overview["devices"] }) {
  if (devices.total === 0) return <p class="note">none enrolled yet</p>;
  const words = statuses.map((status) => `${count(devices[status])} ${statusWord(status).toLowerCase()}`).join(", ");
  return (
    <div class="shares" role="img" aria-label={words} title={words}>
      {statuses.map(
        (status) => devices[status] > 0 && <span key={status} class={status} style={{ flexGrow: devices[status] }} />,
      )}
    </div>
  );
}
