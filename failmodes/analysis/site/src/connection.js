// The database behind the page: DuckDB-WASM on the file beside it, or the server of `failmodes explore`.
import * as duckdb from "@duckdb/duckdb-wasm";
import { Coordinator, DuckDBWASMConnector, RestConnector, coordinator, decodeIPC } from "@uwdata/mosaic-core";
import { asTableRef } from "@uwdata/mosaic-sql";
import { parquetOf } from "./parquet.js";

const FILE = "warehouse.duckdb";
const here = (path) => new URL(path, document.baseURI).href;
export const quoted = (text) => `'${String(text).replaceAll("'", "''")}'`;
export const named = (name) => `"${String(name).replaceAll('"', '""')}"`;

/**
 * The rows that all panels show: one per model, corruption, severity and image, with names as in `predictions`.
 * @param {object} group evaluations of the same images
 * @param {{name: string, text: boolean}[]} columns of `images`
 * @param {{classes: string, drift: boolean, baseline: string|null}} options table of class names; whether attention is
 *   stored; evaluation to compare with
 * @param {(name: string) => boolean} uses whether a statement names such a column; joins of others are left out
 */
function relation(group, columns, { classes, drift: hasDrift, baseline: other }, uses = () => true) {
  const metadata = columns.filter(({ name }) => uses(name));
  const [drift, baseline] = [hasDrift && uses("attention_drift"), uses("baseline_") ? other : null];
  const [label, predicted] = [uses("label_name"), uses("predicted_name")];
  const dataset = quoted(group.dataset_id);
  const matching = (table, ...key) => key.map((name) => `f.${name} = ${table}.${name}`).join(" and ");
  const nameOf = (table, finite) => `case when ${table}.class_name is not null then ${table}.class_name
    when ${finite} then 'another class' end`;
  const names = `(select class_index, any_value(class_name) as class_name from ${classes}
    where dataset_id = ${dataset} group by class_index)`;
  return `select f.evaluation_id, f.corruption, f.severity::double as severity, f.image_id,
    ${label ? "label_names.class_name as label_name, " : ""}
    ${predicted ? `${nameOf("predicted_names", "f.finite")} as predicted_name, ` : ""}
    f.correct, f.confidence, f.margin, f.rmse
    ${drift ? ", drift.centroid_shift as attention_drift" : ""}
    ${metadata.map(({ name }) => `, images.${named(name)}`).join("")}
    ${baseline ? `, b.correct as baseline_correct, b.confidence as baseline_confidence,
      ${nameOf("baseline_names", "b.finite")} as baseline_predicted` : ""}
  from outcomes as f
  ${label ? `left join ${names} as label_names on f.label = label_names.class_index` : ""}
  ${predicted ? `left join ${names} as predicted_names on f.predicted = predicted_names.class_index` : ""}
  ${metadata.length ? `left join (select image_id, ${metadata.map(({ name }) => `any_value(${named(name)}) as ${named(name)}`).join(", ")}
    from images where dataset_id = ${dataset} group by image_id) as images on f.image_id = images.image_id` : ""}
  ${drift ? `left join (select evaluation_id, corruption, severity, image_id, any_value(centroid_shift) as centroid_shift
    from attention where target = 'clean' group by all) as drift
    on ${matching("drift", "evaluation_id", "corruption", "severity", "image_id")}` : ""}
  ${baseline ? `left join (select corruption, severity, image_id, any_value(correct) as correct,
      any_value(predicted) as predicted, any_value(confidence) as confidence, any_value(finite) as finite
    from outcomes where evaluation_id = ${quoted(baseline)} group by all) as b
    on ${matching("b", "corruption", "severity", "image_id")}
  left join ${names} as baseline_names on b.predicted = baseline_names.class_index` : ""}
  where f.evaluation_id in (${Object.keys(group.labels).map(quoted).join(", ")})`;
}

/** The server's rows are a part of each query, since nothing can be created there. */
class ServerConnector extends RestConnector {
  rows = null; // gives the relation of a statement

