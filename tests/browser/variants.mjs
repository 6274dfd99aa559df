// Report objects that are hard to draw: nothing, zeros, one of everything, too much of everything, hostile words.
import { sample } from "./page.mjs";

const LONG =
  "Hand-painted limited-edition porcelain teapot with bamboo handle, infuser and four cups in a gift box (Winter collection)".repeat(
    2,
  );
const range = (n) => Array.from({ length: n }, (_, i) => i);

export function bare() {
  return { format: "perennial.report", version: 1 };
}

export function nulls() {
  const all = sample();
  for (const key of Object.keys(all)) if (key !== "format" && key !== "version") all[key] = null;
  return all;
}

export function emptyLists() {
  return {
    format: "perennial.report",
    version: 1,
    shop: { name: "Empty", currency: "EUR" },
    summary: {},
    stages_seconds: [],
    quality: { files: [{ file: "nothing.csv", rows: 0, facts: [], fates: [], rules: [] }] },
    lifecycle: { stages: [], counts: [], months: [], flows: [] },
    cohorts: { rows: [] },
    rfm: { grid: [] },
    training: [{ run: "x", points: [] }],
    next_purchase: [{ protocol: "time_split", methods: [] }],
    churn: { methods: [], comparisons: [] },
  };
}

// Every number in the sample is 0, every interval missing.
export function zeros() {
  const zero = (v, key) => {
    if (Array.isArray(v)) return v.map((one) => zero(one, key));
    if (v && typeof v === "object") return Object.fromEntries(Object.entries(v).map(([k, one]) => [k, zero(one, k)]));
    if (key === "low" || key === "high") return null;
    return typeof v === "number" && !["version", "recency", "frequency", "epoch", "best_epoch", "line"].includes(key) ? 0 : v;
  };
  return zero(sample());
}

export function tiny() {
  const all = sample();
  all.summary = {
    events: 3,
    customers: 1,
    orders: 1,
    products: 1,
    anonymous_orders: 0,
    revenue: 4.5,
    refunded: 0,
    repeat_share: 0,
  };
  all.lifecycle.months = [{ month: "2025-12", counts: [0, 1, 0, 0, 0, 0, 0, 0, 0] }];
  all.lifecycle.counts = [{ stage: "first_time", customers: 1, revenue: 4.5 }];
  all.lifecycle.flows = [{ month: "2025-12", from: "first_time", to: "first_time", customers: 1 }];
  all.cohorts.rows = [{ month: "2025-12", size: 1, retained: [1] }];
  all.rfm = {
    grid: [{ recency: 5, frequency: 1, customers: 1, mean_spend: 4.5 }],
    recency_edges_days: [1, 1, 1, 1],
    frequency_edges: [1, 1, 1, 1],
    monetary_edges: [4.5, 4.5, 4.5, 4.5],
  };
  all.training = [
    {
      run: "one",
      note: null,
      best_epoch: 1,
      points: [{ epoch: 1, seconds: 0.01, train_loss: 2, valid_loss: null, valid_ndcg10: 0 }],
    },
  ];
  all.next_purchase = [
    {
      ...all.next_purchase[0],
      customers: 3,
      methods: [{ name: "popular", metrics: { "ndcg@10": { value: 0.3, low: null, high: null } } }],
      verdict: null,
    },
  ];
  all.churn = {
    ...all.churn,
    customers: 3,
    churned: 3,
    methods: [
      {
        name: "recency",
        auc: { value: 0.5, low: 0, high: 1 },
        calibration: [{ predicted: 1, observed: 1, count: 3 }],
        gain: [
          { share: 0, captured: 0 },
          { share: 1, captured: 1 },
        ],
      },
    ],
    comparisons: [{ a: "recency", b: "recency", metric: "auc", difference: 0, low: 0, high: 0, verdict: null }],
    verdict: null,
  };
  all.stages_seconds = [{ name: "import", seconds: 0.001 }];
  return all;
}

