// The page: a prompt, its proposals, the one that is chosen, and both of them tried.

import { objects, post, replyOf, send } from "/asking.js";
import { drawChanges, drawKeeps, drawMarks, drawVerdict, get, make } from "/drawing.js";

const PAUSE = 300; // ms without a key before a text is looked at
const stopped = (error) => error.name === "AbortError";

// Calls after the typing has paused; of several answers only the last one's counts.
function afterTyping(look) {
  let timer, turn = 0;
  return () => {
    clearTimeout(timer);
    const own = ++turn;
    timer = setTimeout(() => look(() => own === turn).catch((error) => console.warn(error.message)), PAUSE);
  };
}

const prompt = () => get("prompt").value;
const rewrite = () => get("rewrite").value;

function examples() {
  const rows = [...get("examples").children].map((row) => {
    const [input, output] = [...row.querySelectorAll("input")].map((field) => field.value.trim());
    return { input, ...(output ? { output } : {}) };
  });
  return rows.filter((row) => row.input);
}

// --- the prompt

const showKeeps = afterTyping(async (isLast) => {
  const text = prompt();
  const { commitments } = text.trim() ? await (await post("/api/commitments", { text })).json() : { commitments: [] };
  if (!isLast()) return;
  drawMarks(get("backdrop"), text, commitments);
  drawKeeps(get("keeps"), commitments);
  get("keeps-box").hidden = !commitments.length;
});

let added = 0;

function addExample() {
  const number = ++added;
  const field = (name, label) =>
    make("p", {}, make("label", { htmlFor: `${name}-${number}`, textContent: label }), make("input", { id: `${name}-${number}` }));
  const remove = make("button", { type: "button", textContent: "Remove", ariaLabel: `Remove example ${number}` });
  const row = make("li", {}, field("input", "Input"), field("output", "Right answer"), remove);
  remove.addEventListener("click", () => {
    row.remove();
    get("add-example").focus();
  });
  get("examples").append(row);
  row.querySelector("input").focus();
}

// --- proposals

let proposing = null;

async function propose() {
  if (!prompt().trim()) {
    say("progress", "Write a prompt first.", "alert");
    get("prompt").focus();
    return;
  }
  proposing?.abort();
  const own = (proposing = new AbortController());
  const asked = { prompt: prompt(), examples: examples() };
  clearProposals();
  say("progress", "The model is writing …", "busy");
  get("stop").hidden = false;
  try {
    const response = await post("/api/propose", asked, { signal: own.signal });
    for await (const found of objects(response)) {
      if (found.error) throw new Error(found.error);
      if (!found.end) addProposal(found);
    }
    tellCounts(true);
  } catch (error) {
    if (own === proposing) say("progress", stopped(error) ? "Stopped." : error.message, stopped(error) ? "" : "alert");
  }
  if (own === proposing) get("stop").hidden = true;
}

function clearProposals() {
  get("steps").hidden = true;
  get("proposals").replaceChildren();
  get("refused").replaceChildren();
  get("refused-box").hidden = true;
  get("own").hidden = false;
}

function addProposal(found) {
  const isGood = found.outcome === "optimized";
  const verdict = make("p");
  drawVerdict(verdict, found);
  const text = make("p", { className: "text" });
  drawChanges(text, found.changes);
  const card = make("li", { className: "proposal" }, verdict, text);
  if (isGood) {
    const choose = make("button", { type: "button", textContent: "Choose this", ariaPressed: "false" });
    choose.addEventListener("click", () => chooseRewrite(found.text, card));
    card.append(make("p", { className: "actions" }, choose));
  }
  get(isGood || found.outcome === "unchanged" ? "proposals" : "refused").append(card);
  get("refused-box").hidden = !get("refused").children.length;
  get("refused-title").textContent = `Turned down (${get("refused").children.length})`;
  tellCounts(false);
}

function tellCounts(isEnd) {
  const good = get("proposals").querySelectorAll("button").length;
  const bad = get("refused").children.length;
  const counted = `${good} to choose from${bad ? `, ${bad} turned down` : ""}`;
  if (!isEnd) say("progress", `${counted}; the model is writing …`, "busy");
  else if (good) say("progress", `${counted}.`);
  else say("progress", `The model has nothing better${bad ? ` that passes (${bad} turned down)` : ""}. Keep your prompt, or write your own.`);
  if (isEnd && !good && bad) get("refused-box").open = true;
}

// --- the rewrite

function chooseRewrite(text, card) {
  for (const one of document.querySelectorAll(".proposal")) markChosen(one, one === card);
  get("rewrite").value = text;
  get("choosing").hidden = get("trying").hidden = false;
  say("saved", "");
  checkRewrite();
  get("rewrite-title").focus({ preventScroll: true });
  get("choosing").scrollIntoView({ behavior: "smooth", block: "nearest" });
}

function markChosen(card, isChosen) {
  card.classList.toggle("chosen", isChosen);
  const button = card.querySelector("button");
  if (button) Object.assign(button, { ariaPressed: String(isChosen), textContent: isChosen ? "Chosen" : "Choose this" });
}

const checkRewrite = afterTyping(async (isLast) => {
  const [before, text] = [prompt(), rewrite()];
  if (!before.trim() || !text.trim()) return;
  const found = await (await post("/api/check", { prompt: before, text, examples: examples() })).json();
  if (!isLast()) return;
  drawVerdict(get("verdict"), found);
  if (found.outcome === "optimized" && found.unchecked.length) {
    get("verdict").append(`. Could not be checked: ${found.unchecked.join(", ")}`);
  }
  drawChanges(get("changes"), found.changes);
});

