import { useEffect, useState } from "preact/hooks";
import { type DeviceEvent, get, type Page } from "./api";
import { count } from "./format";
import { useLoad, useThrottled } from "./hooks";
import { subscribe } from "./live";
import { Empty, ExportLink, Fault, Filter, Pairs, Time } from "./parts";
import { useQuery } from "./router";

const PAGE = 50;

export default function EventsView() {
  const [device, setDevice] = useQuery("device");
  const [type, setType] = useQuery("type");
  const [shown, setShown] = useState(PAGE);
  const key = `${device} ${type}`;
  useEffect(() => setShown(PAGE), [key]);
  const events = useEvents(device, type, shown);
  const items = events.data?.items;
  return (
    <>
      <div class="heading">
        <h1>Events</h1>
        <p class="muted">What devices reported besides telemetry, newest first.</p>
      </div>
      <div class="toolbar">
        <Filter label="Only this device" placeholder="Device id" value={device} onChange={setDevice} />
        <label class="field">
          <span class="sr">Only this type</span>
          <input
            type="search"
            placeholder="Type, such as hello"
            list="event-types"
            defaultValue={type}
            onChange={(event) => setType(event.currentTarget.value.trim())}
          />
          <datalist id="event-types">
            {[...new Set(items?.map((item) => item.type))].map((name) => <option key={name} value={name} />)}
          </datalist>
        </label>
        <ExportLink kind="events" device={device} />
      </div>
      {events.error && events.error.status !== 503 && <Fault error={events.error} retry={events.reload} />}
      {!items ? (
        !events.error && <div class="card skeleton tall" role="status" aria-label="Loading" />
      ) : items.length === 0 ? (
        <div class="card">
          {device || type ? (
            <Empty title="No event matches">
              <button type="button" onClick={() => { setDevice(""); setType(""); }}>Show all events</button>
            </Empty>
          ) : (
            <Empty title="No events yet">
              A device reports its first, hello, as soon as it connects. Start an agent and it appears here.
            </Empty>
          )}
        </div>
      ) : (
        <>
          <EventTable items={items} withDevice />
          <p class="foot">
            <span>{count(items.length)} shown</span>
            {events.data?.next && shown < 500 && (
              <button type="button" onClick={() => setShown(shown + PAGE)} disabled={events.loading}>
                Show {PAGE} more
              </button>
            )}
          </p>
        </>
      )}
    </>
  );
}

// Those of one device are streamed. Of all they are not; but a device that reports one changes, and that is.
export function useEvents(device: string, type: string, limit: number) {
  const events = useLoad(`${device} ${type} ${limit}`, (signal) =>
    get<Page<DeviceEvent>>("events", { device, type, limit: Math.min(limit, 500) }, signal),
  );
  const soon = useThrottled(events.reload, 3000);
  useEffect(
    () =>
      device
        ? subscribe({ refresh: soon, events: soon }, [device])
        : subscribe({ refresh: soon, devices: soon }),
    [device],
  );
  return events;
}

export function EventTable({ items, withDevice }: { items: DeviceEvent[]; withDevice: boolean }) {
  return (
    <div class="card table-wrap">
      <table class="events" data-testid="events">
        <thead>
          <tr>
            <th scope="col">When</th>
            {withDevice && <th scope="col">Device</th>}
            <th scope="col">Type</th>
            <th scope="col">Details</th>
          </tr>
        </thead>
        <tbody>
          {items.map((event) => (
            <tr key={`${event.device} ${event.epoch} ${event.seq}`}>
              <td class="at"><Time at={event.measured_at} /></td>
              {withDevice && (
                <td class="device">
                  <a href={`/devices/${encodeURIComponent(event.device)}`}>{event.device}</a>
                </td>
              )}
              <td class="type"><span class="tag">{event.type}</span></td>
              <td class="details"><Pairs value={event.body} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
