// The database behind the page: DuckDB-WASM on the file beside it, or the server of `failmodes explore`.
import * as duckdb from "@duckdb/duckdb-wasm";
import { Coordinator, DuckDBWASMConnector, RestConnector, coordinator, decodeIPC } from "@uwdata/mosaic-core";

const FILE = "warehouse.duckdb";
const here = (path) => new URL(path, document.baseURI).href;
const quoted = (text) => `'${String(text).replaceAll("'", "''")}'`;
const named = (name) => `"${String(name).replaceAll('"', '""')}"`;
export { named, quoted };

/**
 * The rows that all panels show: one per model, corruption, severity and image, with names as in `predictions`.
 * @param {object} group evaluations of the same images
 * @param {{name: string, text: boolean}[]} metadata columns of `images`
 * @param {{classes: string, drift: boolean, baseline: string|null}} options table of class names; whether attention is
 *   stored; evaluation to compare with
 */
export function relation(group, metadata, { classes, drift, baseline }) {
  const dataset = quoted(group.dataset_id);
  const matching = (table, ...key) => key.map((name) => `f.${name} = ${table}.${name}`).join(" and ");
  const nameOf = (table, finite) => `case when ${table}.class_name is not null then ${table}.class_name
    when ${finite} then 'another class' end`;
  const names = `(select class_index, any_value(class_name) as class_name from ${classes}
    where dataset_id = ${dataset} group by class_index)`;
  return `select f.evaluation_id, f.corruption, f.severity::double as severity, f.image_id,
    label_names.class_name as label_name, ${nameOf("predicted_names", "f.finite")} as predicted_name,
    f.correct, f.confidence, f.margin, f.rmse
    ${drift ? ", drift.centroid_shift as attention_drift" : ""}
    ${metadata.map(({ name }) => `, images.${named(name)}`).join("")}
    ${baseline ? `, b.correct as baseline_correct, b.confidence as baseline_confidence,
      ${nameOf("baseline_names", "b.finite")} as baseline_predicted` : ""}
  from outcomes as f
  left join ${names} as label_names on f.label = label_names.class_index
  left join ${names} as predicted_names on f.predicted = predicted_names.class_index
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
  rows = "";

  query({ type, sql, ...rest }) {
    const read = /\brows\b/.test(sql) && this.rows && !rest.box;
    const [, describe, statement] = /^\s*(desc(?:ribe)?\s)?([^]*)$/i.exec(sql);
    const whole = `with rows as not materialized (${this.rows})\n${statement}`;
    const full = !read ? sql : describe ? `describe select * from (${whole})` : whole;
    return super.query({ type, sql: full, ...rest });
  }
}

/**
 * Connect to what `study.json` names.
 * @returns {Promise<object>} run(sql) gives rows as objects; prepare(group, …) makes the table `rows`; save(sql) gives
 *   the bytes of a Parquet file
 */
export async function connect(study) {
  return study.mode === "server" ? toServer(study) : inBrowser(study);
}

async function toServer(study) {
  const uri = study.query;
  const connector = new ServerConnector({ uri });
  const mosaic = coordinator(new Coordinator(connector, { logger: null, preagg: { enabled: false } }));
  return {
    mosaic,
    run: async (sql, box = false) => rowsOf(await answered(connector.query({ type: "arrow", sql, box }))),
    async prepare(group, metadata, options) {
      mosaic.clear({ clients: false });
      connector.rows = relation(group, metadata, { classes: "classes", ...options });
    },
    async save(sql) {
      const response = await fetch(uri, { method: "POST", body: JSON.stringify({ type: "parquet", sql }) });
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

async function inBrowser(study) {
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
  const mosaic = coordinator(new Coordinator(connector, { logger: null }));
  return {
    mosaic,
    run: async (sql) => rowsOf(await connector.query({ type: "arrow", sql })),
    async prepare(group, metadata, options) {
      mosaic.clear({ clients: false });
      await mosaic.preaggregator.dropSchema();
      await exec("drop table if exists rows; drop table if exists page_classes; drop type if exists page_class");
      // names as numbers: five million rows of text would neither fit nor group fast
      const dataset = quoted(group.dataset_id);
      await exec(`create type page_class as enum (select class_name from (select 'another class' as class_name, -1 as n
        union select class_name, class_index from warehouse.classes where dataset_id = ${dataset})
        group by class_name order by min(n))`);
      await exec(`create table page_classes as select * replace (class_name::page_class as class_name)
        from warehouse.classes where dataset_id = ${dataset}`);
      await exec(`create table rows as ${relation(group, metadata, { classes: "page_classes", ...options })}`);
    },
    async save(sql) {
      await exec(`copy (${sql.replace(/;\s*$/, "")}\n) to 'selection.parquet' (format parquet)`);
      const bytes = await database.copyFileToBuffer("selection.parquet");
      await database.dropFile("selection.parquet");
      return bytes;
    },
    size: study.size?.bytes,
  };
}

/** Rows of an Arrow result; numbers that fit are numbers. */
export function rowsOf(bytes) {
  const table = decodeIPC(bytes);
  const rows = table.toArray();
  rows.columns = table.schema.fields.map((field) => field.name);
  return rows;
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
