// What can be done with the devices that are selected. The dialogs are loaded when they are first needed.
import type { ComponentType } from "preact";
import { useState } from "preact/hooks";
import { ApiError, type Session } from "../api";
import type { ComposeProps } from "../compose";
import { count } from "../format";
import { Fault, Icon } from "../parts";
import type { BulkProps, Verb } from "./bulk";
import { type Question, type Rows } from "./rows";
import { queryOf, type Selection, sizeOf, targetOf } from "./selection";
import { navigate } from "../router";

interface BarProps {
  who: Session;
  rows: Rows;
  question: Question;
  selection: Selection;
  selectAll: () => void;
  clear: () => void;
  changed: () => void;
}

type Open = { verb: Verb; Shown: ComponentType<BulkProps> } | { verb: "command"; Shown: ComponentType<ComposeProps> } | null;

const lost = () => new ApiError(0, "A part of the page could not be loaded. Is the server there? Try again, or reload the page.");

export function BulkBar(props: BarProps) {
  const { who, rows, question, selection, selectAll, clear } = props;
  const [open, setOpen] = useState<Open>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const size = sizeOf(selection, rows);
  const start = (load: Promise<Open>) => {
    setFault(null);
    load.then(setOpen, () => setFault(lost()));
  };
  const bulk = (verb: Verb) => start(import("./bulk").then(({ BulkDialog }) => ({ verb, Shown: BulkDialog })));
  const command = () => start(import("../compose").then(({ Compose }) => ({ verb: "command" as const, Shown: Compose })));
  const more = selection.kind === "ids" && size < rows.length;
  return (
    <div class="bulk-bar" role="toolbar" aria-label="With the selected devices" data-testid="bulk-bar">
      <p>
        <strong>{count(size)}</strong> {size === 1 ? "device" : "devices"} selected
        {more && <button type="button" class="plain" onClick={selectAll}>Select all {count(rows.length)} matching</button>}
        <button type="button" class="plain" onClick={clear}>Clear</button>
      </p>
      {fault && <Fault error={fault} />}
      <div class="buttons">
        <button type="button" class="primary" onClick={command}><Icon name="send" /> Command…</button>
        <button type="button" onClick={() => bulk("tag")}>Tags…</button>
        <button type="button" onClick={() => bulk("add-to-group")}>Add to group…</button>
        <button type="button" onClick={() => bulk("remove-from-group")}>Take out of group…</button>
        <button type="button" class="danger" onClick={() => bulk("revoke")}>Revoke…</button>
        {who.role === "administrator" && <button type="button" onClick={() => bulk("restore")}>Restore…</button>}
      </div>
      {open && open.verb !== "command" && (
        <open.Shown
          verb={open.verb}
          target={targetOf(selection, question)}
          close={(did) => {
            setOpen(null);
            if (did) props.changed();
          }}
        />
      )}
      {open?.verb === "command" && (
        <open.Shown
          targets={selection.kind === "ids" ? { devices: [...selection.ids] } : { query: queryOf(question) }}
          onDone={(made) => {
            setOpen(null);
            if (!made) return;
            clear();
            navigate("campaign" in made ? `/campaigns/${made.campaign.id}` : `/commands/${made.command.id}`);
          }}
        />
      )}
    </div>
  );
}
