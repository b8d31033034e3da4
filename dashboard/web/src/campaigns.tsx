// All campaigns: one command for many devices, little by little.
import { useEffect } from "preact/hooks";
import { type Campaign, get, type Page } from "./api";
import { CampaignBadge, Progress, whomText } from "./campaign-parts";
import { ComposeButton } from "./commands";
import { count } from "./format";
import { useThrottled } from "./hooks";
import { subscribe } from "./live";
import { usePages } from "./pages";
import { Empty, Fault, Segments, Time } from "./parts";
import { useQuery } from "./router";
import type { ViewProps } from "./views";

const PAGE = 50;
const states = [
  { value: "", text: "All" },
  { value: "running", text: "Running" },
  { value: "pending", text: "Wait for approval" },
  { value: "paused", text: "Paused" },
  { value: "finished", text: "Finished" },
  { value: "aborted", text: "Aborted" },
];

export default function CampaignsView({ who: { can_act: canAct } }: ViewProps) {
  const [state, setState] = useQuery("state");
  const list = usePages<Campaign>(state, (after, signal) => get<Page<Campaign>>("campaigns", { state, after, limit: PAGE }, signal));
  const refresh = useThrottled(list.reload, 2000);
  useEffect(() => subscribe({ refresh, campaigns: refresh }), []);
  return (
    <>
      <div class="heading">
        <h1>Campaigns</h1>
        <p class="muted">One command for many devices, little by little, and stopped when it goes wrong.</p>
        {canAct && <div class="end"><ComposeButton text="New campaign…" primary /></div>}
      </div>
      <div class="toolbar"><Segments label="State" value={state} options={states} onChange={setState} /></div>
      {list.error && list.error.status !== 503 && <Fault error={list.error} retry={list.reload} />}
      {!list.items ? (
        !list.error && <div class="card skeleton tall" role="status" aria-label="Loading" />
      ) : list.items.length === 0 ? (
        <div class="card">
          {state ? (
            <Empty title="No campaign is in this state">
              <button type="button" onClick={() => setState("")}>Show all campaigns</button>
            </Empty>
          ) : (
            <Empty title="No campaigns yet">
              {canAct ? "Make one with “New campaign”, or choose " : "They are made by operators, who choose "}
              <a href="/devices">devices</a> and send them a command.
            </Empty>
          )}
        </div>
      ) : (
        <>
          <CampaignTable items={list.items} />
          <p class="foot">
            <span>{count(list.items.length)} shown</span>
            {list.next && <button type="button" onClick={list.more} disabled={list.loading}>Show {PAGE} more</button>}
          </p>
        </>
      )}
    </>
  );
}

function CampaignTable({ items }: { items: Campaign[] }) {
  return (
    <div class="card table-wrap">
      <table class="campaigns" data-testid="campaigns">
        <thead>
          <tr>
            <th scope="col">State</th>
            <th scope="col">Name</th>
            <th scope="col">Action</th>
            <th scope="col">For</th>
            <th scope="col">Progress</th>
            <th scope="col">Made</th>
            <th scope="col">By</th>
          </tr>
        </thead>
        <tbody>
          {items.map((campaign) => (
            <tr key={campaign.id} data-campaign={campaign.id}>
              <td class="state"><CampaignBadge state={campaign.state} /></td>
              <th scope="row" class="name-cell"><a href={`/campaigns/${campaign.id}`}>{campaign.name}</a></th>
              <td class="action"><code>{campaign.action}</code></td>
              <td class="whom">{whomText(campaign)}</td>
              <td class="progress-cell"><Progress campaign={campaign} /></td>
              <td class="at"><Time at={campaign.created_at} /></td>
              <td class="by">{campaign.created_by}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
