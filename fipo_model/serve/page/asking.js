// Asking the gateway, and reading what comes back in pieces.

let token = "";

function headersOf(more) {
  return { "content-type": "application/json", ...(token ? { "x-fipo-token": token } : {}), ...more };
}

function askForToken() {
  const dialog = document.getElementById("asking-token");
  const field = document.getElementById("token");
  field.value = ""; // or closing the dialog would send what was wrong before
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(field.value), { once: true });
    dialog.showModal();
  });
}

let asking = null;

export async function send(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headersOf(options.headers) });
  // An upstream has keys of its own to ask for; the gateway's own refusals are known by their type.
  if (response.status === 401 && (await response.clone().text()).includes("x-fipo-token")) {
    asking ??= askForToken().finally(() => (asking = null));
    const given = await asking;
    if (!given) throw new Error("the gateway needs its token");
    token = given;
    return send(path, options);
  }
  return response;
}

export async function post(path, fields, options = {}) {
  const response = await send(path, { method: "POST", body: JSON.stringify(fields), ...options });
  if (!response.ok) throw new Error(await reasonOf(response));
  return response;
}

async function reasonOf(response) {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text);
    return (typeof error === "string" ? error : error.message) || text;
  } catch {
    return text.slice(0, 300) || `the server replied with status ${response.status}`;
  }
}

async function* lines(response) {
  let rest = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + piece).split(/\r?\n/);
    rest = parts.pop();
    yield* parts;
  }
  if (rest) yield rest;
}

export async function* objects(response) {
  for await (const line of lines(response)) if (line) yield JSON.parse(line);
}

// The text of a chat completion, as it comes, whether it is streamed or not.
export async function* replyOf(response) {
  if (!(response.headers.get("content-type") || "").startsWith("text/event-stream")) {
    yield (await response.json()).choices[0].message.content || "";
    return;
  }
  for await (const line of lines(response)) {
    const data = line.startsWith("data:") ? line.slice(5).trim() : "";
    if (data && data !== "[DONE]") yield JSON.parse(data).choices?.[0]?.delta?.content || "";
  }
}
