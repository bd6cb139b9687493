// node's fetch: sequential GETs on one kept connection: sequential.mjs URL COUNT BYTES
import { begin, finish } from "./lap.mjs";

const [url, count, size] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];

const get = async () => {
  const response = await fetch(url);
  const body = await response.arrayBuffer();
  if (response.status !== 200 || body.byteLength !== size) throw new Error("not the answer that was expected");
};

for (let i = 0; i < 100; i++) await get();
const lap = begin();
for (let i = 0; i < count; i++) await get();
finish(lap, count);
