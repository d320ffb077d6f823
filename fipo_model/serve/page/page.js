// The page: a prompt, its proposals, the one that is chosen, both of them tried, and the better one kept.

import { ask, send } from "/asking.js";
import { drawKeeps, drawMarks, get, make, say } from "/drawing.js";
import { restore } from "/draft.js";
import "/evidence.js";
import { setExamples, REVIEWS, typed } from "/examples.js";
import "/keeping.js";
import { propose } from "/proposals.js";
import { chooseOwn } from "/rewriting.js";
import { afterTyping, changed, gateway, prompt } from "/state.js";
import { drawList, showKnown } from "/stored.js";
import { isRemote, setVariables, tryBoth } from "/trying.js";

const NONE = { commitments: [], variables: [], stored: null };

const look = afterTyping(async (isLast) => {
  const text = prompt();
  let found = NONE;
  try {
    if (text.trim()) found = await ask("/api/commitments", { text });
    if (isLast() && get("progress").dataset.isAboutLooking) say("progress", "");
    delete get("progress").dataset.isAboutLooking;
  } catch (error) {
    if (!isLast()) return;
    say("progress", error.message, "alert");
    get("progress").dataset.isAboutLooking = "yes";
  }
  if (!isLast()) return;
  drawMarks(get("backdrop"), text, found.commitments);
  drawKeeps(get("keeps"), get("all-keeps"), found.commitments);
  get("backdrop").scrollTop = get("prompt").scrollTop;
  get("keeps-box").hidden = !found.commitments.length;
  get("keeps-box").classList.remove("stale");
  showKnown(found.stored);
  setVariables(found.variables);
});

function onPrompt() {
  get("starts").hidden = prompt() !== "";
  drawMarks(get("backdrop"), prompt(), []);
  get("keeps-box").classList.add("stale");
  get("known").hidden = true;
  look();
  changed();
}

async function begin() {
  Object.assign(gateway, await (await send("/api/state")).json());
  if (gateway.rewriter) {
    get("about").textContent = `${gateway.rewriter} rewrites your prompt, and FIPO checks that nothing in it gets lost. ${gateway.upstream} answers when you try it.`;
  } else {
    get("about").textContent = `Uses the rewrites in its store. ${gateway.upstream} answers when you try them.`;
    get("no-rewriter").hidden = false;
    get("steps").hidden = true;
    say("progress", "There is no model to propose rewrites. Those that are saved can be tried, below.");
  }
  get("propose").disabled = !gateway.rewriter;
  get("save").disabled = !gateway.store;
  get("no-store").hidden = Boolean(gateway.store);
  get("connection").hidden = !isRemote();
  restore();
  if (prompt()) onPrompt(); // the browser, too, remembers what was typed before a reload
  if (!gateway.rewriter) chooseOwn();
  changed();
  drawList();
  if (isRemote()) await offerModels();
}

async function offerModels() {
  const models = await send("/v1/models").then((response) => response.json()).catch(() => ({}));
  const names = Array.isArray(models.data) ? models.data.map((model) => model.id).filter(Boolean) : [];
  get("models").replaceChildren(...names.map((name) => make("option", { value: name })));
  get("model").value ||= names[0] || "";
  changed();
}

for (const start of document.querySelectorAll(".start")) {
  start.addEventListener("click", () => {
    get("prompt").value = start.dataset.prompt;
    if (start.dataset.examples && !typed().length) setExamples(REVIEWS);
    onPrompt();
    get("prompt").focus();
  });
}
get("prompt").addEventListener("input", onPrompt);
get("prompt").addEventListener("scroll", () => (get("backdrop").scrollTop = get("prompt").scrollTop));
get("propose").addEventListener("click", look); // after a time without the gateway
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  event.target.closest("#trying") ? tryBoth() : propose();
});
begin().catch((error) => say("progress", error.message, "alert"));
