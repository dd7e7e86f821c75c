// The `openai` package of Node.
import OpenAI, { toFile } from "openai";
import { run } from "./trial.mjs";

const client = new OpenAI({ baseURL: process.env.PLAIT_URL, apiKey: process.env.PLAIT_KEY });
const hello = [{ role: "user", content: "Say hello." }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const herons = Buffer.from("# Herons\n\n" + "The heron stands in the water and waits for a fish. ".repeat(20));

async function withStore(tried) {
  const store = await client.vectorStores.create({ name: "birds" });
  try {
    return await tried(store);
  } finally {
    await client.vectorStores.delete(store.id);
  }
}

async function withFile(tried) {
  const file = await client.files.create({ file: await toFile(herons, "herons.md"), purpose: "assistants" });
  try {
    return await tried(file);
  } finally {
    await client.files.delete(file.id);
  }
}

await run({
  chat: async () => (await client.chat.completions.create({ model: "base", messages: hello })).choices[0].message.content,
  "chat streamed": async () =>
    (await client.chat.completions.stream({ model: "base", messages: hello }).finalChatCompletion()).choices[0].message.content,
  "chat tools": async () =>
    (await client.chat.completions.create({
      model: "base", messages: [{ role: "user", content: "The weather in Rome?" }], tool_choice: "required",
      tools: [{ type: "function", function: { name: "weather", parameters } }],
    })).choices[0].message.tool_calls[0].function.name === "weather",
  responses: async () => (await client.responses.create({ model: "base", input: "Say hello." })).output_text,
  "responses streamed": async () =>
    (await client.responses.stream({ model: "base", input: "Say hello." }).finalResponse()).output_text,
  embeddings: async () =>
    (await client.embeddings.create({ model: "embedding", input: ["one", "two"] })).data[0].embedding.length === 384,
  models: async () => (await client.models.list()).data.length > 1,
  "stores made, changed, listed, deleted": () =>
    withStore(async (store) => {
      const changed = await client.vectorStores.update(store.id, { name: "waders", metadata: { kind: "birds" } });
      const found = [];
      for await (const each of client.vectorStores.list()) found.push(each.id);
      return changed.name === "waders" && found.includes(store.id);
    }),
  "files of a store, searched": () =>
    withStore(async (store) => {
      const file = await client.vectorStores.files.uploadAndPoll(store.id, await toFile(herons, "herons.md"));
      const { data } = await client.vectorStores.search(store.id, { query: "What does the heron wait for?" });
      const content = await client.vectorStores.files.content(file.id, { vector_store_id: store.id });
      await client.vectorStores.files.delete(file.id, { vector_store_id: store.id });
      await client.files.delete(file.id);
      return file.status === "completed" && data[0].filename === "herons.md" && content.data[0].text.includes("heron");
    }),
  "file search in responses": () =>
    withStore(async (store) => {
      const file = await client.vectorStores.files.uploadAndPoll(store.id, await toFile(herons, "herons.md"));
      const { output } = await client.responses.create({
        model: "base", input: "What does the heron wait for?", tools: [{ type: "file_search", vector_store_ids: [store.id] }],
      });
      await client.files.delete(file.id);
      return output[1].content[0].annotations[0].filename === "herons.md";
    }),
  "batches of files, cancelled": () =>
    withStore((store) => withFile(async (file) => {
      const { id } = await client.vectorStores.fileBatches.create(store.id, { file_ids: [file.id] });
      const { status } = await client.vectorStores.fileBatches.cancel(id, { vector_store_id: store.id });
      return ["cancelled", "completed"].includes(status);
    })),
  "content of files": () =>
    withFile(async (file) => (await (await client.files.content(file.id)).text()) === herons.toString()),
  uploads: async () => {
    const begun = await client.uploads.create({
      bytes: herons.length, filename: "herons.md", mime_type: "text/markdown", purpose: "assistants",
    });
    const parts = [herons.subarray(0, 300), herons.subarray(300)];
    const ids = [];
    for (const data of parts) ids.push((await client.uploads.parts.create(begun.id, { data: await toFile(data) })).id);
    const { file } = await client.uploads.complete(begun.id, { part_ids: ids });
    await client.files.delete(file.id);
    return file.bytes === herons.length;
  },
});
