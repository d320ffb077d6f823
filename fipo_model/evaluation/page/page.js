
"use strict";
(() => {
  const STEP = 20;
  const WAIT_MS = 120;
  const LONG = 1000;
  const at = (id) => document.getElementById(id);
  const { examples, words } = JSON.parse(at("example-data").textContent);
  const haystacks = new Array(examples.length);
  const models = [...new Set(examples.flatMap((example) => Object.keys(example.gains)))];
  let order = models.length ? "worst" : "file";
  let found = [];
  let shown = 0;

  // Texts are only ever set as text, so that nothing in a prompt becomes an element.
  function make(tag, text, className) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  function plain(text) {
    return text.normalize("NFKC").toLowerCase().replace(/\s+/g, " ");
  }

  function side(pieces, sign) {
    return pieces.filter(([kind]) => kind !== sign).map(([, text]) => text).join("");
  }

  // Made when the first search needs them: opening the page must not wait for it.
  function haystack(index) {
    if (haystacks[index] === undefined) {
      const { id, detail, change, proposed, context, golden } = examples[index];
      const texts = [side(change, "+"), side(change, "-"), side(proposed || [], "-"), id, detail, context, golden];
      haystacks[index] = plain(texts.filter(Boolean).join("\n"));
    }
    return haystacks[index];
  }

  function gainOf(example) {
    const model = at("model").value;
    const gains = model ? [example.gains[model]] : Object.values(example.gains);
    const known = gains.filter((gain) => typeof gain === "number");
    return known.length ? known.reduce((sum, gain) => sum + gain, 0) / known.length : null;
  }

  function signed(gain) {
    if (gain === null) return "not finite";
    if (gain === 0) return "0";
    const size = Math.abs(gain);
    return (gain < 0 ? "\u2212" : "+") + (size < 0.0005 ? size.toPrecision(1) : size.toFixed(3));
  }

  function pieces(parts) {
    const text = make("div", undefined, "text");
    text.dir = "auto";
    // Long texts scroll, which must work with the keyboard too; the others are no stops on its way.
    if (parts.reduce((sum, [, part]) => sum + part.length, 0) > LONG) text.tabIndex = 0;
    for (const [kind, part] of parts) {
      text.append(kind === "=" ? part : make(kind === "+" ? "ins" : "del", part));
    }
    return text;
  }

  function full(title, parts) {
    const details = make("details");
    details.append(make("summary", title));
    for (const [name, text] of parts) details.append(make("h4", name), pieces([["=", text]]));
    return details;
  }

  function outcomeOf(example) {
    const sentence = words[example.outcome];
    const line = make("p", sentence, "outcome");
    if (example.detail) line.append(" (", make("bdi", example.detail), ")");
    return line;
  }

  function item(example) {
    const article = make("li");
    article.tabIndex = -1;
    const title = make("h3");
    title.append(make("bdi", example.id), " \u00b7 ", make("bdi", example.system), " \u00b7 ", make("bdi", example.data));
    article.append(title, outcomeOf(example));
    const gains = Object.entries(example.gains).map(([model, gain]) => `${signed(gain)} (${model})`);
    if (gains.length) article.append(make("p", `Gain: ${gains.join(", ")}`, "gain"));
    article.append(pieces(example.change));
    if (example.proposed) article.append(make("p", "Proposed and turned down:", "note"), pieces(example.proposed));
    if (example.change.some(([kind]) => kind !== "=")) {
      const both = [["Naive prompt", side(example.change, "+")], ["Prompt to use", side(example.change, "-")]];
      article.append(full("Both prompts in full", both));
    }
    const given = [["Context", example.context], ["Golden response", example.golden]].filter(([, text]) => text);
    if (given.length) article.append(full(given.map(([name], i) => (i ? name.toLowerCase() : name)).join(" and "), given));
    return article;
  }

  function say() {
    const all = examples.length.toLocaleString("en");
    const matching = `${found.length.toLocaleString("en")} of ${all} examples`;
    at("count").textContent = found.length > shown ? `${matching}, the first ${shown} listed` : matching;
    const left = Math.min(STEP, found.length - shown);
    at("more").hidden = left <= 0;
    at("more").textContent = `Show ${left} more`;
  }

  function showMore() {
    const items = found.slice(shown, shown + STEP).map((index) => item(examples[index]));
    at("list").append(...items);
    shown += items.length;
    say();
    return items[0];
  }

  function compare(first, second) {
    if (first.gain === null || second.gain === null) return (first.gain === null) - (second.gain === null);
    return order === "worst" ? first.gain - second.gain : second.gain - first.gain;
  }

  function update() {
    const needle = plain(at("search").value.trim());
    const chosen = ["system", "data", "outcome"].map((key) => [key, at(key).value]).filter(([, value]) => value);
    found = [...examples.keys()].filter(
      (index) =>
        chosen.every(([key, value]) => examples[index][key] === value.slice(1)) &&
        (!needle || haystack(index).includes(needle)),
    );
    if (order !== "file") {
      const gains = found.map((index) => ({ index, gain: gainOf(examples[index]) }));
      found = gains.sort(compare).map(({ index }) => index);
    }
    for (const button of document.querySelectorAll("[data-order]")) {
      button.setAttribute("aria-pressed", String(button.dataset.order === order));
    }
    at("list").replaceChildren();
    shown = 0;
    showMore();
  }

  function option(value, text) {
    const element = make("option", text);
    element.value = value;
    return element;
  }

  // A value is marked with a sign, so that a name that is empty is not taken for "all".
  function fill(key) {
    const counts = new Map();
    for (const example of examples) counts.set(example[key], (counts.get(example[key]) || 0) + 1);
    const sentence = (name) => (key === "outcome" ? words[name] : name);
    at(key).append(option("", "all"));
    for (const [name, count] of counts) at(key).append(option(`=${name}`, `${sentence(name)} (${count})`));
    at(key).addEventListener("change", update);
  }

  function start() {
    if (!examples.length) {
      at("count").textContent = "No examples were kept.";
      return;
    }
    ["system", "data", "outcome"].forEach(fill);
    at("model").append(option("", "all test models (mean)"), ...models.map((model) => option(model, model)));
    at("model").addEventListener("change", update);
    at("by").hidden = models.length < 2;
    for (const button of document.querySelectorAll("[data-order]")) {
      button.disabled = !models.length && button.dataset.order !== "file";
      button.addEventListener("click", () => {
        order = button.dataset.order;
        update();
      });
    }
    let waiting;
    at("search").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(update, WAIT_MS);
    });
    at("controls").addEventListener("submit", (event) => event.preventDefault());
    at("more").addEventListener("click", () => showMore().focus());
    at("controls").hidden = at("reading").hidden = false;
    update();
  }

  start();
})();
