// Examples: rows of an input and its right answer, typed or pasted from a table.

import { button, counted, get, make, say } from "/drawing.js";
import { changed, gateway, onChange } from "/state.js";

let added = 0;

const fieldsOf = (row) => [...row.querySelectorAll("textarea")];
const rows = () => [...get("examples").children];

// All rows as they are typed.
export const typed = () => rows().map((row) => fieldsOf(row).map((field) => field.value));

// Those with an input, as the gateway takes them.
export function examples() {
  const found = typed().map(([input, output]) => ({ input: input.trim(), ...(output.trim() ? { output: output.trim() } : {}) }));
  return found.filter(({ input }) => input);
}

export const solved = () => examples().filter(({ output }) => output !== undefined);

function addRow(input = "", output = "") {
  const number = ++added;
  const field = (name, label, value) =>
    make("p", {}, make("label", { className: "hidden", htmlFor: `${name}-${number}`, textContent: label }),
      make("textarea", { id: `${name}-${number}`, rows: 1, value, placeholder: label, spellcheck: false }));
  const remove = button("Remove", () => {
    row.remove();
    get("add-example").focus();
    changed();
  }, { ariaLabel: `Remove example ${number}`, className: "small" });
  const row = make("li", {}, field("input", "Input", input), field("output", "Right answer", output), remove,
    make("p", { className: "lack soft" }));
  get("examples").append(row);
  return row;
}

export function setExamples(pairs) {
  get("examples").replaceChildren();
  pairs.forEach(([input, output]) => addRow(input, output));
  if (pairs.length) get("examples-box").open = true;
  changed();
}

function addExample() {
  if (rows().length >= gateway.examples) return;
  fieldsOf(addRow())[0].focus();
  changed();
}

// A row with half of an example says so, but not while it is written.
function mark() {
  for (const row of rows()) {
    const [input, output] = fieldsOf(row).map((field) => field.value.trim());
    const lacks = input && !output ? "Without a right answer it is only shown to the model." : !input && output ? "Without an input it is left out." : "";
    const isWritten = row.contains(document.activeElement);
    row.querySelector(".lack").textContent = isWritten ? "" : lacks;
  }
  const number = examples().length;
  const isFull = rows().length >= gateway.examples;
  get("add-example").disabled = isFull;
  get("clear-examples").hidden = !rows().length;
  if (number) get("examples-count").textContent = `(${number}${isFull ? ", as many as there may be" : ""})`;
  else get("examples-count").textContent = "(optional, but only they can show which prompt is better)";
}

// --- tables

// The cells of a table, with quotes as spreadsheets and CSV files have them.
function cells(text, separator) {
  const table = [[""]];
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const row = table.at(-1), sign = text[at];
    if (isQuoted) {
      if (sign !== '"') row[row.length - 1] += sign;
      else if (text[at + 1] === '"') row[row.length - 1] += text[++at];
      else isQuoted = false;
    } else if (sign === '"' && row.at(-1) === "") isQuoted = true;
    else if (sign === separator) row.push("");
    else if (sign === "\n") table.push([""]);
    else if (sign !== "\r") row[row.length - 1] += sign;
  }
  return isQuoted ? [] : table.filter((row) => row.some((cell) => cell.trim()));
}

const HEADS = ["input", "inputs", "text", "question", "output", "answer", "right answer", "label", "expected", "reference"];
const isHead = (row) => row.every((cell) => HEADS.includes(cell.trim().toLowerCase()));

// Where a row has several, in the order of the command line.
const INPUTS = ["input", "inputs"];
const OUTPUTS = ["reference", "output", "outputs", "answer"];
const firstOf = (row, names) => names.find((name) => (row[name] ?? null) !== null);

// A value as the command line shows it to a model: JSON on one line, with a space after each comma and colon.
const asText = (value) => (typeof value === "string" ? value :
  JSON.stringify(value, null, 1).replace(/([[{])\n\s*/g, "$1").replace(/\n\s*([\]}])/g, "$1").replace(/\n\s*/g, " "));

