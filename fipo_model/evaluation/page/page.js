
{
  const { examples, words } = shared;
  const models = [...new Set(examples.flatMap((example) => Object.keys(example.gains)))];

  function side(pieces, sign) {
    return pieces.filter(([kind]) => kind !== sign).map(([, text]) => text).join("");
  }

  function texts({ id, detail, change, proposed, context, golden }) {
    return [side(change, "+"), side(change, "-"), side(proposed || [], "-"), id, detail, context, golden];
  }

  // The gain with the model that was chosen, or the mean over all of them.
  function rank(example) {
    const model = at("model").value;
    const gains = model ? [example.gains[model]] : Object.values(example.gains);
    const known = gains.filter((gain) => typeof gain === "number");
    return [known.length ? known.reduce((sum, gain) => sum + gain, 0) / known.length : null];
  }

  function signed(gain) {
    if (gain === null) return "not finite";
    if (gain === 0) return "0";
    const size = Math.abs(gain);
    return (gain < 0 ? "\u2212" : "+") + (size < 0.0005 ? size.toPrecision(1) : size.toFixed(3));
  }

  function pieces(parts) {
    return textOf(parts.map(([kind, part]) => (kind === "=" ? part : make(kind === "+" ? "ins" : "del", part))));
  }

  function full(title, parts) {
    const details = make("details");
    details.append(make("summary", title));
    for (const [name, text] of parts) details.append(make("h4", name), textOf([text]));
    return details;
  }

  function item(example) {
    const title = make("h3");
    title.append(make("bdi", example.id), " \u00b7 ", make("bdi", example.system), " \u00b7 ", make("bdi", example.data));
    const outcome = make("p", words[example.outcome], "outcome");
    if (example.detail) outcome.append(" (", make("bdi", example.detail), ")");
    const parts = [title, outcome];
    const gains = Object.entries(example.gains).map(([model, gain]) => `${signed(gain)} (${model})`);
    if (gains.length) parts.push(make("p", `Gain: ${gains.join(", ")}`, "gain"));
    parts.push(pieces(example.change));
    if (example.proposed) parts.push(make("p", "Proposed and turned down:", "note"), pieces(example.proposed));
    if (example.change.some(([kind]) => kind !== "=")) {
      const both = [["Naive prompt", side(example.change, "+")], ["Prompt to use", side(example.change, "-")]];
      parts.push(full("Both prompts in full", both));
    }
    const given = [["Context", example.context], ["Golden response", example.golden]].filter(([, text]) => text);
    if (given.length) parts.push(full(given.map(([name], i) => (i ? name.toLowerCase() : name)).join(" and "), given));
    return parts;
  }

  at("model").append(option("", "all test models (mean)"), ...models.map((model) => option(model, model)));
  at("model").parentElement.hidden = models.length < 2;
  list({ items: examples, filters: { system: null, data: null, outcome: words }, texts, rank, item });
}
