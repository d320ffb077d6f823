// Both prompts, tried on one input: the messages are those that a program would send through the gateway.

import { ask, chat, isStop } from "/asking.js";
import { get, make, say } from "/drawing.js";
import { examples } from "/examples.js";
import { verdict } from "/rewriting.js";
import { changed, gateway, onChange, prompt, rewrite } from "/state.js";

export const isRemote = () => gateway.upstream.startsWith("http");

const kept = {}; // values by the names of variables, also of those that are gone for the moment
let names = []; // the prompt's variables
let trying = null;
let shownFor = null; // what the replies are for

export const values = () => Object.fromEntries(Object.entries(kept).filter(([name]) => shownNames().includes(name)));
export const setValues = (given) => Object.assign(kept, given);

// Everything that an answer depends on, besides the input.
export const setup = () => JSON.stringify([prompt(), rewrite(), values(), get("model").value]);

// The same, for work that takes a while: the texts may be edited before it ends, or another rewrite chosen.
export const setupNow = () => ({
  before: prompt(), after: rewrite(), values: values(), model: get("model").value || "default", key: get("key").value,
});

export const messagesFor = ({ before, after, values }, input) => ask("/api/messages", { before, after, input, values });

export async function answerTo({ model, key }, messages, signal, take) {
  return chat({ model, key, messages, signal }, take);
}

const shownNames = () => [...new Set([...names, ...(verdict()?.variables ?? [])])];

export function setVariables(found) {
  names = found;
  changed();
}

function drawValues() {
  const shown = shownNames();
  get("values-box").hidden = !shown.length;
  get("values-hint").textContent = shown.length === 1 ? "Leave it empty, and the input takes its place." : "They are the same for every input.";
  const drawn = [...get("values").querySelectorAll("textarea")].map((field) => field.dataset.name);
  if (JSON.stringify(drawn) === JSON.stringify(shown)) return;
  get("values").replaceChildren(...shown.map((name, place) => {
    const field = make("textarea", { id: `value-${place}`, rows: 1, value: kept[name] ?? "", spellcheck: false });
    field.dataset.name = name;
    field.addEventListener("input", () => {
      kept[name] = field.value;
      changed();
    });
    return make("p", {}, make("label", { htmlFor: field.id, textContent: name }), field);
  }));
}

function tellWhatIsSent() {
  const [only, ...more] = shownNames();
  const takesPlace = only !== undefined && !more.length && !kept[only]?.trim();
  const how = takesPlace ? `The input takes the place of ${only}.` :
    gateway.roles.includes("system") ? "The prompt is sent as the system message, and the input as the user's message." :
    "The prompt and the input are sent as one message of the user's.";
  get("sent").textContent = `${how} ${gateway.upstream} answers.`;
}

function drawPicks() {
  const inputs = examples().map(({ input }) => input);
  get("pick-box").hidden = !inputs.length;
  const texts = inputs.map((input) => input.slice(0, 80));
  const drawn = [...get("pick").options].slice(1).map((option) => option.textContent);
  if (JSON.stringify(drawn) === JSON.stringify(texts)) return;
  get("pick").replaceChildren(make("option", { value: "", textContent: "choose one" }),
    ...texts.map((text, place) => make("option", { value: place, textContent: text })));
}

export async function tryBoth() {
  trying?.abort();
  const own = (trying = new AbortController());
  const [given, input] = [setupNow(), get("input").value];
  get("replies").hidden = false;
  for (const place of ["before", "after", "before-end", "after-end"]) get(place).textContent = "";
  shownFor = JSON.stringify([setup(), input]);
  changed();
  get("stop-try").hidden = false;
  say("tried", `${gateway.upstream} is answering …`, "busy");
  try {
    const sent = await messagesFor(given, input);
    const ends = await Promise.allSettled(["before", "after"].map((place) => answer(place, given, sent[place], own.signal)));
    if (own !== trying) return;
    const failed = ends.filter((end) => end.status === "rejected").map((end) => end.reason);
    const reasons = [...new Set(failed.map((error) => (isStop(error) ? "Stopped." : error.message)))];
    say("tried", reasons.join(" ") || "Both replies are there.", failed.some((error) => !isStop(error)) ? "alert" : "");
  } catch (error) {
    if (own === trying) say("tried", error.message, "alert");
  }
  if (own === trying) get("stop-try").hidden = true;
}

async function answer(place, given, messages, signal) {
  const box = get(place);
  try {
    const end = await answerTo(given, messages, signal, (piece) => box.append(piece));
    get(`${place}-end`).textContent = end || (box.textContent ? "" : "The reply is empty.");
  } catch (error) {
    get(`${place}-end`).textContent = isStop(error) ? "Stopped before its end." : "Not complete.";
    throw error;
  }
}

function greyOut() {
  const isStale = shownFor !== null && shownFor !== JSON.stringify([setup(), get("input").value]);
  get("stale-replies").hidden = !isStale;
  get("replies").classList.toggle("stale", isStale);
}

get("try").addEventListener("submit", (event) => {
  event.preventDefault();
  tryBoth();
});
get("connection").addEventListener("submit", (event) => event.preventDefault());
get("stop-try").addEventListener("click", () => trying?.abort());
get("pick").addEventListener("change", () => {
  const picked = examples()[Number(get("pick").value)];
  if (get("pick").value !== "" && picked) get("input").value = picked.input;
  changed();
});
for (const place of ["input", "model"]) get(place).addEventListener("input", changed);
onChange(() => {
  drawValues();
  drawPicks();
  tellWhatIsSent();
  greyOut();
});