export function huge() {
  const all = sample();
  const months = range(40).map((i) => `${2020 + Math.floor(i / 12)}-${String((i % 12) + 1).padStart(2, "0")}`);
  all.shop = {
    ...all.shop,
    name: LONG,
    currency: "NOTACURRENCY",
    command: `perennial report ${LONG.replaceAll(" ", "_")}`,
    machine: LONG,
  };
  all.summary = {
    events: 98_765_432_109,
    customers: 1_234_567_890,
    orders: 9_876_543_210,
    products: 123_456_789,
    anonymous_orders: 1_234_567,
    revenue: 987_654_321_098.76,
    refunded: 12_345_678_901.23,
    repeat_share: 0.999,
  };
  all.lifecycle.months = months.map((month, m) => ({
    month,
    counts: range(9).map((s) => 1_000_000 + 250_000 * s + 90_000 * ((m * (s + 3)) % 17)),
  }));
  all.lifecycle.counts = all.lifecycle.stages.map((stage, i) => ({
    stage,
    customers: 10 ** i * 3,
    revenue: 10 ** (i + 3) * 7.77,
  }));
  all.lifecycle.flows = all.lifecycle.stages.flatMap((from, i) =>
    all.lifecycle.stages.map((to, j) => ({ month: "2023-04", from, to, customers: 10 ** ((i * j) % 7) })),
  );
  all.cohorts.rows = months.map((month, m) => ({
    month,
    size: 1_000_000 + m,
    retained: range(40 - m).map((k) => (k ? 0.4 / k : 1)),
  }));
  for (const box of all.rfm.grid) {
    box.customers *= 1000;
    box.mean_spend *= 1000;
  }
  all.rfm.recency_edges_days = [1000, 2000, 3000, 4000];
  all.rfm.monetary_edges = [1e6, 2e6, 3e6, 4e6];
  const file = all.quality.files[0];
  file.file = `${LONG.replaceAll(" ", "-")}.csv`;
  file.fates.push(
    ...range(6).map((i) => ({
      name: `other_fate_${i}`,
      label: { en: `${LONG} ${i}`, zh: `很长的去向名称${"很长".repeat(30)}${i}` },
      rows: 1,
    })),
  );
  file.rules.push({
    name: LONG,
    enabled: true,
    rows: 12,
    effect: { en: LONG, zh: LONG },
    samples: [{ line: 123_456_789, text: LONG.repeat(20) }],
  });
  all.training.push(
    ...range(3).map((i) => ({
      run: `${LONG}_${i}`,
      note: { en: LONG, zh: LONG },
      best_epoch: 200,
      points: range(200).map((e) => ({
        epoch: e + 1,
        seconds: 100,
        train_loss: 1e6 / (e + 1),
        valid_loss: e % 7 ? 2e6 / (e + 1) : null,
        valid_ndcg10: 1e-5 * e,
      })),
    })),
  );
  const names = range(8).map((i) => `${LONG} ${i}`);
  all.next_purchase[0].methods.push(
    ...names.map((name) => ({
      name,
      metrics: { "ndcg@10": { value: 0.05, low: 0.01, high: 0.4 }, coverage: { value: 1, low: 1, high: 1 } },
    })),
  );
  all.churn.methods.push(...names.map((name) => ({ ...all.churn.methods[0], name })));
  all.churn.comparisons.push({
    a: names[0],
    b: names[1],
    metric: "auc",
    difference: -0.4,
    low: -0.5,
    high: -0.3,
    verdict: { en: LONG, zh: LONG },
  });
  all.stages_seconds.push({ name: LONG, seconds: 360_000 });
  return all;
}

export function hostile() {
  const evil = `</script><script>window.pwned=1</script><!--<script> <img src=x onerror="window.pwned=1"> {{report.json}} /*{{report.css}}*/ $& \u2028 "quoted"`;
  const all = sample();
  all.shop.name = evil;
  all.quality.files[0].rules[0].name = evil;
  all.quality.files[0].rules[1].name = "__proto__";
  all.quality.files[0].rules[2].name = "constructor";
  all.quality.files[0].rules[3].samples = [{ line: 1, text: evil }];
  all.churn.methods[0].name = evil;
  all.next_purchase[0].verdict = { en: evil, zh: evil };
  return all;
}

export const variants = { bare, nulls, emptyLists, zeros, tiny, huge, hostile };
