// What the keyboard does, as a dialog.
import { useEffect, useRef } from "preact/hooks";
import { general, goTo, type Shortcut } from "./keys";
import type { View } from "./views";

export default function Help({ views, close }: { views: View[]; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="help" aria-labelledby="help-title" onClose={close}>
      <form method="dialog">
        <h2 id="help-title">Keyboard</h2>
        <div class="shortcuts">
          <Shortcuts title="In every view" rows={general} />
          <Shortcuts title="Go to" rows={goTo(views)} />
        </div>
        <div class="buttons">
          <button type="submit">Close</button>
        </div>
      </form>
    </dialog>
  );
}

function Shortcuts({ title, rows }: { title: string; rows: Shortcut[] }) {
  return (
    <section>
      <h3>{title}</h3>
      <dl>
        {rows.map(({ keys, words }) => (
          <div key={words}>
            <dt>{keys.map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
