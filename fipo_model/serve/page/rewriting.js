// The rewrite that was chosen or written, checked while it is edited.

import { ask } from "/asking.js";
import { bringIntoView, drawChanges, drawVerdict, get } from "/drawing.js";
import { examples } from "/examples.js";
import { addOwn } from "/proposals.js";
import { afterTyping, changed, onChange, prompt, rewrite } from "/state.js";

let chosen = ""; // the text as it was before anybody edited it
let checked = null;

const PARTS = ["choosing", "trying", "keeping"];

// What the checks said of the rewrite, and the names of its variables; null until they have.
export const verdict = () => checked;

export const rewriteNow = () => ({ text: rewrite(), chosen, isShown: !get("choosing").hidden });

export function restoreRewrite({ text, chosen: before, isShown }) {
  if (!isShown) return;
  show(text);
  chosen = before;
}

// Nobody's own words are lost when others take their place.
function keepEdit() {
  if (rewrite().trim() && rewrite() !== chosen && rewrite() !== prompt()) addOwn(rewrite());
}

export function chooseRewrite(text, card) {
  if (text !== rewrite()) keepEdit();
  for (const one of document.querySelectorAll(".proposal")) markChosen(one, one === card);
  chosen = text;
  show(text);
  get("rewrite-title").focus({ preventScroll: true });
  bringIntoView(get("choosing"));
}

function show(text) {
  get("rewrite").value = text;
  for (const part of PARTS) get(part).hidden = false;
  changed();
}

export function chooseOwn() {
  chooseRewrite(rewrite() || prompt(), null);
  get("rewrite").focus();
}

function markChosen(card, isChosen) {
  card.classList.toggle("chosen", isChosen);
  const choose = card.querySelector("button");
  Object.assign(choose, { ariaPressed: String(isChosen), textContent: isChosen ? "Chosen" : choose.dataset.words });
}

let seen = "";

const check = afterTyping(async (isLast) => {
  const [before, text] = [prompt(), rewrite()];
  if (!before.trim() || !text.trim()) return;
  let found;
  try {
    found = await ask("/api/check", { prompt: before, text, examples: examples() });
  } catch (error) {
    if (isLast()) Object.assign(get("verdict"), { className: "alert", textContent: error.message });
    return;
  }
  if (!isLast()) return;
  checked = found;
  drawVerdict(get("verdict"), found, { isOwn: true });
  drawChanges(get("changes"), found.changes);
  changed();
});

onChange(() => {
  if (get("choosing").hidden) return;
  const now = JSON.stringify([prompt(), rewrite(), examples()]);
  if (now === seen) return;
  seen = now;
  checked = null;
  check();
});
get("own").addEventListener("click", chooseOwn);
get("rewrite").addEventListener("input", changed);
