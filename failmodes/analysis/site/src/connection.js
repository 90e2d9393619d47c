// The database behind the page: DuckDB-WASM on the file beside it, or the server of `failmodes explore`.
import * as duckdb from "@duckdb/duckdb-wasm";
import { parquetWriteBuffer } from "hyparquet-writer";
import { Coordinator, DuckDBWASMConnector, RestConnector, coordinator, decodeIPC } from "@uwdata/mosaic-core";
import { shown } from "./dom.js";

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
 * @returns {Promise<object>} run(sql, box) gives rows as objects; prepare(group, …) makes the table `rows`;
 *   save(sql, box) gives the bytes of a Parquet file; `box` marks statements of a user
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
    run: async (sql, box = false) => rowsOf(await answered(connector.query({ type: "arrow", sql, box }))),
    async prepare(group, metadata, options) {
      mosaic.clear({ clients: false });
      connector.rows = (uses) => relation(group, metadata, { classes: "classes", ...options }, uses);
    },
    async save(sql, box) {
      const body = JSON.stringify({ type: "parquet", sql: connector.whole(sql, box) });
      const response = await fetch(uri, { method: "POST", headers: { "Content-Type": "application/json" }, body });
      if (!response.ok) throw new Error(await response.text());
      return new Uint8Array(await response.arrayBuffer());
    },
  };
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
    run: async (sql) => rowsOf(await connector.query({ type: "arrow", sql })),
    async prepare(group, metadata, options) {
      mosaic.clear({ clients: false });
      await mosaic.preaggregator.dropSchema();
      await exec("drop table if exists rows; drop table if exists page_classes");
      // names as numbers: five million rows of text would neither fit nor group fast
      const dataset = quoted(group.dataset_id);
      await enumeration("page_class", `select class_name from (select 'another class' as class_name, -1 as n
        union all select class_name, class_index from warehouse.classes where dataset_id = ${dataset})
        group by class_name order by min(n)`);
      await enumeration("page_corruption", "select 'none' union select corruption from warehouse.corruptions");
      await enumeration("page_evaluation", "select evaluation_id from warehouse.evaluations");
      await exec(`create table page_classes as select * replace (class_name::page_class as class_name)
        from warehouse.classes where dataset_id = ${dataset}`);
      await exec(`create table rows as select * replace (evaluation_id::page_evaluation as evaluation_id,
        corruption::page_corruption as corruption) from (${relation(group, metadata, { classes: "page_classes", ...options })})`);
    },
    save: async (sql) => parquetOf(decodeIPC(await connector.query({ type: "arrow", sql }))),
  };
}

/** Rows of an Arrow result; numbers that fit are numbers. */
function rowsOf(bytes) {
  const table = decodeIPC(bytes);
  const rows = table.toArray();
  rows.columns = table.schema.fields.map((field) => field.name);
  return rows;
}

const KINDS = { 2: "INT32", 3: "DOUBLE", 5: "STRING", 6: "BOOLEAN", 10: "TIMESTAMP" }; // Parquet types by Arrow type

/** A table as a Parquet file; values of other types, such as lists, are text. */
function parquetOf(table) {
  const columnData = table.schema.fields.map(({ name, type }, i) => {
    const { typeId, bitWidth } = type.dictionary ?? type;
    const values = table.getChildAt(i).toArray();
    if (typeId === 2 && bitWidth === 64) {
      return { name, type: "INT64", data: Array.from(values, (value) => (value === null ? null : BigInt(value))) };
    }
    if (typeId === 7 || typeId === 3) return { name, type: "DOUBLE", data: Array.from(values, (value) => (value === null ? null : Number(value))) };
    const isText = !(typeId in KINDS) || typeId === 5;
    const data = Array.from(values, (value) => (value === null || !isText ? value : shown(value)));
    return { name, type: isText ? "STRING" : KINDS[typeId], data };
  });
  return new Uint8Array(parquetWriteBuffer({ columnData }));
}

const BUNDLED = "the page has DuckDB without its extensions; run it with `failmodes query`";

/** One line that says why a statement failed. */
export function problem(error) {
  const text = String(error?.message ?? error);
  const [line] = text.split("\n").filter(Boolean);
  const missing = /extension "?(\w+)"?|(?:json|icu|httpfs|spatial)_?\w* extension/i.exec(text);
  if (missing || /autoload|LOAD /.test(text)) return `${line} (${BUNDLED})`;
  return line.replace(/^(Error: )+/, "");
}
