// The system itself: in what state each part is, since when, and what to do.
import { useEffect } from "preact/hooks";
import { type BrokerFacts, get, type Part, type PartHealth, type System } from "./api";
import { absolute, bytes, count, duration } from "./format";
import { useLoad, useNow } from "./hooks";
import { Card, Empty, Fault, Icon, Time } from "./parts";

const EVERY_MS = 5000;

export default function SystemView() {
  const system = useLoad("system", (signal) => get<System>("system", {}, signal));
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) system.reload();
    }, EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const { data, error } = system;
  return (
    <>
      <div class="heading">
        <h1>System</h1>
        <p class="muted">What Muster itself runs on, as each part said within the last half minute.</p>
      </div>
      {error && error.status !== 503 && <Fault error={error} retry={system.reload} />}
      {data ? <Shown data={data} /> : !error && <div class="card skeleton tall" role="status" aria-label="Loading" />}
    </>
  );
}

function Shown({ data }: { data: System }) {
  const commander = data.parts.find(({ part, detail }) => part === "commander" && typeof detail.broker === "object");
  return (
    <>
      <Card title="Parts" id="parts-title"><Parts parts={data.parts} /></Card>
      <div class="masonry">
        <Card title="Queues" id="queues-title"><Queues data={data} /></Card>
        <Card title="Database" id="database-title"><Database database={data.database} /></Card>
        <Card title="Broker" id="broker-title"><Broker commander={commander} /></Card>
        <Card title="Wake-ups (FCM)" id="wake-title"><Wake commander={commander} /></Card>
        <Card title="Proofs of revocation" id="proofs-title"><Proofs data={data} /></Card>
        <Card title="Authorities" id="authorities-title"><Authorities data={data} /></Card>
      </div>
    </>
  );
}

// ---- parts ----

const looks: Record<PartHealth, [tone: string, icon: string, word: string]> = {
  ok: ["online", "online", "Well"],
  degraded: ["stale", "alert", "Not well"],
  silent: ["offline", "offline", "Silent"],
};

function Health({ state }: { state: PartHealth }) {
  const [tone, icon, word] = looks[state];
  return (
    <span class={`status ${tone}`}>
      <Icon name={icon} />
      {word}
    </span>
  );
}

const duties: { [part: string]: string } = {
  ingest: "takes in what devices report",
  commander: "signs and sends commands",
  bridge: "enrols devices, speaks HTTP",
  dashboard: "this page and the API",
  canary: "proves that revocations hold",
};

const advice = ({ part, state, why }: Part): string =>
  state === "ok"
    ? ""
    : state === "silent"
      ? `It has not spoken for half a minute. Look whether muster-${part} runs and reaches the database: its log says why.`
      : why;

function Parts({ parts }: { parts: Part[] }) {
  if (parts.length === 0)
    return <Empty title="No part has spoken yet">Each says how it is every ten seconds, once the database answers.</Empty>;
  return (
    <div class="table-wrap">
      <table class="parts labelled" data-testid="parts">
        <thead>
          <tr>
            <th scope="col">Part</th>
            <th scope="col">State</th>
            <th scope="col">Since</th>
            <th scope="col">Running for</th>
            <th scope="col">Version</th>
            <th scope="col">Where</th>
            <th scope="col">Last heard</th>
          </tr>
        </thead>
        <tbody>
          {parts.map((part) => <PartRow key={`${part.part} ${part.instance}`} part={part} />)}
        </tbody>
      </table>
    </div>
  );
}

function PartRow({ part }: { part: Part }) {
  const now = useNow();
  return (
    <tr data-part={part.part}>
      <th scope="row" class="device">
        <span class="who-is">
          <b>{part.part}</b>
          <span class="name">{duties[part.part]}</span>
        </span>
        {part.state !== "ok" && <p class="advice">{advice(part)}</p>}
      </th>
      <td data-label="State"><Health state={part.state} /></td>
      <td data-label="Since"><Time at={part.since} /></td>
      <td data-label="Running for">
        {part.state === "silent" ? <span class="muted">–</span> : <span title={absolute(part.started_at)}>{duration((now - Date.parse(part.started_at)) / 1000)}</span>}
      </td>
      <td data-label="Version">{part.version}</td>
      <td data-label="Where"><span title={part.detail.pid ? `process ${part.detail.pid} on ${part.detail.host}` : ""}>{part.instance}</span></td>
      <td data-label="Last heard"><Time at={part.seen_at} /></td>
    </tr>
  );
}

// ---- queues ----

const queueNames: { [queue: string]: [name: string, note: string, bad: number] } = {
  commands_requested: ["Commands to be signed", "commander takes them at once", 1000],
  commands_open: ["Commands on their way", "until devices answer, or time runs out", Infinity],
  results_unapplied: ["Results to be applied", "commander takes them at once", 1000],
  results_unchecked: ["Signatures to be checked", "commander takes them at once", 1000],
  quarantine_last_day: ["Quarantined since yesterday", "refused messages, kept with the reason", 1],
};

function Queues({ data }: { data: System }) {
  const mail = data.database;
  return (
    <dl class="rows" data-testid="queues">
      {data.queues.map(({ queue, count: waiting, oldest_at }) => {
        const [name, note, bad] = queueNames[queue] ?? [queue, "", Infinity];
        return <Row key={queue} name={name} note={note} value={waiting > 100_000 ? "> 100,000" : count(waiting)} warn={waiting >= bad} at={oldest_at} />;
      })}
      <Row
        name="Mail to be sent"
        note={mail.mail_error ? `last try: ${mail.mail_error}` : "tried again while there is time"}
        value={count(mail.mail_waiting)}
        warn={mail.mail_error !== null}
        at={mail.mail_oldest_at}
      />
    </dl>
  );
}