async function save() {
  try {
    const { store } = await (await post("/api/save", { prompt: prompt(), text: rewrite(), examples: examples() })).json();
    say("saved", `Saved in ${store}. The gateway uses it for this prompt from now on.`, "good");
  } catch (error) {
    say("saved", error.message, "alert");
  }
}

async function copy() {
  try {
    await navigator.clipboard.writeText(rewrite());
    say("saved", "Copied.", "good");
  } catch {
    get("rewrite").select();
    say("saved", "The browser does not let this page copy. The text is selected: press Ctrl+C.", "alert");
  }
}

async function exportRewrite() {
  const asked = { prompt: prompt(), text: rewrite(), examples: examples(), form: get("format").value };
  try {
    const { name, content } = await (await post("/api/export", asked)).json();
    const link = make("a", { href: URL.createObjectURL(new Blob([content], { type: "text/plain" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    say("saved", `${name} is in your downloads.`, "good");
  } catch (error) {
    say("saved", error.message, "alert");
  }
}

// --- both, tried

const VARIABLE = /\{\{?\s*[A-Za-z_]\w*\s*\}?\}/g;

// As `fipo tune` fills a prompt: in the place of its only variable, or behind it.
function filled(text, input) {
  const names = new Set((text.match(VARIABLE) || []).map((one) => one.replace(/[{}\s]/g, "")));
  if (!input.trim()) return text;
  return names.size === 1 ? text.replace(VARIABLE, () => input) : `${text}\n\n${input}`;
}

let trying = null;

async function tryBoth() {
  trying?.abort();
  const own = (trying = new AbortController());
  say("tried", "The upstream is answering …", "busy");
  const ends = await Promise.allSettled([
    answer("before", prompt(), own.signal),
    answer("after", rewrite(), own.signal),
  ]);
  if (own !== trying) return;
  const failed = ends.find((end) => end.status === "rejected");
  say("tried", failed ? failed.reason.message : "Both replies are there.", failed ? "alert" : "");
}

async function answer(place, text, signal) {
  const box = get(place);
  box.textContent = "";
  const key = get("key").value;
  const fields = {
    model: get("model").value || "default",
    messages: [{ role: "user", content: filled(text, get("input").value) }],
    stream: true,
  };
  const headers = { "x-fipo": "off", ...(key ? { authorization: `Bearer ${key}` } : {}) };
  const response = await post("/v1/chat/completions", fields, { signal, headers });
  for await (const piece of replyOf(response)) box.append(piece);
  if (!box.textContent) box.append("(nothing)");
}

// --- the beginning

function say(place, text, kind = "") {
  get(place).textContent = text;
  get(place).className = `soft ${kind}`;
}

async function begin() {
  const state = await (await send("/api/state")).json();
  const writer = state.rewriter ? `Rewrites with ${state.rewriter}` : "Uses the rewrites in its store";
  get("about").textContent = `${writer}, in front of ${state.upstream}. Rewrites that lose or invent something are turned down.`;
  get("upstream").textContent = `Both are sent to ${state.upstream} as they are.`;
  get("propose").disabled = !state.rewriter;
  get("save").disabled = !state.store;
  if (!state.store) get("save").title = "Start the gateway with --store FILE to save";
  if (!state.rewriter) chooseOwn();
  const models = await send("/v1/models").then((response) => response.json()).catch(() => ({}));
  const names = Array.isArray(models.data) ? models.data.map((model) => model.id).filter(Boolean) : [];
  get("models").replaceChildren(...names.map((name) => make("option", { value: name })));
  get("model").value ||= names[0] || "";
}

const chooseOwn = () => chooseRewrite(rewrite() || prompt(), null);

function onKey(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    event.target.closest("#trying") ? tryBoth() : propose();
  }
}

for (const start of document.querySelectorAll(".start")) {
  start.addEventListener("click", () => {
    get("prompt").value = start.textContent;
    get("prompt").dispatchEvent(new Event("input"));
    get("prompt").focus();
  });
}
get("prompt").addEventListener("input", () => {
  get("starts").hidden = prompt() !== "";
  drawMarks(get("backdrop"), prompt(), []);
  showKeeps();
  if (!get("choosing").hidden) checkRewrite();
});
get("prompt").addEventListener("scroll", () => (get("backdrop").scrollTop = get("prompt").scrollTop));
get("add-example").addEventListener("click", addExample);
get("propose").addEventListener("click", propose);
get("stop").addEventListener("click", () => proposing?.abort());
get("own").addEventListener("click", () => {
  chooseOwn();
  get("rewrite").focus();
});
get("rewrite").addEventListener("input", () => {
  say("saved", "");
  checkRewrite();
});
get("save").addEventListener("click", save);
get("copy").addEventListener("click", copy);
get("export").addEventListener("click", exportRewrite);
get("try").addEventListener("submit", (event) => {
  event.preventDefault();
  tryBoth();
});
document.addEventListener("keydown", onKey);
if (prompt()) get("prompt").dispatchEvent(new Event("input")); // the browser remembers what was typed before a reload
begin().catch((error) => say("progress", `The gateway cannot be reached: ${error.message}`, "alert"));
