// One device: all that is known of it, one section below the other, with an index that stays in sight.
import { useEffect, useState } from "preact/hooks";
import { type Command, type DeviceDetail, get, type Page } from "./api";
import { CommandTable, mergeCommands } from "./commands";
import { DeviceAlerts } from "./device_alerts";
import { AuditCard } from "./device_audit";
import { ChartsCard } from "./device_charts";
import { NotesCard } from "./device_edit";
import { HardwareCards } from "./device_hardware";
import { Head } from "./device_head";
import { Index, Section } from "./device_index";
import { LedgerCard } from "./device_ledger";
import { LiveCard } from "./device_live";
import { SoftwareCards } from "./device_software";
import { Values } from "./device_values";
import { EventTable, useEvents } from "./events";
import { type Loaded, useLoad, useThrottled } from "./hooks";
import { IdentityCard } from "./identity";
import { subscribe } from "./live";
import { NotYet, Card, Empty, Fault } from "./parts";
import type { ViewProps } from "./views";

export default function DeviceView({ who, args }: ViewProps) {
  const id = args[0]!;
  const { can_act: canAct } = who;
  const mayRestore = who.role === "administrator";
  const mayAudit = who.role === "administrator" || who.role === "auditor";
  const path = `devices/${encodeURIComponent(id)}`;
  const [revealed, setRevealed] = useState("");
  const [acts, setActs] = useState(0);
  const device = useLoad(id, (signal) => get<DeviceDetail>(path, {}, signal));
  const commands = useLoad(`commands ${id}`, (signal) => get<Page<Command>>("commands", { device: id, limit: 10 }, signal));
  const refresh = useThrottled(() => {
    device.reload();
    commands.reload();
  }, 2000);
  const details = useThrottled(device.reload, 10_000); // ledger, inventory and certificate move more slowly
  useEffect(
    () =>
      subscribe({
        refresh,
        devices: (changed) => {
          const news = changed.find((item) => item.device === id);
          if (!news) return;
          device.change((old) => ({ ...old, ...news }));
          details();
        },
        commands: (changed) => {
          const ours = changed.filter((command) => command.device === id);
          if (ours.length > 0)
            commands.change((page) => ({ ...page, items: mergeCommands(page.items, ours).slice(0, 10) }));
        },
      }, [id]),
    [id],
  );
  if (!device.data || device.error?.status === 404)
    return <NotYet {...device} absent={`There is no device ${id}`} all={["/devices", "all devices"]} />;
  const data = device.data;
  const edited = (change: Partial<DeviceDetail>) => {
    device.change((old) => ({ ...old, ...change }));
    setActs((n) => n + 1);
  };
  const sent = (command: Command, open: boolean) => {
    commands.change((page) => ({ ...page, items: mergeCommands([command], page.items).slice(0, 10) }));
    setActs((n) => n + 1);
    if (open) setRevealed(command.id);
  };
  return (
    <>
      <Head
        device={data}
        canAct={canAct}
        edited={edited}
        sent={sent}
        commands={commands.data?.items ?? []}
        reload={device.reload}
      />
      <Index audit={mayAudit} />
      <Section name="summary">
        <DeviceAlerts device={id} />
        <Values device={data} />
        <NotesCard device={data} canAct={canAct} edited={edited} />
      </Section>
      <Section name="charts"><ChartsCard device={data} /></Section>
      <Section name="commands"><CommandsCard id={id} commands={commands} canAct={canAct} reveal={revealed} /></Section>
      <Section name="events"><EventsCard id={id} /></Section>
      <Section name="software"><SoftwareCards device={data} /></Section>
      <Section name="hardware"><HardwareCards device={data} /></Section>
      <div class="columns">
        <Section name="identity">
          <IdentityCard device={data} mayRevoke={canAct} mayRestore={mayRestore} change={device.change} reload={device.reload} />
        </Section>
        <Section name="ledger"><LedgerCard ledger={data.ledger} /></Section>
      </div>
      <Section name="live"><LiveCard key={id} id={id} /></Section>
      {mayAudit && <Section name="audit"><AuditCard id={id} changed={acts} /></Section>}
    </>
  );
}

function CommandsCard({ id, commands, canAct, reveal }: {
  id: string;
  commands: Loaded<Page<Command>>;
  canAct: boolean;
  reveal: string;
}) {
  const items = commands.data?.items;
  return (
    <Card id="commands-title" title="Commands" aside={<a href={`/commands?device=${encodeURIComponent(id)}`}>All commands</a>}>
      {commands.error && commands.error.status !== 503 && <Fault error={commands.error} retry={commands.reload} />}
      {items && items.length > 0 ? (
        <CommandTable items={items} withDevice={false} canAct={canAct} reveal={reveal} />
      ) : (
        items && (
          <Empty title="No commands yet">
            {canAct ? "Send a ping: it shows whether the device listens, and how fast." : "An operator can send some."}
          </Empty>
        )
      )}
    </Card>
  );
}

function EventsCard({ id }: { id: string }) {
  const events = useEvents(id, "", 10);
  const items = events.data?.items;
  return (
    <Card id="events-title" title="Events" aside={<a href={`/events?device=${encodeURIComponent(id)}`}>All events</a>}>
      {events.error && events.error.status !== 503 && <Fault error={events.error} retry={events.reload} />}
      {items && items.length > 0 ? (
        <EventTable items={items} withDevice={false} />
      ) : (
        items && <Empty title="No events yet">Its first is hello, sent when it connects.</Empty>
      )}
    </Card>
  );
}
