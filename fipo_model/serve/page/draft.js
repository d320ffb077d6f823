// What was typed outlives a reload of the page, in this tab only.

import { get } from "/drawing.js";
import { setExamples, typed } from "/examples.js";
import { proposalsNow, restoreProposals } from "/proposals.js";
import { restoreRewrite, rewriteNow } from "/rewriting.js";
import { onChange, prompt } from "/state.js";
import { setValues, values } from "/trying.js";

const NAME = "fipo-draft";
const PAUSE = 200; // ms
let timer;

function keep() {
  const draft = {
    prompt: prompt(), examples: typed(), rewrite: rewriteNow(), input: get("input").value,
    values: values(), model: get("model").value, proposals: proposalsNow(),
  };
  try {
    sessionStorage.setItem(NAME, JSON.stringify(draft));
  } catch {
    // There is no room, or the browser does not allow it.
  }
}

export function restore() {
  let draft = null;
  try {
    draft = JSON.parse(sessionStorage.getItem(NAME));
  } catch {
    // As above.
  }
  if (draft) {
    get("prompt").value = draft.prompt;
    get("input").value = draft.input;
    get("model").value = draft.model;
    setValues(draft.values);
    setExamples(draft.examples);
    restoreRewrite(draft.rewrite);
    restoreProposals(draft.proposals);
  }
  onChange(() => {
    clearTimeout(timer);
    timer = setTimeout(keep, PAUSE);
  });
  addEventListener("pagehide", keep);
}