function inputIn(row) {
  const given = row[firstOf(row, INPUTS)] ?? "";
  if (typeof given !== "object" || Array.isArray(given)) return asText(given);
  const values = Object.entries(given);
  return values.length === 1 ? asText(values[0][1]) : values.map(([name, value]) => `${name}: ${asText(value)}`).join("\n");
}

function outputIn(row) {
  const name = firstOf(row, OUTPUTS);
  const right = name === "outputs" && Array.isArray(row.outputs) ? row.outputs[0] : row[name];
  return asText(right ?? "");
}

function ofLines(text) {
  try {
    const found = text.split(/\r?\n/).filter((line) => line.trim()).map((line) => JSON.parse(line));
    const read = found.map((row) => [inputIn(row), outputIn(row)]);
    return read.every(([input]) => input.trim()) ? read : [];
  } catch {
    return [];
  }
}

// Pairs, where a text is a table, and not a text that happens to have commas.
export function pairsIn(text) {
  if (/^\s*\{\s*"/.test(text)) return ofLines(text);
  const tabbed = text.includes("\t") ? cells(text, "\t") : [];
  if (tabbed.length && tabbed.every((row) => row.length > 1)) return pairs(tabbed);
  for (const separator of [",", ";"]) {
    const table = cells(text.trim(), separator);
    if (table.length > 1 && table.every((row) => row.length === 2)) return pairs(table);
  }
  return [];
}

const pairs = (table) =>
  (isHead(table[0].slice(0, 2)) ? table.slice(1) : table).map((row) => row.slice(0, 2).map((cell) => cell.trim()));

function paste(event) {
  const found = pairsIn(event.clipboardData.getData("text/plain"));
  if (!found.length) return;
  event.preventDefault();
  const own = event.target.closest("li");
  if (own && fieldsOf(own).every((field) => !field.value.trim())) own.remove();
  const room = Math.max(0, gateway.examples - rows().length);
  found.slice(0, room).forEach(([input, output]) => addRow(input, output));
  const left = found.length - Math.min(room, found.length);
  say("examples-said", `${counted(found.length - left, "example")} added.` +
    (left ? ` There is no room for the other ${left}: there may be ${gateway.examples}.` : ""), left ? "alert" : "");
  rows().at(-1)?.querySelector("textarea").focus();
  changed();
}

get("add-example").addEventListener("click", addExample);
get("clear-examples").addEventListener("click", () => {
  const before = typed();
  setExamples([]);
  get("add-example").focus();
  say("examples-said", "All are removed. ");
  get("examples-said").append(button("Take them back", () => {
    setExamples(before);
    say("examples-said", "");
  }, { className: "small" }));
});
get("examples-box").addEventListener("toggle", () => {
  if (get("examples-box").open && !rows().length) addRow();
  mark();
});
get("examples").addEventListener("paste", paste);
get("examples").addEventListener("input", changed);
get("examples").addEventListener("focusout", () => setTimeout(mark));
get("examples").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.ctrlKey || event.metaKey || event.isComposing) return;
  const fields = [...get("examples").querySelectorAll("textarea")];
  const next = fields[fields.indexOf(event.target) + 1];
  if (fields.indexOf(event.target) < 0) return; // a button
  event.preventDefault();
  next ? next.focus() : addExample();
});
onChange(mark);

// For those who have none at hand. Rewrites of "sentiment?" make a large difference on them.
export const REVIEWS = [
  ["The film was wonderful.", "positive"], ["I want my money back.", "negative"], ["Best coffee in town!", "positive"],
  ["It broke after two days.", "negative"], ["The staff were rude.", "negative"], ["I would buy it again.", "positive"],
  ["Not worth the price.", "negative"], ["My kids love it.", "positive"], ["It arrived early and works well.", "positive"],
  ["The soup was cold.", "negative"], ["What a lovely hotel.", "positive"], ["Never again.", "negative"],
];
