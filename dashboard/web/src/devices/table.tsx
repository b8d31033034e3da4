// The table: as many rows as fit the screen are there, over the height of them all.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { statusOf } from "../format";
import { useNow } from "../hooks";
import { Icon } from "../parts";
import { type Column, columnsOf } from "./columns";
import type { Row, Rows } from "./rows";
import type { Selection } from "./selection";

const ROW_PX = 39; // as in devices.css
const CARD_PX = 140;
const AROUND = 12; // rows kept ready above and below
const narrow = matchMedia("(max-width: 760px)");

export interface TableProps {
  rows: Rows;
  keys: string[];
  sort: string;
  setSort: (sort: string) => void;
  selection: Selection | null; // null: nothing can be selected
  toggle: (index: number, row: Row, range: boolean) => void;
  toggleAll: () => void;
  inView: (from: number, to: number) => void;
}

function useNarrow(): boolean {
  const [is, setIs] = useState(narrow.matches);
  useEffect(() => {
    const update = () => setIs(narrow.matches);
    narrow.addEventListener("change", update);
    return () => narrow.removeEventListener("change", update);
  }, []);
  return is;
}

// Which rows are to be there, for where the box is scrolled to.
function useWindow(length: number, rowPx: number, list: Rows) {
  const box = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState<[number, number]>([0, 40]);
  const measure = () => {
    if (!box.current) return;
    const { scrollTop, clientHeight } = box.current;
    const from = Math.max(0, Math.floor(scrollTop / rowPx) - AROUND);
    const to = Math.min(length, Math.ceil((scrollTop + clientHeight) / rowPx) + AROUND);
    setRange((old) => (old[0] === from && old[1] === to ? old : [from, to]));
  };
  useLayoutEffect(measure, [length, rowPx]);
  useEffect(() => {
    addEventListener("resize", measure);
    return () => removeEventListener("resize", measure);
  });
  // Another list begins at its beginning.
  useLayoutEffect(() => {
    if (box.current) box.current.scrollTop = 0;
    measure();
  }, [list]);
  return { box, from: Math.min(range[0], length), to: Math.min(range[1], length), measure };
}

export function DeviceTable(props: TableProps) {
  const { rows, keys, selection } = props;
  const rowPx = useNarrow() ? CARD_PX : ROW_PX;
  const { box, from, to, measure } = useWindow(rows.length, rowPx, rows);
  const now = useNow();
  const shown = columnsOf(keys);
  useEffect(() => props.inView(from, to), [from, to, rows, rows.known]);
  const lines = [];
  for (let index = from; index < to; index++) {
    const row = rows.at(index);
    lines.push(row ? <Line key={row.device} {...props} row={row} index={index} columns={shown} now={now} /> : (
      <tr key={index} class="waiting" aria-rowindex={index + 2}>
        <td colSpan={shown.length + (selection ? 1 : 0)}><span class="skeleton-line" /></td>
      </tr>
    ));
  }
  return (
    <div class="card scroller" ref={box} onScroll={measure} tabIndex={0} role="region" aria-label="Devices" data-testid="scroller">
      <table class="devices" data-testid="devices" aria-rowcount={rows.length + 1}>
        <colgroup>
          {selection && <col class="c-select" />}
          {keys.map((key) => <col key={key} class={`c-${key}`} />)}
        </colgroup>
        <Head {...props} shown={shown} />
        <tbody>
          <Space px={from * rowPx} />
          {lines}
          <Space px={(rows.length - to) * rowPx} />
        </tbody>
      </table>
    </div>
  );
}

const Space = ({ px }: { px: number }) =>
  px > 0 ? <tr class="space" aria-hidden="true" style={{ height: `${px}px` }} /> : null;

function Head({ shown, sort, setSort, selection, toggleAll }: TableProps & { shown: Column[] }) {
  const rising = !sort.startsWith("-");
  const by = sort.replace("-", "");
  return (
    <thead>
      <tr aria-rowindex={1}>
        {selection && (
          <th scope="col" class="c-select">
            <input
              type="checkbox"
              aria-label="Select all that are loaded in view"
              checked={selection.kind !== "none"}
              indeterminate={selection.kind === "ids"}
              onChange={toggleAll}
            />
          </th>
        )}
        {shown.map((column) => {
          const here = column.sort === by;
          const next = here ? (rising ? `-${by}` : by) : (column.firstSort ?? column.sort);
          return (
            <th key={column.key} scope="col" class={`c-${column.key}`} {...(here ? { "aria-sort": rising ? "ascending" as const : "descending" as const } : {})}>
              {next ? (
                <button type="button" onClick={() => setSort(next)}>
                  {column.name}
                  {here && <Icon name={rising ? "up" : "down"} />}
                </button>
              ) : column.name}
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

function Line({ row, index, columns, now, selection, toggle }: TableProps & { row: Row; index: number; columns: Column[]; now: number }) {
  const status = statusOf(row, now);
  const selected = selection !== null && (selection.kind === "all" || (selection.kind === "ids" && selection.ids.has(row.device)));
  const classes = [status === "offline" || status === "never" ? "dim" : "", selected ? "selected" : ""];
  return (
    <tr data-device={row.device} class={classes.join(" ").trim()} aria-rowindex={index + 2}>
      {selection && (
        <td class="c-select">
          <label>
            <input
              type="checkbox"
              checked={selected}
              aria-label={`Select ${row.device}`}
              onClick={(event) => toggle(index, row, event.shiftKey)}
            />
          </label>
        </td>
      )}
      {columns.map(({ key, name, cell }) =>
        key === "device" ? (
          <th key={key} scope="row" class="device c-device">{cell(row, status)}</th>
        ) : (
          <td key={key} class={`c-${key}`} data-label={name}>{cell(row, status)}</td>
        ),
      )}
    </tr>
  );
}
