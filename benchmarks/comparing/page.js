
"use strict";
(() => {
  const STEP = 20;
  const WAIT_MS = 120;
  const LONG = 600;
  const SIDES = ["original", "optimized"];
  const WORDS = { better: "better", equal: "equal", worse: "worse", failed: "failed in either chain" };
  const at = (id) => document.getElementById(id);
  const { rows } = JSON.parse(at("row-data").textContent);
  const haystacks = new Array(rows.length);
  let order = "worst";
  let found = [];
  let shown = 0;

  // Texts are only ever set as text, so that nothing a model wrote becomes an element.
  function make(tag, text, className) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  function plain(text) {
    return text.normalize("NFKC").toLowerCase().replace(/\s+/g, " ");
  }

  // Made when the first search needs them: opening the page must not wait for it.
  function haystack(index) {
    if (haystacks[index] === undefined) {
      const { id, input, reference, outputs } = rows[index];
      const texts = SIDES.flatMap((side) => outputs[side].map(({ text }) => text));
      haystacks[index] = plain([id, input, reference, ...texts].filter(Boolean).join("\n"));
    }
    return haystacks[index];
  }

  function block(title, content, className) {
    const part = make("div");
    const text = make("div", content, className ? `text ${className}` : "text");
    text.dir = "auto";
    // Long texts scroll, which must work with the keyboard too; the others are no stops on its way.
    if (content.length > LONG) text.tabIndex = 0;
    part.append(make("h4", title), text);
    return part;
  }

  function answers(row, side) {
    const part = make("div");
    row.outputs[side].forEach(({ text, said, failed }, i, all) => {
      const run = all.length > 1 ? `, run ${i + 1}` : "";
      part.append(block(`${side}${run}: ${said}`, text === "" ? "(empty)" : text, failed ? "failed" : ""));
    });
    return part;
  }

  function item(row) {
    const article = make("li");
    article.tabIndex = -1;
    const title = make("h3");
    title.append(make("bdi", row.id));
    if (row.id !== `line ${row.line}`) title.append(` \u00b7 line ${row.line}`);
    const change = row.change === "equal" ? "equal" : `${row.change} (${row.said})`;
    title.append(` \u00b7 ${change}`);
    const both = make("div", undefined, "both");
    both.append(...SIDES.map((side) => answers(row, side)));
    article.append(title, block("input", row.input));
    if (row.reference !== null) article.append(block("reference", row.reference));
    article.append(both);
    return article;
  }

  function say() {
    const all = rows.length.toLocaleString("en");
    const matching = `${found.length.toLocaleString("en")} of ${all} rows`;
    at("count").textContent = found.length > shown ? `${matching}, the first ${shown} listed` : matching;
    const left = Math.min(STEP, found.length - shown);
    at("more").hidden = left <= 0;
    at("more").textContent = `Show ${left} more`;
  }

  function showMore() {
    const items = found.slice(shown, shown + STEP).map((index) => item(rows[index]));
    at("list").append(...items);
    shown += items.length;
    say();
    return items[0];
  }

  function update() {
    const needle = plain(at("search").value.trim());
    const change = at("change").value;
    found = [...rows.keys()].filter(
      (index) => (!change || rows[index].change === change) && (!needle || haystack(index).includes(needle)),
    );
    if (order !== "file") {
      const sign = order === "worst" ? 1 : -1;
      // Of rows that changed as much, those that score worst now are the ones to look at.
      const by = (key, first, second) => sign * (rows[first][key] - rows[second][key]);
      found.sort((first, second) => by("gain", first, second) || by("score", first, second));
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

  function start() {
    if (!rows.length) {
      at("count").textContent = "No row was run.";
      return;
    }
    at("change").append(option("", "all"));
    for (const [change, text] of Object.entries(WORDS)) {
      const count = rows.filter((row) => row.change === change).length;
      if (count) at("change").append(option(change, `${text} (${count})`));
    }
    at("change").addEventListener("change", update);
    for (const button of document.querySelectorAll("[data-order]")) {
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
    at("controls").hidden = false;
    update();
  }

  start();
})();
