// Its account: what it numbered, what came, and what is missing.
import type { LedgerRow } from "./api";
import { Fact } from "./commands";
import { count } from "./format";
import { Card, Empty, Time } from "./parts";

export function LedgerCard({ ledger }: { ledger: LedgerRow[] }) {
  const sum = (pick: (row: LedgerRow) => number) => ledger.reduce((total, row) => total + pick(row), 0);
  const lost = sum((row) => row.lost);
  const dropped = sum((row) => row.dropped);
  const missing = sum((row) => row.missing);
  return (
    <Card id="ledger-title" title="Ledger" aside={ledger[0] && <span class="muted">updated <Time at={ledger[0].last_at} /></span>}>
      {ledger.length === 0 ? (
        <Empty title="Nothing numbered yet">A device with an outbox numbers its messages; its account appears here.</Empty>
      ) : (
        <div class="ledger">
          <p class={`big ${lost ? "bad" : "good"}`} data-testid="lost">{count(lost)} lost</p>
          <p>
            {count(sum((row) => row.stored))} messages stored exactly once
            {missing > 0 && `; ${count(missing)} missing so far`}
            {dropped > 0 && `; the device's outbox was full and it dropped ${count(dropped)}`}
            {lost > dropped && `; ${count(lost - dropped)} have been missing for too long`}.
          </p>
          <dl class="facts">
            <Fact name="Repeats refused">{count(sum((row) => row.duplicates))}</Fact>
            <Fact name="Came late">{count(sum((row) => row.late))}</Fact>
            <Fact name="Outboxes so far">{count(ledger.length)}</Fact>
            <Fact name="Numbers so far">{span(ledger[0]!.first_seq, ledger[0]!.highest)}</Fact>
          </dl>
          {ledger.map((row, index) => (
            <Gaps key={row.epoch} row={row} current={index === 0} />
          ))}
        </div>
      )}
    </Card>
  );
}

const span = (from: number, to: number): string => (from === to ? count(from) : `${count(from)} to ${count(to)}`);

const GAPS_SHOWN = 20;
const gapWords = { open: "Missing", closed: "Closed", dropped: "Dropped", lost: "Lost" };

function Gaps({ row, current }: { row: LedgerRow; current: boolean }) {
  const gaps = row.gaps.filter((gap) => gap.state !== "closed");
  if (gaps.length === 0) return null;
  return (
    <>
      <h3>{current ? "Gaps" : <>Gaps of an earlier outbox, last heard <Time at={row.last_at} /></>}</h3>
      <ul class="gaps" data-testid="gaps">
        {gaps.slice(0, GAPS_SHOWN).map((gap) => (
          <li key={`${gap.from} ${gap.opened_at}`}>
            <span class={`gap ${gap.state}`}>{gapWords[gap.state]}</span>
            <span class="numbers">{span(gap.from, gap.to)}</span>
            <span class="muted"><Time at={gap.opened_at} /></span>
          </li>
        ))}
        {gaps.length > GAPS_SHOWN && <li class="muted">and {count(gaps.length - GAPS_SHOWN)} more</li>}
      </ul>
    </>
  );
}
