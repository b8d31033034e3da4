// A length of time in a form: a number and the unit that people would say it in; the API has seconds.
import { useId, useState } from "preact/hooks";

const units: [seconds: number, name: string][] = [[86_400, "days"], [3600, "hours"], [60, "minutes"], [1, "seconds"]];

export function Length({ label, name, seconds, min, max, hint }: {
  label: string;
  name: string;
  seconds: number;
  min: number;
  max: number;
  hint?: string;
}) {
  const id = useId();
  const fits = units.filter(([size]) => size <= max);
  const [unit, setUnit] = useState(() => (fits.find(([size]) => seconds > 0 && seconds % size === 0) ?? fits[fits.length > 1 ? fits.length - 2 : 0])![0]);
  return (
    <div class="length">
      <label for={id}>{label}</label>
      <span>
        <input id={id} name={name} type="number" required step="any" min={Math.round((min / unit) * 1e4) / 1e4} max={max / unit} defaultValue={String(seconds / unit)} />
        <select name={`${name}.unit`} aria-label={`Unit of: ${label}`} value={String(unit)} onChange={({ currentTarget }) => setUnit(Number(currentTarget.value))}>
          {fits.map(([size, word]) => <option key={size} value={String(size)}>{word}</option>)}
        </select>
      </span>
      {hint && <small class="muted">{hint}</small>}
    </div>
  );
}

export const secondsOf = (form: FormData, name: string): number => Math.round(Number(form.get(name)) * Number(form.get(`${name}.unit`)));
