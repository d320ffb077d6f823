
{
  const SIDES = ["original", "optimized"];
  const WORDS = { better: "better", equal: "equal", worse: "worse", failed: "failed in either chain" };

  function texts({ id, input, reference, outputs }) {
    return [id, input, reference, ...SIDES.flatMap((side) => outputs[side].map(({ text }) => text))];
  }

  // Of rows that changed as much, those that score worst now are the ones to look at.
  function rank({ gain, score }) {
    return [gain, score];
  }

  function block(title, content, className) {
    const part = make("div");
    part.append(make("h4", title), textOf([content], className));
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
    const title = make("h3");
    title.append(make("bdi", row.id));
    if (row.id !== `line ${row.line}`) title.append(` \u00b7 line ${row.line}`);
    const said = row.change === "equal" || row.said === null ? "" : ` (${row.said})`;
    title.append(` \u00b7 ${row.change}${said}`);
    const both = make("div", undefined, "both");
    both.append(...SIDES.map((side) => answers(row, side)));
    const reference = row.reference === null ? [] : [block("reference", row.reference)];
    return [title, block("input", row.input), ...reference, both];
  }

  list({ items: shared.rows, filters: { change: WORDS }, texts, rank, item });
}
