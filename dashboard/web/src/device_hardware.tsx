// What it is made of and how it is connected, as it last said.
import type { DeviceDetail, Json } from "./api";
import { Fact } from "./commands";
import { Card, Empty, Pairs, Time } from "./parts";

const titles: { [kind: string]: string } = { hardware: "Hardware", network: "Network and addresses" };

export function HardwareCards({ device: { inventory } }: { device: DeviceDetail }) {
  return (
    <div class="columns">
      {Object.entries(titles).map(([kind, title]) => (
        <Card
          key={kind}
          id={`${kind}-title`}
          title={title}
          aside={inventory[kind] && <span class="muted">as of <Time at={inventory[kind].ts} /></span>}
        >
          {inventory[kind] ? (
            <Tree value={inventory[kind].body} />
          ) : (
            <Empty title="Not reported yet">The agent sends it once it is connected.</Empty>
          )}
        </Card>
      ))}
    </div>
  );
}

function Tree({ value }: { value: Json }) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return <Pairs value={value} />;
  return (
    <dl class="facts">
      {Object.entries(value).map(([name, member]) => (
        <Fact key={name} name={name}>
          {Array.isArray(member) ? (
            member.length === 0 ? "none" : (
              <ul>
                {member.slice(0, 500).map((item, i) => <li key={i}><Pairs value={item} /></li>)}
              </ul>
            )
          ) : (
            <Pairs value={member} />
          )}
        </Fact>
      ))}
    </dl>
  );
}
