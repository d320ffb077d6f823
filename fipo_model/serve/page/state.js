// What several parts of the page need to know: the texts, and what the gateway can do.

import { get } from "/drawing.js";

export const gateway = { upstream: "", rewriter: null, roles: ["system"], store: null, examples: 100 };

export const prompt = () => get("prompt").value;
export const rewrite = () => get("rewrite").value;

const listeners = [];

// Calls whenever a text of the user's has changed.
export const onChange = (listener) => listeners.push(listener);
export const changed = () => listeners.forEach((listener) => listener());

const PAUSE = 300; // ms without a key before a text is looked at

// Calls after the typing has paused; of several answers only the last one's counts.
export function afterTyping(look) {
  let timer, turn = 0;
  return () => {
    clearTimeout(timer);
    const own = ++turn;
    timer = setTimeout(() => look(() => own === turn).catch((error) => console.warn(error.message)), PAUSE);
  };
}

// Another text in place of the prompt. The former one can be had back.
let former = "";

export function replacePrompt(text) {
  if (text === prompt()) return;
  former = prompt();
  get("prompt").value = text;
  get("prompt").dispatchEvent(new Event("input"));
  get("former-box").hidden = !former.trim();
}

get("former").addEventListener("click", () => {
  replacePrompt(former);
  get("prompt").focus();
});
