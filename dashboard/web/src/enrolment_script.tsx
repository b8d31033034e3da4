// The scripts that enrol Android devices at the end of a cable, with adb.
import { useState } from "preact/hooks";
import { ApiError, postForText } from "./api";
import { Card, Fault, Short } from "./parts";

const systems = [
  { os: "bash", name: "Linux and macOS", file: "muster-enroll.sh", run: "bash muster-enroll.sh" },
  { os: "windows", name: "Windows", file: "muster-enroll.bat", run: "muster-enroll.bat" },
] as const;

export function Scripts() {
  const [fault, setFault] = useState<ApiError | null>(null);
  const [got, setGot] = useState("");
  const take = async (os: string, file: string) => {
    setFault(null);
    try {
      const text = await postForText("enrollment/script", { os });
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
      link.download = file;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      setGot(os);
    } catch (thrown) {
      setFault(thrown as ApiError);
    }
  };
  return (
    <Card id="script-title" title="Android devices on a cable">
      <div class="body">
        {fault && <Fault error={fault} />}
        <p>
          One script for a computer with adb: it puts the agent on each device that is connected, checks it, enrols it and starts it. It asks
          for a token, which does not stand in it, and says of each device what it did, or what is wrong and how to mend it.
        </p>
        <div class="columns scripts">
          {systems.map(({ os, name, file, run }) => (
            <div key={os}>
              <h3>{name}</h3>
              <p>
                <button type="button" onClick={() => void take(os, file)}>Download {file}</button>
              </p>
              <p class="muted">Then, beside it:</p>
              <p><Short text={run} what={`command for ${name}`} whole /></p>
              {got === os && <p class="good" role="status">Downloaded.</p>}
            </div>
          ))}
        </div>
        <p class="muted">
          On the command line: <code>muster enroll adb-script</code>.
        </p>
      </div>
    </Card>
  );
}
