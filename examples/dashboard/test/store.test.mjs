// The page's data model by itself: places, gaps, order.
import assert from "node:assert/strict";
import test from "node:test";
import { Store } from "../page/store.js";

const series = (times, values, more) => ({ type: "frame_rate", unit: "fps", times, values, ...more });
const one = (live, ...list) => ({ lives: [{ live, series: list, holes: [] }] });

test("each point has one place, whatever the order in which it comes, and a later value wins", () => {
  const store = new Store();
  store.merge(one("a", series([10, 20, 40], [1, 2, 4])));
  store.merge(one("a", series([30, 40, 5], [3, 44, 0])));
  const [found] = store.of("frame_rate", ["a"]);
  assert.deepEqual(found.times, [5, 10, 20, 30, 40]);
  assert.deepEqual(found.values, [0, 1, 2, 3, 44]);
});

test("a missing time is a gap, a value that is not known too, and zero is a value", () => {
  const store = new Store();
  store.merge(one("a", series([10, 20, 30, 60, 70, 80], [1, 0, 3, 6, null, 8])));
  const [times, values] = store.of("frame_rate", ["a"])[0].columns();
  assert.deepEqual(times, [10, 20, 30, 40, 60, 70, 80]);
  assert.deepEqual(values, [1, 0, 3, null, 6, null, 8]);
});

test("a dimension that is absent is not the empty one; main is before backup, lives in their order", () => {
  const store = new Store();
  for (const dimension of ["backup", "", "main", undefined]) store.merge(one("b", series([1], [1], { dimension })));
  store.merge(one("a", series([1], [1], { dimension: "main" })));
  const names = store.of("frame_rate", ["a", "b"]).map(({ live, dimension }) => `${live} ${dimension}`);
  assert.deepEqual(names.slice(0, 2), ["a main", "b main"]);
  assert.equal(names.length, 5);
  assert.deepEqual(store.of("frame_rate", ["b"]).length, 4);
});

test("what is older than the range goes, types that nobody knows come last", () => {
  const store = new Store();
  store.merge(one("a", series([10, 20, 30], [1, 2, 3]), series([10], [1], { type: "new" })));
  store.trim(20);
  assert.deepEqual(store.of("frame_rate", ["a"])[0].times, [20, 30]);
  assert.deepEqual(store.of("new", ["a"])[0].times, []);
  assert.deepEqual(store.types(["concurrent_user", "frame_rate"]), ["concurrent_user", "frame_rate", "new"]);
});
