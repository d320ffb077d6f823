
"use strict";
// A list that is searched, filtered, ordered and paged through. The script after this one says what its items are.
const STEP = 20;
const WAIT_MS = 120;
const LONG = 600;
const at = (id) => document.getElementById(id);
const shared = JSON.parse(at("page-data").textContent);

// Texts are only ever set as text, so that nothing in a prompt, or that a model wrote, becomes an element.
function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

// Long texts scroll, which must work with the keyboard too; the others are no stops on its way.
function textOf(parts, className) {
  const text = make("div", undefined, className ? `text ${className}` : "text");
  text.dir = "auto";
  text.append(...parts);
  if (text.textContent.length > LONG) text.tabIndex = 0;
  return text;
}

function option(value, text) {
  const element = make("option", text);
  element.value = value;
  return element;
}

// `item(one)` makes the content of a list's entry, below its title; `texts(one)` are what a search looks through.
// `rank(one)` are numbers, the worst lowest; null where there is none, which comes last. `filters` name properties that
// can be selected by, each with the words for its values, in their order, or with null where they speak for themselves.
function list({ items, filters, texts, rank, item }) {
  const noun = at("list").dataset.items;
  const haystacks = new Array(items.length);
  const isRanked = items.some((one) => rank(one).some((number) => number !== null));
  let order = isRanked ? "worst" : "file";
  let found = [];
  let shown = 0;

  function plain(text) {
    return text.normalize("NFKC").toLowerCase().replace(/\s+/g, " ");
  }

  // Made when the first search needs them: opening the page must not wait for it.
  function haystack(index) {
    if (haystacks[index] === undefined) haystacks[index] = plain(texts(items[index]).filter(Boolean).join("\n"));
    return haystacks[index];
  }

  function entry(one) {
    const element = make("li");
    element.tabIndex = -1;
    element.append(...item(one));
    return element;
  }

  function say() {
    const matching = `${found.length.toLocaleString("en")} of ${items.length.toLocaleString("en")} ${noun}`;
    at("count").textContent = found.length > shown ? `${matching}, the first ${shown} listed` : matching;
    const left = Math.min(STEP, found.length - shown);
    at("more").hidden = left <= 0;
    at("more").textContent = `Show ${left} more`;
  }

  function showMore() {
    const entries = found.slice(shown, shown + STEP).map((index) => entry(items[index]));
    at("list").append(...entries);
    shown += entries.length;
    say();
    return entries[0];
  }

  function compare(first, second) {
    const place = first.ranks.findIndex((number, i) => number !== second.ranks[i]);
    if (place < 0) return 0;
    const [one, other] = [first.ranks[place], second.ranks[place]];
    if (one === null || other === null) return (one === null) - (other === null);
    return order === "worst" ? one - other : other - one;
  }

  function update() {
    const needle = plain(at("search").value.trim());
    const chosen = Object.keys(filters).map((key) => [key, at(key).value]).filter(([, value]) => value);
    found = [...items.keys()].filter(
      (index) =>
        chosen.every(([key, value]) => items[index][key] === value.slice(1)) &&
        (!needle || haystack(index).includes(needle)),
    );
    if (order !== "file") {
      const ranked = found.map((index) => ({ index, ranks: rank(items[index]) }));
      found = ranked.sort(compare).map(({ index }) => index);
    }
    for (const button of document.querySelectorAll("[data-order]")) {
      button.setAttribute("aria-pressed", String(button.dataset.order === order));
    }
    at("list").replaceChildren();
    shown = 0;
    showMore();
  }

  // A value is marked with a sign, so that a name that is empty is not taken for "all".
  function fill(key, words) {
    const counts = new Map(Object.keys(words || {}).map((value) => [value, 0]));
    for (const one of items) counts.set(one[key], (counts.get(one[key]) || 0) + 1);
    at(key).append(option("", "all"));
    for (const [value, count] of counts) {
      if (count) at(key).append(option(`=${value}`, `${words ? words[value] : value} (${count})`));
    }
  }

  if (!items.length) {
    at("count").textContent = at("list").dataset.none;
    return;
  }
  for (const [key, words] of Object.entries(filters)) fill(key, words);
  for (const button of document.querySelectorAll("[data-order]")) {
    button.disabled = !isRanked && button.dataset.order !== "file";
    button.addEventListener("click", () => {
      order = button.dataset.order;
      update();
    });
  }
  for (const select of at("controls").querySelectorAll("select")) select.addEventListener("change", update);
  let waiting;
  at("search").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(update, WAIT_MS);
  });
  at("controls").addEventListener("submit", (event) => event.preventDefault());
  at("more").addEventListener("click", () => showMore().focus());
  at("controls").hidden = false;
  update();
}
