// What openai-node gets from a gateway: its address is the only thing that changes. Prints JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "node-key" });
const messages = [
  { role: "system", content: "Explain tides." },
  { role: "user", content: "How high?" },
];
const { data, response } = await client.chat.completions.create({ model: "echo", messages }).withResponse();
const pieces = [];
for await (const chunk of await client.chat.completions.create({ model: "echo", messages, stream: true })) {
  pieces.push(chunk.choices[0]?.delta?.content ?? "");
}
console.log(JSON.stringify({
  said: data.choices[0].message.content,
  outcome: response.headers.get("x-fipo-outcome"),
  streamed: pieces.join(""),
}));
