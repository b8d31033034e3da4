// The rules, and a form for one, made from the table of kinds that the server checks them by.
import { useEffect, useRef, useState } from "preact/hooks";
import type { AlertKind, AlertParam, AlertRule, Severity } from "./alerts_api";
import { SeverityBadge } from "./alerts";
import { ApiError, del, get, type Json, type Page, patch, post } from "./api";
import { count } from "./format";
import { useLoad } from "./hooks";
import { Length, secondsOf } from "./length";
import { Empty, Fault, Pairs } from "./parts";

export function Rules({ admin }: { admin: boolean }) {
  const rules = useLoad("rules", (signal) => get<Page<AlertRule>>("alert-rules", { limit: 500 }, signal));
  const kinds = useLoad("kinds", (signal) => get<{ items: AlertKind[] }>("alert-rules/kinds", {}, signal));
  const [edited, setEdited] = useState<AlertRule | "new" | null>(null);
  const [fault, setFault] = useState<ApiError | null>(null);
  const items = rules.data?.items;
  const change = (what: Promise<unknown>) => {
    setFault(null);
    what.then(rules.reload, (error: ApiError) => setFault(error));
  };
  if (!items || !kinds.data) {
    const error = rules.error ?? kinds.error;
    return error ? <Fault error={error} retry={rules.reload} /> : <div class="card skeleton tall" role="status" aria-label="Loading" />;
  }
  return (
    <>
      {fault && <Fault error={fault} />}
      {admin && (
        <div class="toolbar"><button type="button" class="primary" onClick={() => setEdited("new")}>New rule</button></div>
      )}
      {edited && (
        <Editor key={edited === "new" ? 0 : edited.id} kinds={kinds.data.items} rule={edited === "new" ? null : edited}
          onDone={(saved) => { setEdited(null); if (saved) rules.reload(); }} />
      )}
      <div class="card table-wrap">
        {items.length === 0 ? <Empty title="There is no rule">Without rules nothing is looked for. Make one.</Empty> : (
          <table class="commands alerts" data-testid="rules">
            <thead>
              <tr><th scope="col">Severity</th><th scope="col">Rule</th><th scope="col">Looks for</th><th scope="col">Active</th>{admin && <th scope="col"><span class="sr">Change</span></th>}</tr>
            </thead>
            <tbody>
              {items.map((rule) => (
                <tr key={rule.id}>
                  <td class="state"><SeverityBadge severity={rule.severity} /></td>
                  <td class="device">{rule.name} {!rule.enabled && <span class="tag">off</span>}</td>
                  <td class="result">
                    {rule.looks_for ?? <Pairs value={rule.params} />} {rule.query && <code>{rule.query}</code>}
                    {rule.error && <p class="fault">{rule.error}</p>}
                  </td>
                  <td class="at">{rule.active}</td>
                  {admin && (
                    <td class="decide">
                      <button type="button" class="plain" onClick={() => setEdited(rule)}>Edit<span class="sr"> {rule.name}</span></button>
                      <button type="button" class="plain" onClick={() => change(patch(`alert-rules/${rule.id}`, { enabled: !rule.enabled }))}>
                        {rule.enabled ? "Switch off" : "Switch on"}<span class="sr"> {rule.name}</span>
                      </button>
                      {!rule.builtin && (
                        <button type="button" class="plain" onClick={() => change(del(`alert-rules/${rule.id}`))}>Delete<span class="sr"> {rule.name}</span></button>
                      )}
                    </td>
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    </>
  );
}

// What the form looks for, and where.
function condition(kind: AlertKind, form: HTMLFormElement): { query: string; params: { [name: string]: Json } } {
  const values = new FormData(form);
  const params: { [name: string]: Json } = {};
  for (const [key, schema] of Object.entries(kind.params.properties)) {
    const text = String(values.get(`p.${key}`) ?? "");
    if (schema["x-unit"] === "s") params[key] = secondsOf(values, `p.${key}`);
    else if (text !== "") params[key] = schema.type === "string" ? text : Number(text);
  }
  return { query: String(values.get("query") ?? ""), params };
}

interface Hits {
  looks_for: string;
  devices: number;
  hits: number;
  examples: string[];
}

// How many devices the rule would hit now, asked again when somebody paused typing.
function Preview({ kind, form, typed }: { kind: AlertKind; form: { current: HTMLFormElement | null }; typed: number }) {
  const [hits, setHits] = useState<Hits | null>(null);
  const [why, setWhy] = useState("");
  useEffect(() => {
    let gone = false;
    const timer = setTimeout(() => {
      if (!form.current) return;
      post<Hits>("alert-rules/preview", { kind: kind.kind, ...condition(kind, form.current) }).then(
        (found) => { if (!gone) { setHits(found); setWhy(""); } },
        (error: ApiError) => { if (!gone) { setHits(null); setWhy(error.message); } },
      );
    }, 400);
    return () => { gone = true; clearTimeout(timer); };
  }, [typed]);
  return (
    <p class="hint" role="status" data-testid="rule-preview">
      {hits ? (
        <>
          Looks for: {hits.looks_for}. Now it holds for <strong>{count(hits.hits)}</strong> of {count(hits.devices)} {hits.devices === 1 ? "device" : "devices"}
          {hits.examples.length > 0 && <>: {hits.examples.map((name, index) => (
            <>{index > 0 && ", "}<a key={name} href={`/devices/${encodeURIComponent(name)}`}>{name}</a></>
          ))}{hits.hits > hits.examples.length && " …"}</>}.
        </>
      ) : why || "Counting how many devices it would hit now."}
    </p>
  );
}

function Editor({ kinds, rule, onDone }: { kinds: AlertKind[]; rule: AlertRule | null; onDone: (saved: boolean) => void }) {
  const [name, setName] = useState(rule?.kind ?? "offline");
  const [fault, setFault] = useState<ApiError | null>(null);
  const [typed, setTyped] = useState(0);
  const form = useRef<HTMLFormElement>(null);
  const kind = kinds.find((one) => one.kind === name)!;
  const save = (event: Event) => {
    event.preventDefault();
    const values = new FormData(form.current!);
    const body = {
      name: String(values.get("name")), severity: String(values.get("severity")) as Severity,
      clear_s: secondsOf(values, "clear_s"), ...condition(kind, form.current!),
    };
    const sent = rule ? patch(`alert-rules/${rule.id}`, body) : post("alert-rules", { ...body, kind: name });
    sent.then(() => onDone(true), (error: ApiError) => setFault(error));
  };
  return (
    <form class="card rule-form" ref={form} onSubmit={save} onInput={() => setTyped(typed + 1)} data-testid="rule-form">
      <h2>{rule ? `Rule ${rule.name}` : "New rule"}</h2>
      {fault && <Fault error={fault} />}
      <div class="rule-fields">
        <label>What is looked for
          <select value={name} disabled={rule !== null} onChange={(event) => setName(event.currentTarget.value)}>
            {kinds.map((one) => <option key={one.kind} value={one.kind}>{one.title}</option>)}
          </select>
          <small class="muted">{kind.description}</small>
        </label>
        <label>Name<input name="name" required maxLength={100} defaultValue={rule?.name ?? ""} /></label>
        <label>Severity
          <select name="severity" defaultValue={rule?.severity ?? "warning"}>
            {["info", "warning", "critical"].map((one) => <option key={one}>{one}</option>)}
          </select>
        </label>
        {kind.object === "device" && (
          <label>Which devices<input name="query" defaultValue={rule?.query ?? ""} placeholder="tag:kiosk, group:berlin, device:kiosk-7; all when empty" /></label>
        )}
        {Object.entries(kind.params.properties).map(([key, schema]) => (
          <Param key={`${name}.${key}`} name={key} schema={schema} required={kind.params.required.includes(key)} value={rule?.params[key]} />
        ))}
        <Length label="Over for, before it is cleared" name="clear_s" seconds={rule?.clear_s ?? 60} min={0} max={86_400} />
      </div>
      {kind.object === "device" && <Preview key={name} kind={kind} form={form} typed={typed} />}
      <div class="buttons">
        <button type="button" onClick={() => onDone(false)}>Cancel</button>
        <button type="submit" class="primary">Save rule</button>
      </div>
    </form>
  );
}

const unitWords: { [unit: string]: string } = { d: "days" };

function Param({ name, schema, required, value }: { name: string; schema: AlertParam; required: boolean; value: Json | undefined }) {
  const given = value ?? schema.default;
  const text = given === undefined || given === null ? "" : String(given);
  const unit = schema["x-unit"];
  if (unit === "s")
    return <Length label={schema.title} name={`p.${name}`} seconds={Number(text)} min={schema.minimum ?? 0} max={schema.maximum ?? 0} hint={schema.description} />;
  return (
    <label>{schema.title}{unit && ` (${unitWords[unit] ?? unit})`}
      {schema.enum ? (
        <select name={`p.${name}`} defaultValue={text}>{schema.enum.map((one) => <option key={one}>{one}</option>)}</select>
      ) : schema.type === "string" ? (
        <input name={`p.${name}`} required={required} defaultValue={text} />
      ) : (
        <input name={`p.${name}`} type="number" step={schema.type === "integer" ? "1" : "any"} required={required}
          {...(schema.minimum !== undefined ? { min: schema.minimum } : {})} {...(schema.maximum !== undefined ? { max: schema.maximum } : {})}
          defaultValue={text} />
      )}
      <small class="muted">{schema.description}</small>
    </label>
  );
}
