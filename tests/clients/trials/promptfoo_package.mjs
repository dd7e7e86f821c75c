// `promptfoo`: its providers of OpenAI, pointed at the server.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./trial.mjs";

// What it documents for work without a network, and a folder for what it keeps.
Object.assign(process.env, {
  PROMPTFOO_DISABLE_TELEMETRY: "1",
  PROMPTFOO_DISABLE_UPDATE: "1",
  PROMPTFOO_DISABLE_REMOTE_GENERATION: "1",
  LOG_LEVEL: "error",
  PROMPTFOO_CONFIG_DIR: mkdtempSync(join(tmpdir(), "promptfoo-")),
});
const { evaluate } = await import("promptfoo");

const at = { apiBaseUrl: process.env.PLAIT_URL, apiKey: "none" };
const question = "What is the capital of Italy? Say the name of the city.";
const names = { type: "icontains", value: "rome" };
const city = {
  type: "object", additionalProperties: false, required: ["city"], properties: { city: { type: "string" } },
};
const weather = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

async function passes(id, assert, config = {}, prompt = question) {
  const evaluated = await evaluate(
    { prompts: [prompt], providers: [{ id, config: { ...at, ...config } }], tests: [{ assert: [assert] }] },
    { cache: false, showProgressBar: false },
  );
  const [result] = (await evaluated.toEvaluateSummary()).results;
  if (!result.success) throw new Error(result.error || JSON.stringify(result.response));
  return true;
}

await run({
  chat: () => passes("openai:chat:base", names),
  "chat structured": () =>
    passes("openai:chat:base", { type: "is-json", value: city }, {
      response_format: { type: "json_schema", json_schema: { name: "city", strict: true, schema: city } },
    }),
  "chat tools": () =>
    passes("openai:chat:base", { type: "is-valid-openai-tools-call" }, {
      tool_choice: "required", tools: [{ type: "function", function: { name: "weather", parameters: weather } }],
    }, "What is the weather in Rome?"),
  completions: () => passes("openai:completion:base", names, { max_tokens: 16 }, "The capital of Italy is the city of"),
  responses: () => passes("openai:responses:base", names),
  "responses structured": () =>
    passes("openai:responses:base", { type: "is-json", value: city }, {
      response_format: { type: "json_schema", json_schema: { name: "city", strict: true, schema: city } },
    }),
  "similar, by embeddings": () =>
    passes("openai:chat:base", {
      type: "similar", value: "Rome is the capital of Italy.", threshold: 0.3,
      provider: { id: "openai:embedding:embedding", config: at },
    }),
});
