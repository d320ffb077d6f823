// Elements from data. Texts are only ever set as texts.

export const get = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Marks are counted in characters; JavaScript's strings count some of them twice.
export function drawMarks(box, text, marks) {
  const characters = Array.from(text);
  const pieces = [];
  let at = 0;
  for (const { start, end, kind } of marks) {
    if (start < at || start === end) continue;
    pieces.push(characters.slice(at, start).join(""));
    pieces.push(make("mark", { title: kind }, characters.slice(start, end).join("")));
    at = end;
  }
  box.replaceChildren(...pieces, characters.slice(at).join(""), "\n");
}

export function drawKeeps(list, marks) {
  const kinds = new Map();
  for (const { kind, text } of marks) kinds.set(text, (kinds.get(text) ?? new Set()).add(kind));
  list.replaceChildren(...[...kinds].map(([text, own]) =>
    make("li", {}, make("b", { textContent: text }), " ", make("span", { textContent: [...own].join(", ") }))));
}

const TAGS = { "+": "ins", "-": "del" };

export function drawChanges(box, changes) {
  box.replaceChildren(...changes.map(([kind, text]) =>
    kind === "=" ? text : make(TAGS[kind], {}, spoken(kind === "+" ? "added: " : "removed: "), text)));
}

// Screen readers pass over ins and del.
const spoken = (text) => make("span", { className: "hidden", textContent: text });

export function drawVerdict(box, { outcome, words, detail }) {
  const kind = { optimized: "good", unchanged: "" }[outcome] ?? "bad";
  const said = outcome === "optimized" ? "Passes every check" : outcome === "unchanged" ? "Your prompt as it is" : capital(words);
  box.className = `verdict ${kind}`;
  box.textContent = kind === "bad" && detail ? `${said} (${detail})` : said;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
