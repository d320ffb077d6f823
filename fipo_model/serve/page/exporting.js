// A rewrite in the forms that other programs take.

const ESCAPED = { '"': '\\"', "\\": "\\\\", "\n": "\\n" };

function python(text) {
  const signs = Array.from(text).map((sign) => {
    if (sign in ESCAPED) return ESCAPED[sign];
    return sign >= " " && sign <= "~" ? sign : `\\U${sign.codePointAt(0).toString(16).padStart(8, "0")}`;
  });
  return `"${signs.join("")}"`;
}

const FORMATS = {
  text: ["prompt.txt", (text) => text],
  chat: ["prompt.json", (text) => `${JSON.stringify([{ role: "system", content: text }], null, 2)}\n`],
  langchain: ["prompt.py", (text) =>
    `from langchain_core.prompts import ChatPromptTemplate\n\nprompt = ChatPromptTemplate.from_messages([("system", ${python(text)})])\n`],
  python: ["prompt.py", (text) => `PROMPT = ${python(text)}\n`],
};

export function download(format, text) {
  const [name, write] = FORMATS[format];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([write(text)], { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  return name;
}
