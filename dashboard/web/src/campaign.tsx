// One campaign: how far it has come, why it does not go on, and what a person can do about it.
import { useEffect, useState } from "preact/hooks";
import { useActions } from "./actions";
import { ApiError, type Campaign, type CampaignTarget, get, type Page, post, type Session } from "./api";
import { CampaignBadge, isGoing, Progress, whomText } from "./campaign-parts";
import { Chunks } from "./chunks";
import { Fact } from "./commands";
import { absolute, count, duration } from "./format";
import { useLoad, useThrottled } from "./hooks";
import { subscribe } from "./live";
import { PaceChart } from "./pace";
import { usePages } from "./pages";
import { NotYet, Card, CommandBadge, Dialog, Empty, Fault, Icon, Pairs, Segments, Time } from "./parts";
import { asCampaignCli, asCurl, type Body } from "./request";
import { useQuery } from "./router";
import { FromShell } from "./shell";
import type { ViewProps } from "./views";

const PAGE = 100;
const DAY_S = 86400;

export default function CampaignView({ who, args: [id] }: ViewProps) {
  const loaded = useLoad(id!, (signal) => get<Campaign>(`campaigns/${id}`, {}, signal));
  const refresh = useThrottled(loaded.reload, 1000);
  const campaign = loaded.data;
  useEffect(
    () =>
      subscribe({
        refresh,
        campaigns: (changed) => {
          const news = changed.filter((one) => String(one.id) === id).at(-1);
          if (news) loaded.change(() => news);
        },
      }),
    [id],
  );
  if (!campaign) return <NotYet {...loaded} absent={`There is no campaign ${id}`} all={["/campaigns", "all campaigns"]} />;
  return (
    <>
      <a class="back" href="/campaigns"><Icon name="back" /> Campaigns</a>
      <div class="heading">
        <h1>{campaign.name}</h1>
        <CampaignBadge state={campaign.state} />
        <p class="muted">
          <code>{campaign.action}</code> for {whomText(campaign)}, made <Time at={campaign.created_at} /> by {campaign.created_by}
        </p>
        {who.can_act && <Moves campaign={campaign} who={who} moved={(next) => loaded.change(() => next)} />}
      </div>
      {loaded.error && loaded.error.status !== 503 && <Fault error={loaded.error} retry={loaded.reload} />}
      <Why campaign={campaign} />
      <Card id="progress" title="Progress" aside={<span class="muted">{stageText(campaign)}</span>}>
        <div class="inside"><Progress campaign={campaign} legend /></div>
      </Card>
      <div class="columns">
        <Card id="pace" title="Pace"><PaceChart campaign={campaign} /></Card>
        <Card id="plan" title="Plan"><Facts campaign={campaign} /></Card>
      </div>
      <Targets campaign={campaign} />
      {campaign.query !== null && <Card id="shell" title="The same from a shell"><Again campaign={campaign} /></Card>}
    </>
  );
}

function stageText({ state, stage, rollout, at, progress }: Campaign): string {
  if (state === "running" && at && Date.parse(at) > Date.now()) return `begins ${absolute(at)}`;
  if (!progress.swept && state === "running") return "finding its devices";
  if (!isGoing(state)) return "";
  return stage === "canary" && rollout.canary > 0 ? `stage: ${count(rollout.canary)} canaries` : "stage: rollout";
}

// Why it stands still, and what then.
function Why({ campaign: { state, reason, created_by: maker } }: { campaign: Campaign }) {
  if (state !== "paused" && state !== "pending" && !(state === "aborted" && reason)) return null;
  const advice = {
    paused: "Look at the devices below, then resume or abort it. Errors so far are not held against it again.",
    pending: `A person other than ${maker} must approve it.`,
    aborted: "",
  }[state];
  return (
    <div class={`why ${state === "aborted" ? "" : "stale"}`} data-testid="why">
      <Icon name="alert" />
      <p>
        <b>{state === "paused" ? "Paused" : state === "pending" ? "Waits for approval" : "Aborted"}</b>
        {reason && <> {reason.startsWith("by ") ? reason : `because ${reason}`}</>}. {advice}
      </p>
    </div>
  );
}

// ---- what a person can do ----