  /** A query of the page with its rows; statements of the SQL box stay as they are. */
  whole(sql, box) {
    if (box || !this.rows || !/\brows\b/.test(sql)) return sql;
    const [, describe, statement] = /^\s*(desc(?:ribe)?\s)?([^]*)$/i.exec(sql);
    const uses = (name) => /select\s+\*/i.test(statement) || statement.includes(name);
    const whole = `with rows as not materialized (${this.rows(uses)})\n${statement}`;
    return describe ? `describe select * from (${whole})` : whole;
  }

  query({ sql, ...rest }) {
    return super.query({ sql: this.whole(sql, rest.box), ...rest });
  }
}

/**
 * Connect to what `study.json` names.
 * @param {(message: string) => void} complain about a query of a panel that failed
 * @returns {Promise<object>} run(sql) gives rows as objects; prepare(group, …) makes the table `rows`; read(sql, options)
 *   gives the tables that one reading statement results in, part by part; save(sql, options) makes a Parquet file of them.
 *   Options: box marks a statement of a user, most is the number of rows that are needed, signal cancels
 */
export async function connect(study, complain) {
  const quiet = () => {};
  const logger = { debug: quiet, info: quiet, log: quiet, warn: quiet, error: (error) => complain(problem(error)) };
  return study.mode === "server" ? toServer(study, logger) : inBrowser(logger);
}

