// The HTTP API, readable: made from /api/v1/openapi.json, which is made from the server's own table of routes.
import { useMemo, useState } from "preact/hooks";
import { get, type Json } from "./api";
import { useLoad } from "./hooks";
import { Empty, Fault, Filter, Short } from "./parts";
import { useQuery } from "./router";

interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  description?: string;
  schema?: { description?: string };
}

interface Schema {
  $ref?: string;
  type?: string | string[];
  allOf?: Schema[];
  anyOf?: Schema[];
  items?: Schema;
  additionalProperties?: Schema | boolean;
  description?: string;
  properties?: { [name: string]: Schema };
  required?: string[];
  minimum?: number;
  maximum?: number;
  enum?: Json[];
}

interface Response {
  $ref?: string;
  description?: string;
  content?: { [type: string]: { schema?: Schema } };
}

interface Operation {
  summary: string;
  tags: string[];
  "x-roles": string[];
  security: { [scheme: string]: string[] }[];
  parameters: Parameter[];
  requestBody?: { required?: boolean; content: { [type: string]: { schema: Schema } } };
  responses: { [status: string]: Response };
}

interface Document {
  info: { version: string };
  paths: { [path: string]: { [method: string]: Operation } };
  components: { schemas: { [name: string]: Schema }; responses: { [name: string]: Response } };
}

interface Entry {
  method: string;
  path: string;
  operation: Operation;
}

