// How devices get in: those that wait, tokens, serial numbers that are let in without asking, scripts.
import { Preapprovals } from "./enrolment_list";
import { Scripts } from "./enrolment_script";
import { Tokens } from "./enrolment_tokens";
import { Waiting } from "./enrolment_waiting";
import { Empty, Segments } from "./parts";
import { useQuery } from "./router";
import type { ViewProps } from "./views";

const parts = [
  { value: "", text: "Waiting" },
  { value: "tokens", text: "Tokens" },
  { value: "list", text: "Pre-approved" },
  { value: "script", text: "Scripts" },
] as const;
type Part = (typeof parts)[number]["value"];

export default function EnrolmentView({ who }: ViewProps) {
  const [part, setPart] = useQuery("show");
  const mayDecide = who.role === "administrator";
  return (
    <>
      <div class="heading">
        <h1>Enrolment</h1>
        <p class="muted">A device makes its own key; what it gets here is a certificate for it.</p>
      </div>
      <div class="toolbar">
        <Segments label="Show" value={part as Part} options={parts} onChange={setPart} />
      </div>
      {part === "" ? (
        <Waiting mayDecide={mayDecide} />
      ) : !mayDecide ? (
        <div class="card">
          <Empty title="For administrators">Whoever makes tokens decides who gets in: ask an administrator.</Empty>
        </div>
      ) : part === "tokens" ? (
        <Tokens />
      ) : part === "list" ? (
        <Preapprovals />
      ) : (
        <Scripts />
      )}
    </>
  );
}
