// What a person did here, as lines for a shell: one at a time, each to copy.
import { useState } from "preact/hooks";
import { Segments, Short } from "./parts";

export interface Lines {
  cli: string;
  curl: string;
  mqtt?: string;
}

const names = { cli: "muster", curl: "curl", mqtt: "mosquitto_pub" } as const;
type Tool = keyof typeof names;

const hints: { [tool in Tool]?: preact.ComponentChildren } = {
  curl: <>With the key of <code>muster up</code>; any other API key may stand in its place.</>,
  mqtt: <>NAME is an operator's; <code>muster operator add NAME</code> makes one and says at which host and port.</>,
};

export function FromShell({ lines }: { lines: Lines }) {
  const [tool, setTool] = useState<Tool>("cli");
  const tools = (["cli", "curl", "mqtt"] as const).filter((one) => lines[one] !== undefined);
  return (
    <div class="from-shell">
      <Segments label="With what" value={tool} options={tools.map((value) => ({ value, text: names[value] }))} onChange={setTool} />
      <p data-testid={`as-${tool}`}><Short text={lines[tool] ?? ""} what={`line for ${names[tool]}`} whole /></p>
      {hints[tool] && <p class="hint">{hints[tool]}</p>}
    </div>
  );
}
