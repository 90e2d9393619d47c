// What is selected: filters by name, shared by all panels, and copied as a condition.
import { Selection, clauseInterval, clausePoints } from "@uwdata/mosaic-core";
import { verbatim } from "@uwdata/mosaic-sql";
import { named, quoted } from "./connection.js";

/** Clauses of all filters; each panel ignores its own. */
export const selection = Selection.crossfilter();

// A filter: its value; of points a list of values, of an interval two numbers, of an outcome and a condition an object
const values = new Map();
const sources = new Map();
const brushes = new Map(); // interval filters drawn by vgplot, by column
const listeners = new Set();
const POINTS = ["evaluation_id", "corruption", "severity", "label_name", "predicted_name", "correct", "image_id"];

/** The source of a filter's clauses; `clients` are the panels that ignore it. */
export function sourceOf(key) {
  if (!sources.has(key)) sources.set(key, { key, clients: new Set(), reset: () => values.delete(key) });
  return sources.get(key);
}

export const filter = (key) => values.get(key);
export const filters = () => [...values];
export const onChange = (listener) => listeners.add(listener);

function clauseOf(key, value) {
  const source = sourceOf(key);
  const options = { source, clients: source.clients };
  if (key === "outcome") {
    const fields = ["evaluation_id", "correct", "baseline_correct"];
    return clausePoints(fields, value && [[value.model, value.correct, value.baselineCorrect]], options);
  }
  if (key === "condition") return { ...options, value, predicate: value ? verbatim(`(${value.sql}\n)`) : null };
  if (POINTS.includes(key) || value?.every?.((each) => typeof each === "string")) {
    return clausePoints([key], value?.map((each) => [each]), options);
  }
  return clauseInterval(key, value, options);
}

/** Set a filter, or clear it with undefined. */
export function setFilter(key, value) {
  const isEmpty = value === undefined || value === null || value.length === 0;
  if (brushes.has(key)) return brushes.get(key)(isEmpty ? undefined : value);
  keep(key, isEmpty ? undefined : value);
  selection.update(clauseOf(key, isEmpty ? undefined : value));
}

function keep(key, value) {
  if (value === undefined) values.delete(key);
  else values.set(key, value);
  for (const listener of listeners) listener(key);
}

/** A brush of vgplot: what it publishes is a filter too, and `move` sets it. */
export function registerBrush(key, interactor, move) {
  brushes.set(key, move);
  selection.addEventListener("value", () => {
    const range = selection.valueFor(interactor);
    if (String(range) !== String(values.get(key))) keep(key, range);
  });
}

export function clearAll() {
  const keys = [...values.keys()];
  values.clear();
  selection.reset();
  for (const key of keys) for (const listener of listeners) listener(key);
}

// --- as a condition ---------------------------------------------------------------------------------------------

const literal = (value) => (typeof value === "string" ? quoted(value) : String(Number(value)));
const KEY = "(evaluation_id, corruption, severity, image_id)";

function equals(key, list) {
  const known = list.filter((each) => each !== null);
  const parts = known.length === 1 ? [`${key} = ${literal(known[0])}`]
    : known.length ? [`${key} in (${known.map((each) => literal(each)).join(", ")})`] : [];
  if (known.length < list.length) parts.push(key === "predicted_name" ? "not finite" : `${key} is null`);
  return parts.length > 1 ? `(${parts.join(" or ")})` : parts[0];
}

function conditionOf(key, value, baseline) {
  if (key === "condition") return `(${value.text}\n)`;
  if (key === "outcome") {
    const own = `evaluation_id = ${quoted(value.model)} and ${value.correct ? "" : "not "}correct`;
    return `${own} and (corruption, severity, image_id) in (select (corruption, severity, image_id) from predictions
  where evaluation_id = ${quoted(baseline)} and ${value.baselineCorrect ? "" : "not "}correct)`;
  }
  if (key === "attention_drift") {
    return `${KEY} in (select ${KEY} from attention
  where target = 'clean' and centroid_shift between ${value[0]} and ${value[1]})`;
  }
  if (key === "correct") return value[0] ? "correct" : "not correct";
  if (POINTS.includes(key)) return equals(key, value);
  if (typeof value[0] === "string") return equals(named(key), value);
  return `${named(key)} between ${value[0]} and ${value[1]}`;
}

/** The selection as an SQL condition on `predictions`, which `failmodes images --filter` takes too; "true" for all. */
export function condition(group, baseline) {
  const parts = filters().map(([key, value]) => conditionOf(key, value, baseline));
  const isNarrow = values.has("evaluation_id") || values.has("outcome");
  if (!isNarrow) parts.unshift(equals("evaluation_id", Object.keys(group.labels)));
  return parts.join("\n  and ");
}
