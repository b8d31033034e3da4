// Who changed what on this device.
import { type AuditRow, get, type Page } from "./api";
import { useLoad } from "./hooks";
import { Card, Empty, Fault, Pairs, Time } from "./parts";

export function AuditCard({ id, changed }: { id: string; changed: number }) {
  const audit = useLoad(`${id} ${changed}`, (signal) => get<Page<AuditRow>>("audit", { device: id, limit: 10 }, signal));
  const items = audit.data?.items;
  return (
    <Card id="audit-title" title="Audit" aside={<a href={`/audit?device=${encodeURIComponent(id)}`}>All of it</a>}>
      {audit.error && audit.error.status !== 503 && <Fault error={audit.error} retry={audit.reload} />}
      {items?.length === 0 && <Empty title="Nothing was changed yet">Commands, names, tags and decisions about it appear here.</Empty>}
      {items && items.length > 0 && (
        <ul class="things acts" data-testid="device-audit">
          {items.map((row) => (
            <li key={row.id}>
              <span class="name">
                <Time at={row.at} /> <strong>{row.actor}</strong> <span class="tag">{row.action}</span>
              </span>
              {Object.keys(row.detail).length > 0 && <Pairs value={row.detail} />}
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
