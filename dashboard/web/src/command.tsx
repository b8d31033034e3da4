// The life of one command: each move with its cause, what it printed, what was signed and what the device answered.
import { useEffect } from "preact/hooks";
import { isCancellable, useActions } from "./actions";
import { type Command, type CommandDetail, type CommandResult, get, type Json } from "./api";
import { ComposeButton, Fact } from "./commands";
import { absolute, duration, took } from "./format";
import { useLoad, useThrottled } from "./hooks";
import { subscribe } from "./live";
import { Output, Underway } from "./output";
import { NotYet, Card, CommandBadge, Fault, Icon, isOpen, Pairs, Short, Time } from "./parts";
import { asCli, asCurl, asMqtt, type Body } from "./request";
import { FromShell, type Lines } from "./shell";
import type { ViewProps } from "./views";

export default function CommandView({ who: { can_act: canAct }, args: [id] }: ViewProps) {
  const detail = useLoad(id!, (signal) => get<CommandDetail>(`commands/${id}`, {}, signal));
  const refresh = useThrottled(detail.reload, 500);
  const device = detail.data?.device;
  useEffect(
    () =>
      subscribe({
        refresh,
        commands: (changed) => changed.some((one) => one.id === id) && refresh(),
      }, device ? [device] : []),
    [id, device],
  );
  const actions = useActions(canAct);
  const command = detail.data;
  if (!command) return <NotYet {...detail} absent="There is no such command" all={["/commands", "all commands"]} />;
  return (
    <>
      <a class="back" href="/commands"><Icon name="back" /> Commands</a>
      <div class="heading">
        <h1>{command.action}</h1>
        <CommandBadge state={command.state} />
        <p class="muted">
          on <a href={`/devices/${encodeURIComponent(command.device)}`}>{command.device}</a>, requested <Time at={command.created_at} /> by{" "}
          {command.requested_by}
          {command.campaign !== null && <>, <a href={`/campaigns/${command.campaign}`}>campaign {command.campaign}</a></>}
        </p>
        <div class="end">
          {isOpen(command.state) && <Underway command={command} mayCancel={canAct && isCancellable(command, actions)} />}
          {canAct && !command.cancels && (
            <ComposeButton text="Repeat…" targets={{ devices: [command.device] }} repeat={command} />
          )}
        </div>
      </div>
      {detail.error && detail.error.status !== 503 && <Fault error={detail.error} retry={detail.reload} />}
      {command.reason && <p class={`why ${command.state === "succeeded" ? "online" : "offline"}`}><Icon name="alert" />{command.reason}</p>}
      <div class="columns">
        <Card id="life" title="Life"><Timeline command={command} /></Card>
        <Card id="facts" title="Request"><Facts command={command} /></Card>
      </div>
      {command.sent_at && <Output command={command} />}
      <Card id="results" title="What the device answered"><Results results={command.results} /></Card>
      {command.jws && <Card id="signed" title="What was signed"><Signed jws={command.jws} /></Card>}
      {!command.cancels && <Card id="shell" title="The same from a shell"><div class="inside"><FromShell lines={linesOf(command)} /></div></Card>}
    </>
  );
}

// ---- its life ----

function Timeline({ command }: { command: CommandDetail }) {
  const asked = { state: "requested", at: command.created_at, cause: `${command.requested_by} (${command.source})` };
  const moves = [asked, ...command.events.filter(({ state }) => state !== "requested")];
  return (
    <ol class="timeline" data-testid="timeline">
      {moves.map((move, i) => {
        const next = moves[i + 1];
        const last = !next && !isOpen(command.state);
        return (
          <li key={`${move.at} ${move.state}`} class={last ? command.state : ""}>
            <div>
              <b>{move.state}</b> <span class="muted">by {move.cause}</span>
            </div>
            <div class="muted" title={absolute(move.at)}>
              {i === 0 ? absolute(move.at) : `+${took(command.created_at, move.at)}`}
              {next ? `, for ${took(move.at, next.at)}` : ""}
            </div>
          </li>
        );
      })}
      {command.wakes.map((wake) => (
        <li key={wake.started_at} class="aside-note">
          <div><b>pushed</b> <span class="muted">to wake the device: {wake.fcm_status || "under way"}</span></div>
          <div class="muted">+{took(command.created_at, wake.started_at)}{wake.latency_ms !== null && `, took ${wake.latency_ms} ms`}</div>
        </li>
      ))}
    </ol>
  );
}