function Moves({ campaign, who, moved }: { campaign: Campaign; who: Session; moved: (next: Campaign) => void }) {
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const { state } = campaign;
  const move = async (verb: string) => {
    setBusy(true);
    setError(null);
    try {
      moved(await post<Campaign>(`campaigns/${campaign.id}/${verb}`, {}));
    } catch (thrown) {
      setError(thrown as ApiError);
    }
    setBusy(false);
  };
  const button = (verb: string, text: string, primary = false) => (
    <button type="button" class={primary ? "primary" : ""} disabled={busy} onClick={() => void move(verb)}>{text}</button>
  );
  const mayApprove = isGoing(state) && state !== "aborting" && !campaign.approved_by && campaign.created_by !== who.name;
  return (
    <div class="end" data-testid="moves">
      {error && <span class="bad" role="alert">{error.message}</span>}
      {state === "draft" && button("start", "Start", true)}
      {mayApprove && button("approve", "Approve", state === "pending")}
      {(state === "running" || state === "pending") && button("pause", "Pause")}
      {state === "paused" && button("resume", "Resume", true)}
      {(state === "draft" || state === "pending" || state === "running" || state === "paused") && (
        <AbortDialog campaign={campaign} busy={busy} abort={() => void move("abort")} />
      )}
    </div>
  );
}

function AbortDialog({ campaign, busy, abort }: { campaign: Campaign; busy: boolean; abort: () => void }) {
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState(false);
  const confirm = () => {
    if (typed.trim() !== "abort") setWrong(true);
    else {
      setWrong(false);
      abort();
    }
    setTyped("");
  };
  return (
    <>
      <Dialog button="Abort…" title={`Abort ${campaign.name}`} confirm="Abort it" danger disabled={busy} onConfirm={confirm}>
        <p>
          {count(campaign.progress.waiting)} devices that wait get nothing, and what was not sent is cancelled. What was sent goes on. It
          cannot be started again.
        </p>
        <div class="field">
          <label for="abort-word">Type abort to confirm</label>
          <input id="abort-word" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} autocomplete="off"
            autocapitalize="none" spellcheck={false} />
        </div>
      </Dialog>
      {wrong && <span class="bad" role="alert">Not aborted: the word was another one.</span>}
    </>
  );
}

