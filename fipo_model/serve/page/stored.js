// What the store has: for the prompt on the page, and in all.

import { ask, send } from "/asking.js";
import { button, counted, drawChanges, get, make, say } from "/drawing.js";
import { chooseRewrite } from "/rewriting.js";
import { gateway, prompt, replacePrompt } from "/state.js";

const STATES = {
  approved: "approved, and used",
  pending: "made by the gateway, not reviewed",
  rejected: "rejected, and not used",
};
const KNOWN = {
  approved: "A rewrite for this prompt is saved, and the gateway uses it.",
  pending: "The gateway has made a rewrite for this prompt. Nobody has reviewed it.",
  rejected: "A rewrite for this prompt was rejected. The gateway sends your prompt as it is.",
};

let known = null;

export function showKnown(found) {
  known = found && found.text !== found.naive ? found : null;
  get("known").hidden = !known;
  if (known) get("known-text").textContent = KNOWN[known.state];
}

const dateOf = (at) => (at ? new Date(at).toLocaleDateString() : "");

export async function drawList() {
  if (!gateway.has_store) return;
  if (prompt().trim()) ask("/api/commitments", { text: prompt() }).then(({ stored }) => showKnown(stored)).catch(() => {});
  try {
    const found = await (await send("/api/rewrites")).json();
    get("storing").hidden = !found.all;
    get("stored-title").textContent = `Saved rewrites (${found.all})`;
    const left = found.all - found.rewrites.length;
    say("stored-said", left > 0 ? `The last ${found.rewrites.length} are shown.` : "");
    get("stored").replaceChildren(...found.rewrites.map(rowOf));
  } catch (error) {
    say("stored-said", error.message, "alert");
  }
}

function rowOf(entry) {
  const text = make("p", { className: "text" });
  drawChanges(text, entry.changes);
  const told = [STATES[entry.state], dateOf(entry.at), entry.evidence].filter(Boolean).join("; ");
  const isRejected = entry.state === "rejected";
  const actions = [button("Open", () => open(entry), { className: "small" })];
  if (gateway.store) {
    if (entry.state !== "approved") actions.push(button("Approve", () => decide(entry, "approved"), { className: "small" }));
    if (!isRejected) actions.push(button("Reject", () => decide(entry, "rejected"), { className: "small" }));
  }
  return make("li", { className: `proposal ${isRejected ? "stale" : ""}` }, make("p", { className: "soft", textContent: told }), text,
    make("p", { className: "actions" }, ...actions));
}

function open(entry) {
  replacePrompt(entry.naive);
  chooseRewrite(entry.text, null);
}

async function decide(entry, state) {
  try {
    await ask("/api/decide", { key: entry.key, state });
    await drawList();
    say("stored-said", state === "rejected" ? "Rejected: the gateway sends the prompt as it is. You can approve it again." : "Approved: the gateway uses it.");
  } catch (error) {
    say("stored-said", error.message, "alert");
  }
}

get("show-known").addEventListener("click", () => known && chooseRewrite(known.text, null));
get("stored-box").addEventListener("toggle", () => get("stored-box").open && drawList());
