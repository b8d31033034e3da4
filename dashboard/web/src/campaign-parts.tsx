// What the list of campaigns and the page of one share: states, and progress by state.
import type { Campaign, CampaignState } from "./api";
import { count } from "./format";
import { Icon } from "./parts";

const looks: Record<CampaignState, [tone: string, icon: string, word: string]> = {
  draft: ["never", "waiting", "Draft"],
  pending: ["stale", "stale", "Waits for approval"],
  running: ["busy", "running", "Running"],
  paused: ["stale", "stale", "Paused"],
  aborting: ["offline", "cancelled", "Aborting"],
  aborted: ["never", "cancelled", "Aborted"],
  finished: ["online", "online", "Finished"],
};

export function CampaignBadge({ state }: { state: CampaignState }) {
  const [tone, icon, word] = looks[state];
  return (
    <span class={`status ${tone}`} data-testid="campaign-state">
      <Icon name={icon} />
      {word}
    </span>
  );
}

export const isGoing = (state: CampaignState): boolean =>
  state === "running" || state === "pending" || state === "aborting" || state === "paused";

const parts = [
  ["succeeded", "Succeeded"],
  ["failed", "Failed"],
  ["rejected", "Rejected"],
  ["expired", "Expired"],
  ["cancelled", "Cancelled"],
  ["open", "On their way"],
  ["waiting", "Waiting"],
] as const;

export function Progress({ campaign, legend }: { campaign: Campaign; legend?: boolean }) {
  const { progress } = campaign;
  const done = progress.total - progress.waiting - progress.open;
  const share = progress.total > 0 ? Math.floor((100 * done) / progress.total) : 0;
  return (
    <div class="progress">
      <div class="by-state" role="img" aria-label={`${share} % of ${progress.total} devices are done`}>
        {parts.map(([name]) => progress[name] > 0 && <span key={name} class={name} style={{ flexGrow: progress[name] }} />)}
      </div>
      {legend ? (
        <ul class="legend" data-testid="progress">
          {parts.map(([name, word]) => (
            <li key={name} class={progress[name] === 0 ? "muted" : ""}>
              <span class={`state-key ${name}`} aria-hidden="true" />
              {word} <b data-count={name}>{count(progress[name])}</b>
            </li>
          ))}
        </ul>
      ) : (
        <span class="muted">
          {count(done)} of {count(progress.total)}
          {progress.failed + progress.rejected > 0 && <span class="bad">, {count(progress.failed + progress.rejected)} failed</span>}
        </span>
      )}
    </div>
  );
}

export function whomText({ query, listed }: Campaign): string {
  if (listed !== null) return `${count(listed)} listed ${listed === 1 ? "device" : "devices"}`;
  return query ? query : "everything";
}
