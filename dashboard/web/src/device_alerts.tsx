// What is wrong with a device now; nothing where nothing is.
import { SeverityBadge, useAlerts } from "./alerts";
import type { Alert } from "./alerts_api";
import { get, type Page } from "./api";
import { useLoad } from "./hooks";
import { Card, Time } from "./parts";

const SHOWN = 20;

export function DeviceAlerts({ device }: { device: string }) {
  const alerts = useLoad(device, (signal) => get<Page<Alert>>("alerts", { device, state: "active", limit: SHOWN }, signal));
  useAlerts(alerts.reload, (one) => one.device === device, device);
  const items = alerts.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Card id="device-alerts" title="Alerts" aside={alerts.data?.next && <span class="muted">the newest {SHOWN}</span>}>
      <div class="table-wrap">
        <table data-testid="device-alerts">
          <thead>
            <tr><th scope="col">Severity</th><th scope="col">What</th><th scope="col">Since</th><th scope="col">With</th></tr>
          </thead>
          <tbody>
            {items.map((alert) => (
              <tr key={alert.id}>
                <td class="state"><SeverityBadge severity={alert.severity} /></td>
                <td>
                  <a href={`/alerts/${alert.id}`}>{alert.title}</a> <span class="muted">{alert.rule_name}</span>
                  {alert.silence !== null && <> <span class="tag">silenced</span></>}
                </td>
                <td class="at"><Time at={alert.since} /></td>
                <td class="by">{alert.assigned_to || alert.acknowledged_by || <span class="muted">nobody</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
