// Elements from data. Texts are only ever set as texts.

export const get = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function button(text, act, properties = {}) {
  const made = make("button", { type: "button", textContent: text, ...properties });
  made.addEventListener("click", act);
  return made;
}

export function say(place, text, kind = "") {
  get(place).textContent = text;
  get(place).className = `soft ${kind}`;
}

export const counted = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

// Scrolls as far as needed, for those who would not see that something happened.
export function bringIntoView(element) {
  const { top, bottom } = element.getBoundingClientRect();
  if (top < 0 || Math.min(bottom, top + 120) > innerHeight) element.scrollIntoView({ block: "start" });
}

// Marks are counted in characters; JavaScript's strings count some of them twice.
export function drawMarks(box, text, marks) {
  const characters = Array.from(text);
  const pieces = [];
  let at = 0;
  for (const { start, end, kind } of marks) {
    if (start < at || start === end) continue;
    pieces.push(characters.slice(at, start).join(""));
    pieces.push(make("mark", { title: named(kind) }, characters.slice(start, end).join("")));
    at = end;
  }
  box.replaceChildren(...pieces, characters.slice(at).join(""), "\n");
}

// The contract's words for kinds, where others are plainer.
const PLAIN = { bound: "limit", negation: "rule", manner: "style", task: "what to do", quotation: "quoted", token: "sign" };
const named = (kind) => PLAIN[kind] || kind;
const MOST_CHIPS = 24;

export function drawKeeps(list, more, marks) {
  const kinds = new Map();
  for (const { kind, text } of marks) kinds.set(text, (kinds.get(text) ?? new Set()).add(named(kind)));
  const chips = [...kinds].map(([text, own]) =>
    make("li", {}, make("b", { textContent: text }), " ", make("span", { textContent: [...own].join(", ") })));
  list.replaceChildren(...chips.slice(0, MOST_CHIPS));
  more.hidden = chips.length <= MOST_CHIPS;
  more.textContent = `Show ${chips.length - MOST_CHIPS} more`;
  more.onclick = () => {
    list.replaceChildren(...chips);
    more.hidden = true;
  };
}

const TAGS = { "+": "ins", "-": "del" };

export function drawChanges(box, changes) {
  box.replaceChildren(...changes.map(([kind, text]) =>
    kind === "=" ? text : make(TAGS[kind], {}, spoken(kind === "+" ? "added: " : "removed: "), text)));
}

// Screen readers pass over ins and del.
export const spoken = (text) => make("span", { className: "hidden", textContent: text });

// A model's proposal is turned down; a person's own words differ.
export function drawVerdict(box, found, { isOwn = false } = {}) {
  const { outcome, fault, unchecked } = found;
  const left = unchecked.length ? `. Could not be checked: ${unchecked.join(", ")}` : "";
  const [kind, text] =
    outcome === "optimized" ? ["good", `${found.is_by_rule ? "Your prompt, and what a rule reads off your right answers" : "Keeps all that must survive"}${left}`]
    : outcome === "unchanged" ? ["", "Your prompt as it is"]
    : outcome === "uncertain" ? ["unsure", "The model is not sure of this one. Read it, or try it on examples."]
    : isOwn ? ["unsure", `Differs from your prompt: the rewrite ${fault}`]
    : ["bad", `Turned down: it ${fault}`];
  box.className = `verdict ${kind}`;
  box.textContent = text;
}
