// The fields of forms that ask for commands.
import type { ComponentChildren } from "preact";
import type { Action, ParamSchema } from "./api";

const LONG_BYTES = 255; // a text that may be longer gets more than one line

export interface Rest {
  id: string;
  "aria-describedby": string;
  "aria-invalid": boolean;
}

// A label, the control, what it is for, and what is wrong with it.
export function Field({ name, label, hint, fault, children }: {
  name: string;
  label: ComponentChildren;
  hint: string;
  fault: string | undefined;
  children: (rest: Rest) => ComponentChildren;
}) {
  const id = `compose-${name}`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": `${id}-hint`, "aria-invalid": fault !== undefined })}
      <p id={`${id}-hint`} class="hint">
        {hint}
        {fault && <strong class="bad"> {fault}</strong>}
      </p>
    </div>
  );
}

export function ActionField({ actions, action, choose }: { actions: Action[]; action: Action; choose: (action: Action) => void }) {
  const group = (label: string, destructive: boolean) => (
    <optgroup label={label}>
      {actions.filter((one) => one.destructive === destructive).map((one) => (
        <option key={one.action} value={one.action}>{one.action}</option>
      ))}
    </optgroup>
  );
  const only = action.platforms.length === 1 ? ` (${action.platforms[0] === "linux" ? "Linux" : "Android"} only)` : "";
  return (
    <Field name="action" label="Action" hint={`${sentence(action.description)}${only}.`} fault={undefined}>
      {(rest) => (
        <select {...rest} value={action.action} onChange={(event) => {
          const name = event.currentTarget.value;
          choose(actions.find((one) => one.action === name)!);
        }}>
          {group("Harmless", false)}
          {group("May cost work or data", true)}
        </select>
      )}
    </Field>
  );
}

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}`;

const ranges: Record<ParamSchema["type"], (schema: ParamSchema) => string> = {
  integer: ({ minimum, maximum }) => ` (${minimum} to ${maximum})`,
  string: ({ maxLength, enum: choices }) => (choices ? "" : ` (up to ${maxLength} bytes)`),
  boolean: () => "",
  array: ({ maxItems }) => ` (one a line, up to ${maxItems})`,
  object: () => " (JSON)",
};

export function ParamField({ name, schema, required, value, fault, onChange }: {
  name: string;
  schema: ParamSchema;
  required: boolean;
  value: string;
  fault: string | undefined;
  onChange: (text: string) => void;
}) {
  const typed = (event: { currentTarget: { value: string } }) => onChange(event.currentTarget.value);
  const choices = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  const long = schema.type === "array" || schema.type === "object" || (schema.maxLength ?? 0) > LONG_BYTES;
  const code = schema.type !== "string";
  return (
    <Field
      name={name}
      label={<>{name}{!required && <span class="muted"> optional</span>}</>}
      hint={`${sentence(schema.description)}${ranges[schema.type](schema)}.`}
      fault={fault}
    >
      {(rest) =>
        choices ? (
          <select {...rest} value={value} onChange={typed}>
            <option value="">{required ? "Choose…" : "Left out"}</option>
            {choices.map((choice) => <option key={choice} value={choice}>{choice}</option>)}
          </select>
        ) : long ? (
          <textarea {...rest} class={code ? "code" : ""} rows={3} value={value} onInput={typed} spellcheck={!code} />
        ) : (
          <input {...rest} value={value} onInput={typed} autocomplete="off" autocapitalize="none" spellcheck={false}
            inputMode={schema.type === "integer" ? "numeric" : "text"} />
        )
      }
    </Field>
  );
}
