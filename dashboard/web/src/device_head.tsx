// Which device it is, how it is and why, and what can be done with it at once.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { loadActions } from "./actions";
import { type Action, type ApiError, type Command, type DeviceDetail, post } from "./api";
import type { ComposerProps } from "./compose";
import { type EditProps, GroupsEdit, NameEdit, TagsEdit } from "./device_edit";
import { absolute, duration, statusOf } from "./format";
import { useNow } from "./hooks";
import { CommandBadge, Icon, RevokedTag, StatusBadge, Time } from "./parts";
import { listAddress } from "./router";

export function Head({ device, canAct, edited, sent, commands, reload }: EditProps & {
  sent: (command: Command, reveal: boolean) => void;
  commands: Command[];
  reload: () => void;
}) {
  const status = statusOf(device, useNow());
  // The reason is the server's: ask for it when time alone changed the status.
  useEffect(() => {
    if (status !== device.status) reload();
  }, [status]);
  return (
    <>
      <a class="back" href={listAddress()}><Icon name="back" />All devices</a>
      <div class="heading device-heading">
        <div>
          <h1>{device.device}</h1>
          <StatusBadge status={status} />
          <RevokedTag device={device} />
          <NameEdit device={device} canAct={canAct} edited={edited} />
          <TagsEdit device={device} canAct={canAct} edited={edited} />
          <GroupsEdit device={device} canAct={canAct} edited={edited} />
        </div>
        {canAct && <Actions device={device} sent={sent} commands={commands} />}
      </div>
      <p class={`why ${device.enabled ? status : "offline"}`} data-testid="why">
        <Icon name={device.enabled ? status : "revoked"} />
        <span>
          {device.why}{" "}
          {device.last_seen && <>Last message <Time at={device.last_seen} />.</>}
          {device.since && status !== "never" && <> {device.presence === "online" ? "Connected" : "Gone"} for <For at={device.since} />.</>}
        </span>
      </p>
    </>
  );
}

function For({ at }: { at: string }) {
  const now = useNow();
  return (
    <time dateTime={at} title={absolute(at)}>
      {duration((now - Date.parse(at)) / 1000)}
    </time>
  );
}

// What the form sent is opened in the list of commands; a ping only shows how it went.
function Actions({ device, sent, commands }: {
  device: DeviceDetail;
  sent: (command: Command, reveal: boolean) => void;
  commands: Command[];
}) {
  const [last, setLast] = useState("");
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const ping = async () => {
    setBusy(true);
    setError(null);
    try {
      const command = await post<Command>("commands", { device: device.device, action: "ping", ttl_s: 300 });
      setLast(command.id);
      sent(command, false);
    } catch (thrown) {
      setError(thrown as ApiError);
    }
    setBusy(false);
  };
  const command = commands.find((item) => item.id === last);
  return (
    <div class="actions">
      {error && <span class="bad" role="alert">{error.message}</span>}
      {command && (
        <span class="outcome" role="status" data-testid="outcome">
          <span>{command.action}</span>
          <CommandBadge state={command.state} />
        </span>
      )}
      <ComposeButton device={device} sent={(made) => sent(made, true)} />
      <button type="button" class="primary" disabled={busy || !device.enabled} onClick={() => void ping()}>
        Send ping
      </button>
    </div>
  );
}

// The form and the table of actions are loaded when somebody wants them.
function ComposeButton({ device, sent }: { device: DeviceDetail; sent: (command: Command) => void }) {
  const [form, setForm] = useState<{ Composer: (props: ComposerProps) => JSX.Element; actions: Action[] } | null>(null);
  const [failed, setFailed] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const open = () => {
    setFailed(false);
    Promise.all([import("./compose"), loadActions()]).then(
      ([{ Composer }, actions]) => setForm({ Composer, actions }),
      () => setFailed(true),
    );
  };
  const close = () => {
    setForm(null);
    button.current?.focus();
  };
  return (
    <>
      {failed && <span class="bad" role="alert">The form could not be loaded: try again, or reload the page.</span>}
      <button ref={button} type="button" disabled={!device.enabled} onClick={open}>Send command…</button>
      {form && (
        <form.Composer
          device={device}
          actions={form.actions}
          close={close}
          sent={(command) => {
            close();
            sent(command);
          }}
        />
      )}
    </>
  );
}
