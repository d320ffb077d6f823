// Asking the gateway, and reading what comes back in pieces.

let token = "";

const GONE = `The gateway at ${location.host} does not answer. Is it still running?`;
const BROKEN = "The reply broke off before its end: the connection was lost.";

export const isStop = (error) => error.name === "AbortError";

function headersOf(more) {
  return { "content-type": "application/json", ...(token ? { "x-fipo-token": token } : {}), ...more };
}

// A header takes some other characters, too, but no token or key has them. With most, the browser does not even ask.
const isPlain = (secret) => /^[\x21-\x7e]+$/.test(secret);
const NOT_PLAIN = "has a space in it, or a character that is not a plain letter, digit or sign. Copy it again.";

async function askForToken() {
  const dialog = document.getElementById("asking-token");
  const field = document.getElementById("token");
  for (let words = ""; ; words = `This token ${NOT_PLAIN}`) {
    document.getElementById("token-said").textContent = words;
    field.value = ""; // or closing the dialog would send what was wrong before
    const given = await new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(field.value.trim()), { once: true });
      dialog.showModal();
    });
    if (!given || isPlain(given)) return given;
  }
}

let asking = null;

// A browser's own words for a lost connection ("Failed to fetch") tell nobody what happened.
async function inWords(step, words) {
  try {
    return await step();
  } catch (error) {
    throw isStop(error) ? error : new Error(words, { cause: error });
  }
}

export async function send(path, options = {}) {
  const response = await inWords(() => fetch(path, { ...options, headers: headersOf(options.headers) }), GONE);
  // An upstream has keys of its own to ask for; the gateway's own refusals are known by their type.
  if (response.status === 401 && (await response.clone().text()).includes("x-fipo-token")) {
    asking ??= askForToken().finally(() => (asking = null));
    const given = await asking;
    if (!given) throw new Error("The gateway needs its token.");
    token = given;
    return send(path, options);
  }
  return response;
}

export async function post(path, fields, options = {}) {
  const response = await send(path, { method: "POST", body: JSON.stringify(fields), ...options });
  if (!response.ok) throw Object.assign(new Error(await reasonOf(response)), { status: response.status });
  return response;
}

export const ask = async (path, fields, options) => (await post(path, fields, options)).json();

async function reasonOf(response) {
  const text = await inWords(() => response.text(), BROKEN);
  try {
    const { error } = JSON.parse(text);
    return (typeof error === "string" ? error : error.message) || text;
  } catch {
    return text.slice(0, 300) || `The server replied with status ${response.status}.`;
  }
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await inWords(() => reader.read(), BROKEN);
      if (done) break;
      const parts = (rest + value).split(/\r?\n/);
      rest = parts.pop();
      yield* parts;
    }
    if (rest) yield rest;
  } finally {
    reader.cancel().catch(() => {});
  }
}

export async function* objects(response) {
  for await (const line of lines(response)) if (line) yield JSON.parse(line);
}

const ENDS = {
  length: "The reply was cut off at the model's limit.",
  content_filter: "The model, or a filter, did not go on.",
};

// The text of a chat completion, as it comes, whether it is streamed or not. At the end, what there is to say about it.
async function* pieces(response) {
  if (!(response.headers.get("content-type") || "").startsWith("text/event-stream")) {
    const whole = await inWords(() => response.json(), BROKEN);
    yield whole.choices?.[0]?.message?.content || "";
    return ENDS[whole.choices?.[0]?.finish_reason] || "";
  }
  let reason = null;
  for await (const line of lines(response)) {
    const data = line.startsWith("data:") ? line.slice(5).trim() : "";
    if (data === "[DONE]") return ENDS[reason] || "";
    if (!data) continue;
    const { choices, error } = JSON.parse(data);
    if (error) throw new Error(error.message || String(error));
    yield choices?.[0]?.delta?.content || "";
    reason = choices?.[0]?.finish_reason || reason;
  }
  // A server that was killed closes the connection as one that has finished does.
  if (!reason) throw new Error("The reply broke off before its end.");
  return ENDS[reason] || "";
}

// Without sampling, so that the same prompt gets the same answer again; some models refuse to be told how to sample.
async function completion(asked, options) {
  try {
    return await post("/v1/chat/completions", { ...asked, temperature: 0 }, options);
  } catch (error) {
    if (error.status !== 400) throw error;
    return post("/v1/chat/completions", asked, options);
  }
}

// Asks the upstream; `take` gets each piece of the reply. Returns what there is to say about its end.
export async function chat({ model, key, messages, signal }, take) {
  const own = key.trim();
  if (own && !isPlain(own)) throw new Error(`The key ${NOT_PLAIN}`);
  const headers = { "x-fipo": "off", ...(own ? { authorization: `Bearer ${own}` } : {}) };
  const found = pieces(await completion({ model, messages, stream: true }, { signal, headers }));
  for (;;) {
    const { value, done } = await found.next();
    if (done) return value;
    take(value);
  }
}