async function toServer(study, logger) {
  const uri = study.query;
  const connector = new ServerConnector({ uri });
  const mosaic = coordinator(new Coordinator(connector, { logger, preagg: { enabled: false } }));
  return {
    mosaic,
    rows: asTableRef("rows"),
    run: async (sql) => rowsOf(await answered(connector.query({ type: "arrow", sql }))),
    async prepare(group, metadata, options) {
      mosaic.clear({ clients: false });
      connector.rows = (uses) => relation(group, metadata, { classes: "classes", ...options }, uses);
    },
    async* read(sql, { box = false, most, signal } = {}) {
      yield decodeIPC(await (await asked({ type: "arrow", box, limit: most }, sql, signal)).arrayBuffer());
    },
    save: async (sql, { box = false, signal } = {}) => (await asked({ type: "parquet", box }, sql, signal)).blob(),
  };

  async function asked(options, sql, signal) {
    const body = JSON.stringify({ ...options, sql: connector.whole(sql, options.box) });
    const response = await fetch(uri, { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
    if (!response.ok) throw new Error(await response.text());
    return response;
  }
}

/** The server's own message of an error, without the connector's words. */
async function answered(promise) {
  try {
    return await promise;
  } catch (error) {
    throw new Error(error.message.replace(/^Query failed with HTTP status \d+: /, ""));
  }
}

async function inBrowser(logger) {
  const database = new duckdb.AsyncDuckDB(new duckdb.VoidLogger(), new Worker(here("duckdb-browser-eh.worker.js")));
  await database.instantiate(here("duckdb-eh.wasm"));
  // ranges are off unless they are asked for by name; a host without ranges gives the whole file
  const filesystem = { reliableHeadRequests: true, allowFullHTTPReads: true, forceFullHTTPReads: false };
  await database.open({ filesystem });
  await database.registerFileURL(FILE, here(FILE), duckdb.DuckDBDataProtocol.HTTP, false);
  const connection = await database.connect();
  const connector = new DuckDBWASMConnector({ duckdb: database, connection });
  const exec = (sql) => connector.query({ type: "exec", sql });
  await exec("set autoinstall_known_extensions = false; set autoload_known_extensions = false");
  await exec(`attach ${quoted(FILE)} as warehouse (read_only)`);
  await exec("set search_path = 'memory.main,warehouse.main'"); // tables of the page come first and are its own
  await exec("set enable_external_access = false; set lock_configuration = true"); // no statement asks another host
  const mosaic = coordinator(new Coordinator(connector, { logger }));
  const enumeration = (name, values) => exec(`drop type if exists ${name}; create type ${name} as enum (${values})`);
  return {
    mosaic,
    rows: asTableRef(["memory", "main", "rows"]), // with its schema, so that no table of another name stands in for it
    run: async (sql) => rowsOf(await connector.query({ type: "arrow", sql })),
    async prepare(group, metadata, options) {
      mosaic.clear({ clients: false });
      await mosaic.preaggregator.dropSchema();
      await exec("drop table if exists memory.main.rows; drop table if exists memory.main.page_classes");
      // names as numbers: five million rows of text would neither fit nor group fast
      const dataset = quoted(group.dataset_id);
      await enumeration("page_class", `select class_name from (select 'another class' as class_name, -1 as n
        union all select class_name, class_index from warehouse.classes where dataset_id = ${dataset})
        group by class_name order by min(n)`);
      await enumeration("page_corruption", "select 'none' union select corruption from warehouse.corruptions");
      await enumeration("page_evaluation", "select evaluation_id from warehouse.evaluations");
      await exec(`create table memory.main.page_classes as select * replace (class_name::page_class as class_name)
        from warehouse.classes where dataset_id = ${dataset}`);
      await exec(`create table memory.main.rows as select * replace (evaluation_id::page_evaluation as evaluation_id,
        corruption::page_corruption as corruption) from (${relation(group, metadata, { classes: "memory.main.page_classes", ...options })})`);
    },
    read: (sql, options) => readingParts(database, sql, options),
    save: (sql, options) => parquetOf(readingParts(database, sql, options)),
  };
}

// the first words of statements that read, behind EXPLAIN, whose ANALYZE runs them
const READS = /^(select|with|from|values|table|show|desc|describe|summarize|pivot|unpivot|call|pragma)$/i;
const FIRST_WORD = /^(?:[\s(]|--[^\r\n]*[\r\n]|\/\*(?:(?!\/\*)[^])*?\*\/|explain\b(?:\s*(?:analyze\b|\((?:analyze|format)\b[^()]*\)))?)*(\w*)/i;
const PART_BYTES = 8_000_000;

/** The result of one statement that only reads, in tables of some megabytes, on a connection that ends with it. */
async function* readingParts(database, sql, { signal } = {}) {
  const connection = await database.connect();
  try {
    await connection.query("set search_path = 'warehouse.main'; begin transaction read only");
    await (await connection.prepare(sql)).close(); // which refuses several statements
    const [, word] = FIRST_WORD.exec(sql);
    // a read-only transaction does not refuse INSTALL, DETACH, USE and COMMIT
    if (!READS.test(word)) throw new Error(`${word.toUpperCase() || "this statement"} is refused: a query only reads (SELECT, DESCRIBE, SUMMARIZE, …)`);
    yield* connection.useUnsafe((_, id) => parts(database, id, sql, signal));
  } finally {
    await connection.query("rollback");
    await connection.close();
  }
}

const isEnum = ({ type }) => type.typeId === -1 || type.children?.some(isEnum);

async function* parts(database, id, sql, signal) {
  const bytesOf = async (step) => {
    for (let bytes = null; ; bytes = await step()) {
      if (bytes) return bytes;
      if (signal?.aborted) await database.cancelPendingQuery(id);
      signal?.throwIfAborted();
    }
  };
  const header = await database.startPendingQuery(id, sql, true) ?? await bytesOf(() => database.pollPendingQuery(id));
  // DuckDB-WASM does not send the dictionaries of these columns with parts
  const enums = decodeIPC(header).schema.fields.filter(isEnum).map(({ name }) => `${named(name)}::varchar as ${named(name)}`);
  if (enums.length) return yield* parts(database, id, `select * replace (${enums}) from (${sql}\n)`, signal);
  for (let size = Infinity; size;) {
    const chunks = [header];
    for (let read = 0; size && read < PART_BYTES; read += size) {
      const chunk = await bytesOf(() => database.fetchQueryResults(id));
      size = chunk.length;
      if (size) chunks.push(chunk);
    }
    yield decodeIPC(chunks);
  }
}

/** Rows of an Arrow result; numbers that fit are numbers. */
const rowsOf = (bytes) => decodeIPC(bytes).toArray();

const BUNDLED = "the page has DuckDB without its extensions; run it with `failmodes query`";

/** One line that says why a statement failed. */
export function problem(error) {
  const text = String(error?.message ?? error);
  if (text.includes("multiple statements")) return "expected one statement; a PIVOT needs its values, such as ON severity IN (1, 5)";
  const [line] = text.split("\n").filter(Boolean);
  const missing = /extension "?(\w+)"?|(?:json|icu|httpfs|spatial)_?\w* extension/i.exec(text);
  if (missing || /autoload|LOAD /.test(text)) return `${line} (${BUNDLED})`;
  return line.replace(/^(Error: )+/, "");
}