export default function DocsView() {
  const [q, setQ] = useQuery("q");
  const document = useLoad("openapi", (signal) => get<Document>("openapi.json", {}, signal));
  const entries = useMemo(() => (document.data ? list(document.data) : []), [document.data]);
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = entries.filter(({ method, path, operation }) => {
    const text = `${method} ${path} ${operation.summary}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const tags = [...new Set(shown.map(({ operation }) => operation.tags[0] ?? ""))];
  return (
    <>
      <div class="heading">
        <h1>API</h1>
        <p class="muted">
          What this page does, programs can do. <a href="/api/v1/openapi.json" target="_blank" rel="noreferrer">OpenAPI 3.1</a>
        </p>
      </div>
      {document.error && <Fault error={document.error} retry={document.reload} />}
      {document.data ? (
        <>
          <Introduction />
          <div class="toolbar">
            <Filter label="Filter routes" placeholder="Filter routes" value={q} onChange={setQ} />
          </div>
          {tags.length === 0 && (
            <div class="card">
              <Empty title="No route matches"><button type="button" onClick={() => setQ("")}>Show all</button></Empty>
            </div>
          )}
          {tags.map((tag) => (
            <section key={tag} class="card routes" aria-labelledby={`tag-${tag}`}>
              <header><h2 id={`tag-${tag}`}>{tag.replaceAll("-", " ")}</h2></header>
              {shown.filter(({ operation }) => operation.tags[0] === tag).map((entry) => (
                <Route key={`${entry.method} ${entry.path}`} entry={entry} document={document.data!} />
              ))}
            </section>
          ))}
        </>
      ) : (
        !document.error && <div class="card skeleton tall" role="status" aria-label="Loading" />
      )}
    </>
  );
}

const list = (document: Document): Entry[] =>
  Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })));

function Introduction() {
  return (
    <div class="card intro">
      <p>
        A program shows its API key in the header <code>Authorization: Bearer KEY</code>; each route names the roles that may use
        it. Lists come in pages: <code>next</code> of one is <code>after</code> for the one that follows, and <code>null</code> at
        the end. Every error is a problem of RFC 9457, whose <code>detail</code> says what is wrong and what to do, with
        the <code>request_id</code> that stands in the logs. Who asks too often gets 429 with <code>Retry-After</code>.
      </p>
    </div>
  );
}

function Route({ entry: { method, path, operation }, document }: { entry: Entry; document: Document }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="operation" data-route={`${method} ${path}`} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>
        <span class={`method ${method.toLowerCase()}`}>{method}</span>
        <code>{path}</code>
        <span class="route-words">{operation.summary}</span>
      </summary>
      <div class="route-in">
        <p class="muted">{access(operation)}</p>
        <Parameters items={operation.parameters} />
        <Body operation={operation} document={document} />
        {open && <Answer operation={operation} document={document} />}
        <Errors operation={operation} document={document} />
        <div class="curl">
          <h3>With curl</h3>
          <Short text={curl(method, path, operation)} what="curl command" whole />
        </div>
      </div>
    </details>
  );
}

function access({ "x-roles": roles, security }: Operation): string {
  if (roles.length > 0) return `For ${roles.join(", ")}.`;
  return security.length > 0 ? "For whoever signs the request with an admin key." : "Open to all.";
}

function Parameters({ items }: { items: Parameter[] }) {
  if (items.length === 0) return null;
  return (
    <>
      <h3>Parameters</h3>
      <dl class="rows members">
        {items.map((one) => (
          <div key={`${one.in} ${one.name}`}>
            <dt><code>{one.name}</code> <span class="tag">{one.in}</span></dt>
            <dd>{one.description ?? one.schema?.description ?? (one.in === "path" ? "of what it is about" : "")}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function resolve(schema: Schema, document: Document): Schema {
  return schema.$ref ? (document.components.schemas[schema.$ref.split("/").pop()!] ?? schema) : schema;
}

const nameOf = (schema: Schema): string => schema.$ref?.split("/").pop() ?? "";

// "Device[]", "string or null": as one would say it.
function wordOf(schema: Schema): string {
  if (schema.$ref) return nameOf(schema);
  if (schema.anyOf) return schema.anyOf.map(wordOf).join(" or ");
  if (schema.items) return `${wordOf(schema.items).replace(" or ", "|")}[]${Array.isArray(schema.type) ? " or null" : ""}`;
  if (typeof schema.additionalProperties === "object") return `{name: ${wordOf(schema.additionalProperties)}}`;
  return Array.isArray(schema.type) ? schema.type.join(" or ") : (schema.type ?? "any");
}

// With those of what it is made from, which come first.
function membersOf(schema: Schema, document: Document): Schema {
  const all = resolve(schema, document);
  if (!all.allOf) return all;
  const parts = all.allOf.map((part) => membersOf(part, document));
  return {
    properties: Object.assign({}, ...parts.map(({ properties }) => properties)) as { [name: string]: Schema },
    required: parts.flatMap(({ required }) => required ?? []),
  };
}

// The names of all that stands in it, itself first, each once.
function namesIn(schema: Schema, document: Document, met: string[] = []): string[] {
  const name = nameOf(schema);
  if (name && met.includes(name)) return met;
  if (name) met.push(name);
  const inner = name ? membersOf(schema, document) : schema;
  const parts = [...Object.values(inner.properties ?? {}), ...(inner.anyOf ?? []), inner.items, inner.additionalProperties];
  for (const part of parts) if (typeof part === "object") namesIn(part, document, met);
  return met;
}

function bodyOf(operation: Operation, document: Document): Schema | null {
  const content = operation.requestBody?.content["application/json"];
  return content ? resolve(content.schema, document) : null;
}

function Body({ operation, document }: { operation: Operation; document: Document }) {
  const schema = bodyOf(operation, document);
  if (!schema?.properties) return null;
  return (
    <>
      <h3>Body, JSON</h3>
      <dl class="rows members">
        {Object.entries(schema.properties).map(([name, member]) => (
          <div key={name}>
            <dt>
              <code>{name}</code> {member.type && <span class="tag">{wordOf(member)}</span>}
              {schema.required?.includes(name) && <span class="tag">required</span>}
            </dt>
            <dd>
              {member.description}
              {member.minimum !== undefined && member.maximum !== undefined && ` (${member.minimum} to ${member.maximum})`}
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}

// What a good answer holds: its members, and those of whatever has a name in it, folded.
function Answer({ operation, document }: { operation: Operation; document: Document }) {
  const good = Object.entries(operation.responses).filter(([status]) => status.startsWith("2"));
  const schemas = good.flatMap(([, { content }]) => content?.["application/json"]?.schema ?? []);
  const names = [...new Set(schemas.flatMap((schema) => namesIn(schema, document)))];
  if (names.length === 0) return null;
  return (
    <>
      <h3>Answer, JSON</h3>
      {names.map((name, i) => (
        <details key={name} class="schema" open={i === 0}>
          <summary><code>{name}</code></summary>
          <Members schema={membersOf({ $ref: `#/components/schemas/${name}` }, document)} />
        </details>
      ))}
    </>
  );
}

function Members({ schema: { properties, required } }: { schema: Schema }) {
  return (
    <dl class="rows members">
      {Object.entries(properties ?? {}).map(([name, member]) => (
        <div key={name}>
          <dt><code>{name}</code></dt>
          <dd>{wordOf(member)}{!required?.includes(name) && <span class="muted">, may be left out</span>}</dd>
        </div>
      ))}
    </dl>
  );
}

function Errors({ operation, document }: { operation: Operation; document: Document }) {
  return (
    <>
      <h3>Answers</h3>
      <dl class="rows members">
        {Object.entries(operation.responses).map(([status, response]) => (
          <div key={status}>
            <dt><code>{status}</code></dt>
            <dd>{response.description ?? document.components.responses[response.$ref?.split("/").pop() ?? ""]?.description}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function curl(method: string, path: string, operation: Operation): string {
  const words = ["curl -sS"];
  if (method !== "GET") words.push(`-X ${method}`);
  if (operation["x-roles"].length > 0) words.push('-H "Authorization: Bearer $MUSTER_KEY"');
  if (operation.requestBody) words.push("-H 'Content-Type: application/json' -d @body.json");
  words.push(quote(`${location.origin}${path}`));
  return words.join(" ");
}
