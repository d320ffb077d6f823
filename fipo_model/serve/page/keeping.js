// Saving, copying and exporting the rewrite, and where a saved one is used.

import { ask } from "/asking.js";
import { get, say } from "/drawing.js";
import { countedNow } from "/evidence.js";
import { examples } from "/examples.js";
import { verdict } from "/rewriting.js";
import { drawList } from "/stored.js";
import { gateway, onChange, prompt, rewrite } from "/state.js";

let saidFor = "";

function tell(text, kind) {
  say("saved", text, kind);
  get("undo").hidden = true;
  saidFor = JSON.stringify([prompt(), rewrite()]);
}

// Does something, and says how it went.
const attempt = (act) => async () => {
  try {
    await act();
  } catch (error) {
    tell(error.message, "alert");
  }
};

async function save() {
  const asked = { prompt: prompt(), text: rewrite(), examples: examples(), counted: countedNow() };
  const { store, before, stored } = await ask("/api/save", asked);
  const isNew = !before || before.naive === before.text;
  const isSame = before?.text === stored.text;
  if (isNew) tell(`Saved in ${store}.`, "good");
  else tell(isSame ? `It was in ${store} already. It is approved now.` : `Saved in ${store}, in place of an earlier rewrite.`, "good");
  if (!isSame) offerUndo(stored.key, isNew ? null : before);
  drawList();
}

function offerUndo(key, before) {
  const undo = before ? { key, state: before.state, text: before.text, evidence: before.evidence } : { key, state: "rejected" };
  get("undo").textContent = before ? "Go back to the earlier one" : "Stop using it";
  get("undo").hidden = false;
  get("undo").onclick = attempt(async () => {
    await ask("/api/decide", undo);
    tell(before ? "The earlier rewrite is back." : "It is no longer used. Your prompt is sent as it is.", "");
    drawList();
  });
}

async function copy() {
  try {
    await navigator.clipboard.writeText(rewrite());
    tell("Copied.", "good");
  } catch {
    get("rewrite").select();
    tell("The browser does not let this page copy. The text is selected: press Ctrl+C.", "alert");
  }
}

async function exportRewrite() {
  const asked = { prompt: prompt(), text: rewrite(), examples: examples(), form: get("format").value };
  const { name, content } = await ask("/api/export", asked);
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(new Blob([content], { type: "text/plain" })), download: name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  tell(`${name} is in your downloads.`, "good");
}

const MEANT = { system: "the system message", user: "the user's last message" };

function tellWhere() {
  const variables = verdict()?.prompt_variables ?? [];
  const roles = gateway.roles.map((role) => MEANT[role]).join(" or ");
  get("where").textContent = `A saved rewrite is used for programs that send their chats to ${location.origin}/v1 ` +
    `(instead of to ${gateway.upstream}): where ${roles} is exactly your prompt, the rewrite takes its place. ` +
    (variables.length ? `Most programs fill in ${variables.join(", ")} before they send, and then it is another text. For those, copy or export the rewrite instead.` : "For other programs, copy or export it.");
}

onChange(() => {
  tellWhere();
  const found = verdict();
  const differs = found && !["optimized", "unchanged"].includes(found.outcome);
  get("save").textContent = differs ? "Save anyway" : "Save";
  if (saidFor && saidFor !== JSON.stringify([prompt(), rewrite()])) {
    saidFor = "";
    say("saved", "");
    get("undo").hidden = true;
  }
});
get("save").addEventListener("click", attempt(save));
get("copy").addEventListener("click", copy);
get("export").addEventListener("click", attempt(exportRewrite));