function Facts({ campaign }: { campaign: Campaign }) {
  const { rollout } = campaign;
  return (
    <dl class="facts">
      <Fact name="For">{campaign.query ? <a href={`/devices?query=${encodeURIComponent(campaign.query)}`}><code>{campaign.query}</code></a> : whomText(campaign)}</Fact>
      <Fact name="Parameters"><Pairs value={Object.keys(campaign.params).length > 0 ? campaign.params : null} /></Fact>
      <Fact name="Canaries">{rollout.canary > 0 ? `${count(rollout.canary)}, of which ${rollout.success_pct} % must succeed` : "none"}</Fact>
      <Fact name="Pace">
        {rollout.rate_per_min > 0 ? `${count(rollout.rate_per_min)} a minute${rollout.factor > 1 ? `, ×${rollout.factor} each minute` : ""}` : "all at once"}
      </Fact>
      <Fact name="Pauses above">{rollout.error_pct} % errors</Fact>
      <Fact name="Time limit of each">{duration(campaign.ttl_s)}</Fact>
      {campaign.at && <Fact name="Not before">{absolute(campaign.at)}</Fact>}
      {campaign.in_window && <Fact name="When">in each device's maintenance window</Fact>}
      <Fact name="Continuous">{campaign.continuous ? "yes, until it is aborted" : "no"}</Fact>
      <Fact name="Approved">{campaign.approved_by && campaign.approved_at ? `by ${campaign.approved_by}, ${absolute(campaign.approved_at)}` : "by nobody"}</Fact>
      <Fact name="Started">{campaign.started_at ? absolute(campaign.started_at) : "–"}</Fact>
      <Fact name="Ended">{campaign.finished_at ? absolute(campaign.finished_at) : "–"}</Fact>
    </dl>
  );
}

// ---- once more ----

// What is the server's default is left out; so is a time that has passed.
function bodyFrom({ name, action, params, query, rollout, continuous, at, in_window: inWindow, ttl_s: ttl }: Campaign): Body {
  const body: Body = { name, action, target: query ? { query } : { all: true } };
  const usual: { [member: string]: number } = { canary: 0, success_pct: 100, error_pct: 10, rate_per_min: 0, factor: 1 };
  const chosen = Object.entries(rollout).filter(([member, value]) => value !== usual[member]);
  if (Object.keys(params).length > 0) body.params = params;
  if (chosen.length > 0) body.rollout = Object.fromEntries(chosen);
  if (continuous) body.continuous = true;
  if (at && Date.parse(at) > Date.now()) body.at = at;
  if (inWindow) body.in_window = true;
  if (ttl !== (inWindow ? 8 : 1) * DAY_S) body.ttl_s = ttl;
  return body;
}

function Again({ campaign }: { campaign: Campaign }) {
  const destructive = useActions(true).some((one) => one.action === campaign.action && one.destructive);
  const body = destructive ? { ...bodyFrom(campaign), confirm: true } : bodyFrom(campaign);
  const lines = { cli: asCampaignCli(body, null), curl: asCurl("campaigns", { ...body, start: true }, location.origin) };
  return (
    <div class="inside">
      <FromShell lines={lines} />
      {destructive && <p class="hint">N is for how many devices it is then: <code>muster campaign preview</code> says it.</p>}
    </div>
  );
}

// ---- its devices ----

const targetStates = [
  { value: "", text: "All" },
  { value: "waiting", text: "Waiting" },
  { value: "sent", text: "Sent" },
  { value: "succeeded", text: "Succeeded" },
  { value: "failed", text: "Failed" },
  { value: "rejected", text: "Rejected" },
  { value: "expired", text: "Expired" },
  { value: "cancelled", text: "Cancelled" },
];

function Targets({ campaign }: { campaign: Campaign }) {
  const [state, setState] = useQuery("state");
  const { progress } = campaign;
  const list = usePages<CampaignTarget>(`${campaign.id} ${state}`, (after, signal) =>
    get<Page<CampaignTarget>>(`campaigns/${campaign.id}/targets`, { state, after, limit: PAGE }, signal),
  );
  const refresh = useThrottled(list.reload, 4000);
  const mark = JSON.stringify([progress, campaign.state]);
  useEffect(() => {
    if (list.items) refresh();
  }, [mark]);
  const { swept: _, ...numbers } = progress;
  const counts: { [state: string]: number } = { ...numbers, sent: progress.open };
  return (
    <Card id="targets" title="Devices" aside={
      <Segments label="State" value={state} onChange={setState}
        options={targetStates.map((one) => ({ ...one, count: one.value ? counts[one.value] : progress.total }))} />
    }>
      {list.error && <Fault error={list.error} retry={list.reload} />}
      {list.items?.length === 0 && <Empty title={state ? "No device is in this state" : "No device yet"}>
        {!state && (campaign.state === "draft" ? "They are found when it starts." : "None matches; those that match later come in where it is continuous.")}
      </Empty>}
      {list.items && list.items.length > 0 && (
        <div class="table-wrap">
          <table class="targets" data-testid="targets">
            <thead>
              <tr>
                <th scope="col">State</th>
                <th scope="col">Device</th>
                <th scope="col">Changed</th>
                <th scope="col">Reason</th>
                <th scope="col">Command</th>
              </tr>
            </thead>
            <Chunks items={list.items} columns={5} row={(target) => (
                <tr key={target.device} data-target={target.device}>
                  <td class="state">
                    {target.state === "waiting" ? <span class="status never"><Icon name="waiting" />Waiting</span> : <CommandBadge state={target.state} />}
                  </td>
                  <th scope="row"><a href={`/devices/${encodeURIComponent(target.device)}`}>{target.device}</a></th>
                  <td class="at"><Time at={target.changed_at ?? target.added_at} /></td>
                  <td class="reason">{target.reason}</td>
                  <td>{target.command && <a href={`/commands/${target.command}`}>Open</a>}</td>
                </tr>
            )} />
          </table>
        </div>
      )}
      {list.next && (
        <p class="foot inside">
          <span>{count(list.items?.length ?? 0)} shown</span>
          <button type="button" onClick={list.more} disabled={list.loading}>Show {PAGE} more</button>
        </p>
      )}
    </Card>
  );
}
