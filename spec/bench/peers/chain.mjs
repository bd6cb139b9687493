// node's fetch and its json: the page chain: chain.mjs URL PAGES ITEMS
import { begin, finish } from "./lap.mjs";

const first = process.argv[2];
const [pages, items] = process.argv.slice(3, 5).map(Number);

const walk = async (count) => {
  let url = first;
  for (let seen = 1; seen <= count; seen++) {
    const response = await fetch(url);
    const page = await response.json();
    if (response.status !== 200 || page.items.length !== items || !page.items[items - 1].session)
      throw new Error("not the page that was expected");
    if (!page.nextPageToken && seen < count) throw new Error("the chain ended early");
    url = `${first}${first.includes("?") ? "&" : "?"}token=${page.nextPageToken}`;
  }
};

await walk(Math.min(pages, 5));
const lap = begin();
await walk(pages);
finish(lap, pages);
