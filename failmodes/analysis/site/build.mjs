// Bundle the page: `node build.mjs FOLDER` after `npm ci --ignore-scripts`. Nothing is loaded from elsewhere: DuckDB-WASM
// lies beside the page, and licenses.txt holds the licenses of all that is bundled.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const DUCKDB = "node_modules/@duckdb/duckdb-wasm";
const PAGE = ["index.html"];
const WASM = ["duckdb-eh.wasm", "duckdb-browser-eh.worker.js"];
const BROWSERS = ["chrome120", "firefox121", "safari17"];

async function licenseOf(folder) {
  const { name, version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? await readFile(join(folder, file), "utf8") : "";
  return `${name} ${version} (${license})\n\n${text.trim()}\n`;
}

function packagesIn(metafile) {
  const folders = Object.keys(metafile.inputs).map((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]);
  return [...new Set([DUCKDB, ...folders.filter(Boolean)])].sort();
}

// The viewer of the report is a script without modules: here it becomes one
const viewer = {
  name: "viewer",
  setup({ onLoad }) {
    onLoad({ filter: /images[\\/]viewer\.js$/ }, async ({ path }) => ({
      contents: `${await readFile(path, "utf8")}\nexport { viewer };`,
    }));
  },
};

const target = process.argv[2];
if (!target) throw new Error("usage: node build.mjs FOLDER");
await mkdir(target, { recursive: true });
const { metafile } = await build({
  entryPoints: { app: "src/main.js" },
  outdir: target,
  bundle: true,
  format: "iife", // so that a page opened as a file gets far enough to say what to do
  loader: { ".html": "text" },
  plugins: [viewer],
  target: BROWSERS,
  minify: true,
  metafile: true,
  legalComments: "none", // all licenses are in licenses.txt
  logLevel: "warning",
});
const licenses = await Promise.all(packagesIn(metafile).map(licenseOf));
await writeFile(join(target, "licenses.txt"), licenses.join(`\n${"-".repeat(80)}\n\n`));
for (const file of PAGE) await copyFile(join("src", file), join(target, file));
for (const file of WASM) await copyFile(join(DUCKDB, "dist", file), join(target, file));
