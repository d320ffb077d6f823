// The model's proposals as they arrive, and what became of them when the prompt changes.

import { ask, isStop, objects, post } from "/asking.js";
import { bringIntoView, button, drawChanges, drawVerdict, get, make, say } from "/drawing.js";
import { examples } from "/examples.js";
import { chooseRewrite } from "/rewriting.js";
import { changed, onChange, prompt, replacePrompt } from "/state.js";

let proposing = null;
let askedFor = null; // the prompt that the proposals are for
let found = [];
let isWhole = false; // whether the search came to its end

export async function propose() {
  if (get("propose").disabled) return;
  if (!prompt().trim()) {
    say("progress", "Write a prompt first.", "alert");
    get("prompt").focus();
    return;
  }
  proposing?.abort();
  const own = (proposing = new AbortController());
  clear(prompt());
  say("progress", "The model is writing …", "busy");
  get("stop").hidden = false;
  bringIntoView(get("proposing"));
  try {
    const response = await post("/api/propose", { prompt: askedFor, examples: examples() }, { signal: own.signal });
    for await (const one of objects(response)) {
      if (one.error) throw new Error(one.error);
      if (one.waiting) say("progress", "The model is still at other work, so this takes longer …", "busy");
      else if (one.end) isWhole = true;
      else add(one);
    }
    if (!isWhole) throw new Error("The search broke off before its end.");
    tellEnd();
  } catch (error) {
    if (own === proposing) say("progress", isStop(error) ? `Stopped: ${counts()}.` : error.message, isStop(error) ? "" : "alert");
  }
  if (own !== proposing) return;
  proposing = null;
  get("stop").hidden = true;
  changed();
}

function clear(text) {
  askedFor = text;
  found = [];
  isWhole = false;
  get("steps").hidden = true;
  get("refused-box").open = false;
  for (const card of get("proposing").querySelectorAll(".proposal:not(.mine)")) card.remove();
  get("refused-box").hidden = true;
  get("own").hidden = false;
  greyOut();
}

const isGood = (one) => one.outcome === "optimized";
const isUnsure = (one) => one.outcome === "uncertain";
const isBad = (one) => !isGood(one) && !isUnsure(one) && one.outcome !== "unchanged";

function add(one) {
  found.push(one);
  if (one.outcome !== "unchanged") get(isBad(one) ? "refused" : "proposals").append(cardOf(one));
  get("refused-box").hidden = !found.some(isBad);
  get("refused-title").textContent = `Turned down (${found.filter(isBad).length})`;
  say("progress", `${counts()}; the model is writing …`, "busy");
  changed();
}

function cardOf(one) {
  const verdict = make("p");
  drawVerdict(verdict, one);
  const text = make("p", { className: "text" });
  drawChanges(text, shortened(one.changes));
  const card = make("li", { className: "proposal" }, verdict, text);
  const words = isGood(one) ? "Choose this" : "Use anyway";
  const choose = button(words, () => chooseRewrite(one.text, card), { ariaPressed: "false" });
  choose.dataset.words = words;
  card.append(make("p", { className: "actions" }, choose));
  return card;
}

const LONG = 160, SHOWN = 70;

// What stayed is only hinted at where it is long.
function shortened(changes) {
  return changes.map(([kind, text]) => {
    const characters = Array.from(text);
    if (kind !== "=" || characters.length <= LONG) return [kind, text];
    return [kind, `${characters.slice(0, SHOWN).join("")} … ${characters.slice(-SHOWN).join("")}`];
  });
}

function counts() {
  const [good, unsure, bad] = [isGood, isUnsure, isBad].map((is) => found.filter(is).length);
  return [`${good} to choose from`, unsure && `${unsure} that the model is not sure of`, bad && `${bad} turned down`]
    .filter(Boolean).join(", ");
}

function tellEnd() {
  if (found.some(isGood)) return say("progress", `${counts()}.`);
  const asItIs = found.some((one) => one.outcome === "unchanged") ? "The model would leave your prompt as it is" : "The model has nothing that passes";
  const next = found.some(isUnsure) ? "You can use one that it is not sure of, and let your examples decide." :
    found.some(isBad) ? "You can use one that was turned down, if you see that it is right." : "Say what the answer should look like, give examples, or write your own.";
  say("progress", `${asItIs} (${counts()}). ${next}`);
  get("refused-box").open = !found.some(isUnsure) && found.some(isBad);
}

// Proposals for another prompt say so, and cannot be chosen.
function greyOut() {
  const isStale = askedFor !== null && askedFor !== prompt() && get("proposing").querySelector(".proposal:not(.mine)") !== null;
  get("stale-proposals").hidden = !isStale;
  for (const list of [get("proposals"), get("refused-box")]) list.classList.toggle("stale", isStale);
  for (const each of get("proposing").querySelectorAll(".proposal:not(.mine) button")) each.disabled = isStale;
}

// A text of the user's own, kept among the proposals when another takes its place.
export function addOwn(text) {
  const mine = [...get("proposals").querySelectorAll(".mine")].find((card) => card.dataset.text === text);
  if (mine) return;
  const words = make("p", { className: "text", textContent: text });
  const card = make("li", { className: "proposal mine" }, make("p", { className: "verdict", textContent: "Your own edit, kept" }), words);
  card.dataset.text = text;
  const choose = button("Choose this", () => chooseRewrite(text, card), { ariaPressed: "false" });
  choose.dataset.words = "Choose this";
  card.append(make("p", { className: "actions" }, choose));
  get("proposals").prepend(card);
  ask("/api/check", { prompt: prompt(), text }).then(({ changes }) => drawChanges(words, shortened(changes))).catch(() => {});
}

export const proposalsNow = () => ({
  askedFor, found, isWhole,
  mine: [...get("proposals").querySelectorAll(".mine")].map((card) => card.dataset.text),
});

export function restoreProposals(kept) {
  if (kept.askedFor === null) return;
  clear(kept.askedFor);
  kept.found.forEach(add);
  kept.mine.forEach(addOwn);
  isWhole = kept.isWhole;
  if (isWhole) tellEnd();
  else say("progress", `${counts()}. The search was cut short.`);
  greyOut();
}

get("propose").addEventListener("click", propose);
get("stop").addEventListener("click", () => proposing?.abort());
get("back").addEventListener("click", () => replacePrompt(askedFor));
onChange(greyOut);
