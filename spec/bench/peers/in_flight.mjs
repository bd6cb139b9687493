// node's fetch: GETs of one URL, K in flight: in_flight.mjs URL COUNT K BYTES
import { begin, finish } from "./lap.mjs";

const url = process.argv[2];
const [count, k, size] = process.argv.slice(3, 6).map(Number);

const get = async () => {
  const response = await fetch(url);
  const body = await response.arrayBuffer();
  if (response.status !== 200 || body.byteLength !== size) throw new Error("not the answer that was expected");
};

const getAll = async (n) => {
  let left = n;
  const worker = async () => {
    while (left > 0) {
      left--;
      await get();
    }
  };
  await Promise.all(Array.from({ length: k }, worker));
};

await getAll(k);
await getAll(100);
const lap = begin();
await getAll(count);
finish(lap, count);
