// The state of the page in its address. Anyone can write a link, so each part of the page takes only values that it knows to
// be valid; the page lists what none has taken.

const given = new Map([...new URLSearchParams(location.hash.slice(1))].map(([key, text]) => [key, parsed(text)]));

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // which is never valid
  }
}

export const isText = (value) => typeof value === "string";
export const oneOf = (values) => (value) => values.includes(value);
export const listOf = (isValid) => (value) => Array.isArray(value) && value.length > 0 && value.every(isValid);
export const isRange = (value) => listOf(Number.isFinite)(value) && value.length === 2 && value[0] <= value[1];

/** The value of a key in the link, once, if it is valid. */
export function take(key, isValid) {
  const value = given.get(key);
  if (!given.has(key) || !isValid(value)) return undefined;
  given.delete(key);
  return value;
}

/** Keys that no part of the page has taken. */
export const ignored = () => [...given.keys()];

/** Keep this state in the address. */
export function toAddress(state) {
  const known = Object.entries(state).filter(([, value]) => value !== undefined && value !== null && value !== "");
  history.replaceState(null, "", `#${new URLSearchParams(known.map(([key, value]) => [key, JSON.stringify(value)]))}`);
}