function Facts({ command }: { command: CommandDetail }) {
  return (
    <dl class="facts">
      <Fact name="Command"><Short text={command.id} what="id" whole /></Fact>
      <Fact name="Parameters"><Pairs value={Object.keys(command.params).length > 0 ? command.params : null} /></Fact>
      <Fact name="Came by">{command.source}</Fact>
      <Fact name="Counter">{command.n ?? "not numbered yet"}</Fact>
      <Fact name="Published">{command.attempts === 1 ? "once" : `${command.attempts} times`}</Fact>
      {command.not_before && <Fact name="Not before">{absolute(command.not_before)}</Fact>}
      {command.in_window && <Fact name="When">in its maintenance window</Fact>}
      {command.held && command.next_at && <Fact name="Held until">{absolute(command.next_at)}</Fact>}
      <Fact name="Valid until">{absolute(command.expires_at)}</Fact>
      <Fact name="Took">{command.finished_at ? took(command.created_at, command.finished_at) : "–"}</Fact>
      <Fact name="Request id">{command.request_id || "–"}</Fact>
    </dl>
  );
}

// ---- what came back ----

const verdicts: Record<CommandResult["verdict"], [tone: string, icon: string, text: string]> = {
  verified: ["online", "online", "signed by the device's key"],
  unsigned: ["never", "waiting", "not signed"],
  unchecked: ["busy", "running", "signature not checked yet"],
  refused: ["offline", "offline", "signature refused"],
};

function Results({ results }: { results: CommandResult[] }) {
  if (results.length === 0) return <p class="muted inside">Nothing so far.</p>;
  return (
    <ul class="results" data-testid="results">
      {results.map((result) => {
        const [tone, icon, text] = verdicts[result.verdict];
        const { output, reason } = result.body;
        return (
          <li key={result.received_at + result.state}>
            <div class="who-is">
              <b>{result.state}</b>
              <span class={`status ${tone}`}><Icon name={icon} />{text}</span>
              <span class="muted">{absolute(result.received_at)}</span>
            </div>
            {typeof reason === "string" && <p>{reason}</p>}
            {output !== undefined && <Pairs value={output} />}
            {result.signed && (
              <details>
                <summary>Signed text{result.certificate && `, certificate ${result.certificate.slice(0, 12)}…`}</summary>
                <pre class="code" tabIndex={0}>{result.signed}</pre>
                {result.sig && <p><Short text={result.sig} what="signature" /></p>}
              </details>
            )}
          </li>
        );
      })}
    </ul>
  );
}

// ---- what was signed ----

function decode(part: string): string {
  const binary = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0)));
}

// Readable, where it can be read; times as such.
function readable(part: string): string {
  try {
    return JSON.stringify(JSON.parse(decode(part)), null, 2);
  } catch {
    return part;
  }
}

function validFor(payload: string): string {
  try {
    const { iat, exp } = JSON.parse(decode(payload)) as { iat: number; exp: number };
    return `Signed ${absolute(new Date(iat * 1000).toISOString())}, valid for ${duration(exp - iat)}.`;
  } catch {
    return "";
  }
}

function Signed({ jws }: { jws: string }) {
  const [header = "", payload = "", signature = ""] = jws.split(".");
  return (
    <div class="signed inside" data-testid="jws">
      <p class="hint">{validFor(payload)} Ed25519; <code>muster command verify</code> checks an exported history offline.</p>
      <div class="columns">
        <div><h3>Header</h3><pre class="code" tabIndex={0}>{readable(header)}</pre></div>
        <div><h3>Claims</h3><pre class="code" tabIndex={0}>{readable(payload)}</pre></div>
      </div>
      <dl class="facts">
        <Fact name="Signature"><Short text={signature} what="signature" /></Fact>
        <Fact name="As published"><Short text={jws} what="signed command" /></Fact>
      </dl>
    </div>
  );
}

// ---- once more ----

function bodyFrom({ device, action, params, confirmed }: Command & { confirmed?: boolean }): Body {
  const body: Body = { device, action };
  if (Object.keys(params).length > 0) body.params = params as { [name: string]: Json };
  if (confirmed) body.confirm = true;
  return body;
}

function linesOf(command: Command): Lines {
  const body = bodyFrom(command);
  return { cli: asCli(body), curl: asCurl("commands", body, location.origin), mqtt: asMqtt(body, location.hostname) };
}
