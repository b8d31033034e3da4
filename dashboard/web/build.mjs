// Bundles the page and packs it into one file for muster-dashboard to embed; see dashboard/assets.h for its form.
//   node build.mjs [--pack FILE]
import { build } from "esbuild";
import { mkdtempSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, extname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync, constants } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const at = process.argv.indexOf("--pack");
const pack = resolve(at > 0 ? process.argv[at + 1] : join(here, "../../build/dashboard.pack"));
const FIRST_VIEW_MAX = 60_000; // bytes, compressed: page, scripts of the frame and the overview, style and icon

const types = {
  ".html": "text/html;charset=utf-8",
  ".js": "text/javascript;charset=utf-8",
  ".css": "text/css;charset=utf-8",
  ".svg": "image/svg+xml",
};

const out = mkdtempSync(join(tmpdir(), "muster-page-"));
try {
  const result = await build({
    absWorkingDir: here,
    entryPoints: ["src/main.tsx", "src/style.css"],
    outdir: out,
    bundle: true,
    format: "esm",
    splitting: true,
    minify: true,
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    metafile: true,
    legalComments: "none",
    logLevel: "warning",
  });
  const entry = (source) =>
    Object.entries(result.metafile.outputs).find(([, output]) => output.entryPoint === source)[0].split("/").pop();

  const icon = readFileSync(join(here, "src/icon.svg"));
  const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8).toUpperCase()}.svg`;
  const html = readFileSync(join(here, "src/index.html"), "utf8")
    .replace("{{script}}", `/assets/${entry("src/main.tsx")}`)
    .replace("{{style}}", `/assets/${entry("src/style.css")}`)
    .replace("{{icon}}", `/assets/${iconName}`);

  const files = new Map([["index.html", Buffer.from(html)], [iconName, icon]]);
  for (const name of readdirSync(out).sort()) files.set(name, readFileSync(join(out, name)));

  const parts = [];
  const sizes = new Map();
  for (const [name, plain] of files) {
    const gzip = gzipSync(plain, { level: constants.Z_BEST_COMPRESSION });
    sizes.set(name, gzip.length);
    parts.push(Buffer.from(`${name} ${types[extname(name)]} ${plain.length} ${gzip.length}\n`), plain, gzip);
  }
  parts.push(Buffer.from("\n"));

  // Whatever "/" needs: the frame, and the overview in it.
  const needs = (source) => {
    const script = Object.values(result.metafile.outputs).find((output) => output.entryPoint === source);
    return script.imports.filter(({ kind }) => kind === "import-statement").map(({ path }) => path.split("/").pop());
  };
  const views = ["src/main.tsx", "src/overview.tsx"];
  const first = new Set(["index.html", iconName, entry("src/style.css"), ...views.map(entry), ...views.flatMap(needs)]);
  const firstView = [...first].reduce((sum, name) => sum + sizes.get(name), 0);
  for (const [name, size] of sizes) console.log(`${name.padEnd(28)} ${String(size).padStart(7)} B compressed`);
  console.log(`first view                   ${String(firstView).padStart(7)} B of at most ${FIRST_VIEW_MAX}`);
  if (firstView > FIRST_VIEW_MAX) throw new Error("the first view is too large; load more of it later");

  mkdirSync(dirname(pack), { recursive: true });
  writeFileSync(pack, Buffer.concat(parts));
} finally {
  rmSync(out, { recursive: true, force: true });
}
