// node's JSON.parse: one document, decoded again and again: decode.mjs FILE TIMES
import { readFileSync } from "node:fs";
import { begin, finish } from "./lap.mjs";

const text = readFileSync(process.argv[2]);
const times = Number(process.argv[3]);
JSON.parse(text.toString("utf8"));
const lap = begin();
for (let i = 0; i < times; i++) JSON.parse(text.toString("utf8")); // from bytes, as the others
finish(lap, times);
