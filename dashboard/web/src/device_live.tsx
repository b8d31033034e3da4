// What it and the server say to each other, read along with when somebody wants it.
import type { ComponentType } from "preact";
import { useState } from "preact/hooks";
import { Card, Empty } from "./parts";

type Panel = ComponentType<{ device: string }>;

export function LiveCard({ id }: { id: string }) {
  const [panel, setPanel] = useState<{ Panel: Panel } | null>(null);
  const [failed, setFailed] = useState(false);
  const load = () => {
    setFailed(false);
    import("./console").then(({ ConsolePanel }) => setPanel({ Panel: ConsolePanel }), () => setFailed(true));
  };
  if (panel)
    return (
      <>
        <div class="live-head">
          <h2>Live messages</h2>
          <button type="button" onClick={() => setPanel(null)}>Stop</button>
        </div>
        <panel.Panel device={id} />
      </>
    );
  return (
    <Card id="live-title" title="Live messages">
      <Empty title="Read along">
        Its MQTT messages as they pass the broker; nothing is sent.{" "}
        <button type="button" onClick={load}>Show live messages</button>
      </Empty>
      {failed && <p class="bad" role="alert">The console could not be loaded: try again, or reload the page.</p>}
    </Card>
  );
}