function Row({ name, note, value, warn = false, at = null }: {
  name: string;
  note?: string;
  value: string;
  warn?: boolean;
  at?: string | null;
}) {
  return (
    <div>
      <dt>
        {name}
        {note && <span class="note">{note}</span>}
      </dt>
      <dd class={warn ? "warn" : ""}>
        {warn && <Icon name="alert" />}
        {value}
        {at && <span class="note">oldest <Time at={at} /></span>}
      </dd>
    </div>
  );
}

// ---- what they stand on ----

function Database({ database }: { database: System["database"] }) {
  const now = useNow();
  const share = database.connections / database.connections_max;
  const oldest = database.oldest_transaction_s;
  return (
    <dl class="rows">
      <Row name="PostgreSQL" value={database.version.split(" ")[0] ?? ""} note={database.replica ? "a replica" : ""} />
      <Row name="Running for" value={duration((now - Date.parse(database.started_at)) / 1000)} />
      <Row name="Size" value={bytes(database.size_bytes)} />
      <Row
        name="Connections"
        value={`${database.connections} of ${database.connections_max}`}
        warn={share > 0.85}
        note={share > 0.85 ? "raise max_connections, or look who holds them" : ""}
      />
      <Row
        name="Oldest transaction"
        value={oldest === null ? "none" : duration(oldest)}
        warn={(oldest ?? 0) > 300}
        note={(oldest ?? 0) > 300 ? "it holds rollups and vacuum back: look in pg_stat_activity" : ""}
      />
    </dl>
  );
}

function Broker({ commander }: { commander: Part | undefined }) {
  const facts = commander?.detail.broker as BrokerFacts | undefined;
  if (!facts?.version)
    return <p class="quiet">The broker has said nothing of itself yet (topics $SYS); another broker than Mosquitto may not at all.</p>;
  return (
    <dl class="rows">
      <Row name="Mosquitto" value={facts.version.replace(/^mosquitto version /, "")} />
      <Row name="Running for" value={duration(facts.uptime_s ?? 0)} />
      <Row name="Clients connected" value={count(facts.clients ?? 0)} note="devices, services and operators" />
      <Row name="Sessions that wait" value={count(facts.sessions_waiting ?? 0)} note="for clients that are away" />
      <Row name="Messages kept" value={count(facts.stored ?? 0)} note={`${count(facts.retained ?? 0)} of them retained`} />
      {facts.heap_bytes !== undefined && <Row name="Memory" value={bytes(facts.heap_bytes)} />}
    </dl>
  );
}

function Wake({ commander }: { commander: Part | undefined }) {
  const wake = commander?.detail.wake;
  if (!wake) return <p class="quiet">Commander has not spoken yet.</p>;
  if (wake.state === "off")
    return (
      <p class="quiet">
        Off: sleeping devices get their commands at their next contact. To wake them, give commander <code>fcm.credentials_file</code>.
      </p>
    );
  return (
    <dl class="rows">
      <Row
        name="Breaker"
        value={wake.breaker ?? wake.state}
        warn={wake.state === "paused"}
        note={wake.state === "paused" ? "pushes failed in a row; it tries again by itself" : "pushes are handed over"}
      />
      {wake.paused_ms ? <Row name="Tries again in" value={duration(wake.paused_ms / 1000)} /> : null}
      <Row name="Under way" value={count(wake.under_way ?? 0)} />
    </dl>
  );
}

// ---- trust ----

function Proofs({ data }: { data: System }) {
  if (data.proofs.length === 0)
    return <p class="quiet">No proof yet: start <code>muster-canary</code>, which has its own certificate revoked and tries to come back.</p>;
  return (
    <dl class="rows" data-testid="proofs">
      {data.proofs.slice(0, 5).map((proof) => (
        <div key={`${proof.cell} ${proof.requested_at}`}>
          <dt>
            <span class={`status ${proof.ok ? "online" : "offline"}`}>
              <Icon name={proof.ok ? "online" : "offline"} />
              {proof.ok ? "Held" : "Failed"}
            </span>
            <span class="note">cell {proof.cell}, {proof.cause ? `after ${proof.cause}` : "on schedule"}</span>
          </dt>
          <dd>
            {proof.cut_s === null ? "not cut" : `cut in ${proof.cut_s < 1 ? `${Math.round(proof.cut_s * 1000)} ms` : `${proof.cut_s.toFixed(1)} s`}`}
            <span class="note">{proof.refused} refused, {proof.admitted} let in, <Time at={proof.requested_at} /></span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

const DAY_MS = 86_400_000;

function Authorities({ data }: { data: System }) {
  const now = useNow();
  return (
    <dl class="rows">
      {data.authorities.map((authority) => {
        const days = Math.floor((Date.parse(authority.not_after) - now) / DAY_MS);
        return (
          <Row
            key={authority.sha256}
            name={`${authority.kind === "device" ? "Devices" : "Services"}, ${authority.state}`}
            note={days < 90 && authority.state === "current" ? `muster ca rotate ${authority.kind} puts another in its place` : `SHA-256 ${authority.sha256.slice(0, 16)}…`}
            value={days < 0 ? "expired" : `${count(days)} days left`}
            warn={days < 90}
          />
        );
      })}
    </dl>
  );
}
