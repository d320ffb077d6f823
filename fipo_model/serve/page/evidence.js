// Both prompts on all examples: how often each is right, and whether the difference can be luck.

import { isStop } from "/asking.js";
import { counted, get, make, say, spoken } from "/drawing.js";
import { setExamples, solved, typed } from "/examples.js";
import { answerTo, messagesFor, setup, setupNow } from "/trying.js";
import { changed, gateway, onChange } from "/state.js";

const AT_ONCE = 4;
const MOST_FAILURES = 3; // one after another, before any answer came
const SURE = 0.05;
const FEWEST = 6; // with fewer, even a rewrite that is always the better one may be lucky

const ALMOST_ALL = 0.8;
const STUCK = " With the rewrite, the model gives almost the same answer to every input, right or wrong.";

let running = null;
let shownFor = null;
let pairs = [];
let byCase = false; // whether case matters for them
const tried = new Map(); // rewrites that were run, by prompt and examples

const bare = (text) => text.trim().replace(/[.。]$/, "").trim().normalize("NFC");
const plain = (text) => bare(text).toLowerCase();

// Right answers in capitals, or with some within a word, were written so on purpose.
export const caseMatters = (rights) => rights.some((right) => /\p{L}\p{Lu}/u.test(right));

// Without regard to surrounding white space and a final full stop, and to case unless that matters.
export function isRight(answer, right, { byCase = false } = {}) {
  const as = byCase ? bare : plain;
  return as(answer) === as(right);
}

const CASE_COUNTS = " Capitals and small letters count; a full stop at the end does not.";
const CASE_IS_FREE = " Case and a full stop at the end do not matter.";

// How often two equally good prompts would differ at least so much: the sign test, in both directions.
export function chance(wins, losses) {
  const all = wins + losses;
  let term = 0.5 ** all, sum = 0;
  for (let number = 0; number <= Math.min(wins, losses); number++) {
    sum += term;
    term *= (all - number) / (number + 1);
  }
  return Math.min(1, 2 * sum);
}

const isWhole = (pair) => pair.before.text !== undefined && pair.after.text !== undefined;

function totals() {
  const whole = pairs.filter(isWhole);
  const right = (pair, side) => isRight(pair[side].text, pair.right, { byCase });
  return {
    of: whole.length,
    before: whole.filter((pair) => right(pair, "before")).length,
    after: whole.filter((pair) => right(pair, "after")).length,
    wins: whole.filter((pair) => right(pair, "after") && !right(pair, "before")).length,
    losses: whole.filter((pair) => right(pair, "before") && !right(pair, "after")).length,
    isStuck: isStuck(whole),
  };
}

// Whether the rewrite gets the same answer for almost every input, where others are right.
function isStuck(whole) {
  const times = new Map();
  for (const { after } of whole) times.set(plain(after.text), (times.get(plain(after.text)) ?? 0) + 1);
  const most = Math.max(0, ...times.values());
  const right = new Set(whole.map((pair) => plain(pair.right)));
  return whole.length >= FEWEST && right.size > 1 && most >= ALMOST_ALL * whole.length;
}

const current = () => JSON.stringify([setup(), solved()]);

// What is counted, for the store; null if it is not for the texts as they are.
export function countedNow() {
  const { before, after, of } = totals();
  return shownFor === current() && of ? { before, after, of } : null;
}

export function luck({ of, before, after, wins, losses }) {
  const differ = wins + losses;
  if (!differ) return `${before ? "Both are right on the same examples" : "Neither is right on any"}, so ${of > 1 ? "these" : "this"} cannot tell which is better.`;
  const often = chance(wins, losses);
  if (before === after) return "Each is right where the other is wrong, equally often. These examples cannot tell which is better.";
  const share = often < 0.01 ? "less than 1" : Math.round(100 * often);
  const lead = `They differ on ${differ} of ${counted(of, "example")}. Two equally good prompts would differ so much in ${share} % of such trials`;
  if (often <= SURE) return `${lead}, so this is probably more than luck.`;
  const next = of < FEWEST ? `So few examples can show nothing for sure: give ${FEWEST} or more.` : "More examples can show smaller differences.";
  return `${lead}, so this may be luck. ${next}`;
}

async function run() {
  const examples = solved();
  if (!examples.length) {
    say("ran", "Add examples with right answers first.", "alert");
    if (!typed().length) setExamples([["", ""]]);
    get("examples-box").open = true;
    get("examples").querySelector("textarea").focus();
    return;
  }
  running?.abort();
  const own = (running = new AbortController());
  pairs = examples.map(({ input, output }) => ({ input, right: output, before: {}, after: {} }));
  byCase = caseMatters(examples.map(({ output }) => output));
  shownFor = current();
  const given = setupNow();
  get("results").hidden = false;
  get("stop-run").hidden = false;
  draw();
  remember();
  changed();
  const failure = await askAll(given, own);
  if (own !== running) return;
  const { of } = totals();
  get("stop-run").hidden = true;
  if (failure) say("ran", failure, "alert");
  else if (own.signal.aborted) say("ran", `Stopped after ${of} of ${pairs.length}.`);
  else say("ran", of === pairs.length ? "Done." : `Done. ${counted(pairs.length - of, "example")} got no answer and ${pairs.length - of === 1 ? "is" : "are"} not counted.`, of === pairs.length ? "" : "alert");
  draw();
}

// Returns why it gave up, or nothing.
async function askAll(given, own) {
  const waiting = pairs.flatMap((pair) => ["before", "after"].map((side) => [pair, side]));
  let failures = 0, reason = "";
  async function work() {
    while (waiting.length && !own.signal.aborted && !reason) {
      const [pair, side] = waiting.shift();
      try {
        await askOne(given, pair, side, own.signal);
        failures = 0;
      } catch (error) {
        if (isStop(error) || own !== running) return;
        pair[side] = { error: error.message };
        if (++failures >= MOST_FAILURES && !totals().of) reason = error.message;
      }
      if (own !== running) return;
      say("ran", `${counted(pairs.filter(isWhole).length, "example")} of ${pairs.length} …`, "busy");
      draw();
    }
  }
  try {
    await messagesFor(given, pairs[0].input); // a variable without a value is told once
  } catch (error) {
    return error.message;
  }
  say("ran", `${gateway.upstream} is answering …`, "busy");
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return reason;
}

async function askOne(given, pair, side, signal) {
  pair.sent ??= messagesFor(given, pair.input);
  let text = "";
  const end = await answerTo(given, (await pair.sent)[side], signal, (piece) => (text += piece));
  pair[side] = { text, end };
}

function remember() {
  const [texts, examples] = [JSON.parse(setup()), JSON.stringify(solved())];
  const key = JSON.stringify([texts[0], texts[3], examples]);
  tried.set(key, (tried.get(key) ?? new Set()).add(texts[1]));
  const many = tried.get(key).size;
  get("luck").dataset.more = many > 1 ? ` You have run ${many} rewrites on these examples: the best of several looks better than it is.` : "";
}

// --- what is shown

function draw() {
  const found = totals();
  get("score").replaceChildren("Right answers: your prompt ", bold(`${found.before} of ${found.of}`), ", the rewrite ", bold(`${found.after} of ${found.of}`), ".", byCase ? CASE_COUNTS : CASE_IS_FREE);
  get("score").hidden = !found.of;
  get("luck").textContent = found.of ? luck(found) + (found.isStuck ? STUCK : "") + (found.after > found.before ? get("luck").dataset.more ?? "" : "") : "";
  get("rows").replaceChildren(...pairs.map((pair) =>
    make("tr", {}, make("th", { scope: "row", textContent: pair.input }), cell("Right answer", pair.right),
      answered("With your prompt", pair.before, pair.right), answered("With the rewrite", pair.after, pair.right))));
}

const bold = (text) => make("b", { textContent: text });

function cell(label, ...children) {
  const made = make("td", {}, ...children);
  made.dataset.label = label;
  return made;
}

function answered(label, { text, end, error }, right) {
  if (error) return cell(label, make("span", { className: "alert", textContent: error }));
  if (text === undefined) return cell(label, make("span", { className: "soft", textContent: "…" }));
  const is = isRight(text, right, { byCase });
  const note = end ? [" ", make("span", { className: "soft", textContent: end })] : [];
  return cell(label, make("span", { className: is ? "good" : "bad" }, spoken(is ? "right: " : "wrong: "), text.trim() || "(empty)"), ...note);
}

function greyOut() {
  const isStale = shownFor !== null && shownFor !== current();
  get("stale-results").hidden = !isStale;
  for (const part of ["score", "luck", "answers"]) get(part).classList.toggle("stale", isStale);
}

get("run").addEventListener("click", run);
get("stop-run").addEventListener("click", () => running?.abort());
onChange(greyOut);
