// Makes web/report/sample.json: a made-up shop whose numbers agree with each other (rows add up, flows match the
// counts, gain curves match the share of leavers). Run: node make-sample.mjs > ../../web/report/sample.json
const STAGES = ["visitor", "first_time", "active", "repeat", "loyal", "cooling", "at_risk", "lapsed", "won_back"];

let seed = 20240229;
function random() {
  // mulberry32
  seed = (seed + 0x6d2b79f5) | 0;
  let x = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
  return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
}
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const below = (z) => {
  // normal distribution function, Abramowitz and Stegun 26.2.17
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const tail =
    0.3989423 * Math.exp((-z * z) / 2) * t * (0.3193815 + t * (-0.3565638 + t * (1.781478 + t * (-1.821256 + t * 1.330274))));
  return z > 0 ? 1 - tail : tail;
};
function quantile(p) {
  let low = -8,
    high = 8;
  for (let i = 0; i < 60; i++)
    if (below((low + high) / 2) < p) low = (low + high) / 2;
    else high = (low + high) / 2;
  return low;
}
const round = (v, places = 4) => Number(v.toFixed(places));
const month = (i) => `${2024 + Math.floor(i / 12)}-${String((i % 12) + 1).padStart(2, "0")}`;
const range = (n) => Array.from({ length: n }, (_, i) => i);

const MOVES = {
  visitor: { visitor: 0.9, first_time: 0.1 },
  first_time: { first_time: 0.52, active: 0.16, cooling: 0.32 },
  active: { active: 0.6, repeat: 0.2, cooling: 0.2 },
  repeat: { repeat: 0.72, loyal: 0.08, cooling: 0.2 },
  loyal: { loyal: 0.9, cooling: 0.1 },
  cooling: { cooling: 0.36, active: 0.12, repeat: 0.13, loyal: 0.03, at_risk: 0.36 },
  at_risk: { at_risk: 0.55, repeat: 0.06, active: 0.05, lapsed: 0.34 },
  lapsed: { lapsed: 0.965, won_back: 0.035 },
  won_back: { won_back: 0.5, active: 0.16, repeat: 0.08, cooling: 0.26 },
};

function lifecycle(months) {
  let counts = Object.fromEntries(STAGES.map((s) => [s, 0]));
  const rows = [],
    flows = [];
  for (const m of range(months)) {
    const next = Object.fromEntries(STAGES.map((s) => [s, 0]));
    const move = (from, to, n) => {
      if (n <= 0) return;
      next[to] += n;
      flows.push({ month: month(m), from, to, customers: n });
    };
    for (const from of STAGES) {
      const options = Object.entries(MOVES[from]);
      let left = counts[from];
      options.forEach(([to, share], i) => {
        const n = i === options.length - 1 ? left : Math.min(left, Math.round(counts[from] * share * (1 + 0.08 * normal())));
        left -= n;
        move(from, to, n);
      });
    }
    const season = m % 12 >= 9 ? 1.5 : 1;
    move(null, "first_time", Math.round(150 * season * (1 + 0.15 * normal())));
    move(null, "visitor", Math.round(110 * season * (1 + 0.15 * normal())));
    counts = next;
    rows.push({ month: month(m), counts: STAGES.map((s) => counts[s]) });
  }
  const spend = {
    visitor: 0,
    first_time: 61,
    active: 148,
    repeat: 392,
    loyal: 1730,
    cooling: 301,
    at_risk: 266,
    lapsed: 118,
    won_back: 243,
  };
  return {
    as_of: "2025-12-31",
    stages: STAGES,
    counts: STAGES.map((s) => ({
      stage: s,
      customers: counts[s],
      revenue: round(counts[s] * spend[s] * (1 + 0.03 * normal()), 2),
    })),
    months: rows,
    flows,
  };
}

function cohorts(months) {
  return {
    rows: range(months).map((m) => {
      const size = Math.round(160 * (m % 12 >= 9 ? 1.5 : 1) * (1 + 0.15 * normal()));
      const retained = range(months - m).map((k) => {
        if (k === 0) return 1;
        const share = (0.1 + 0.19 * Math.exp(-k / 4)) * ((m + k) % 12 >= 9 ? 1.25 : 1) * (1 + 0.1 * normal());
        return round(Math.round(size * share) / size);
      });
      return { month: month(m), size, retained };
    }),
  };
}

function rfm(buyers) {
  const weights = range(5).flatMap((r) =>
    range(5).map((f) => ({
      recency: r + 1,
      frequency: f + 1,
      w: Math.exp(-0.16 * (r - f) ** 2) * (f === 0 ? 1.5 : 1) * (r === 0 ? 1.2 : 1) * (1 + 0.12 * normal()),
    })),
  );
  const total = weights.reduce((a, x) => a + x.w, 0);
  let left = buyers;
  const grid = weights.map((x, i) => {
    const customers = i === weights.length - 1 ? left : Math.round((buyers * x.w) / total);
    left -= customers;
    return {
      recency: x.recency,
      frequency: x.frequency,
      customers,
      mean_spend: round(38 * x.frequency ** 2.1 * (1 + 0.08 * normal()), 2),
    };
  });
  return { grid, recency_edges_days: [21, 58, 134, 291], frequency_edges: [1, 2, 4, 8], monetary_edges: [48, 120, 310, 890] };
}

function training() {
  const run = (name, epochs, floor, top, note) => {
    const points = range(epochs).map((e) => ({
      epoch: e + 1,
      seconds: round(11.2 * (e + 1) + 0.3 * normal(), 2),
      train_loss: round(floor + 2.3 * Math.exp(-e / 4.5) - 0.012 * e),
      valid_loss: round(floor + 0.22 + 2.2 * Math.exp(-e / 4.2) + Math.max(0, e - 11) * 0.011 + 0.006 * normal()),
      valid_ndcg10: round(top * (1 - Math.exp(-(e + 1) / 4)) - Math.max(0, e - 13) * 0.0012 + 0.0012 * normal()),
    }));
    const best = points.reduce((a, b) => (b.valid_ndcg10 > a.valid_ndcg10 ? b : a)).epoch;
    return { run: name, note, best_epoch: best, points };
  };
  return [
    run("time_split", 22, 4.1, 0.148, {
      en: "Sample run: learned from orders before 2025-10-01.",
      zh: "示例训练：用 2025-10-01 之前的订单学习。",
    }),
    run("leave_one_out", 18, 4.3, 0.139, null),
  ];
}

const metric = (value, half) => ({ value: round(value), low: round(value - half), high: round(value + half) });

function nextPurchase() {
  const base = { popular: 0.052, own_repeats: 0.118, pair_counts: 0.101, network: 0.139, mixture: 0.144 };
  const one = (protocol, factor, extra) => ({
    protocol,
    ...extra,
    methods: Object.entries(base).map(([name, v]) => ({
      name,
      metrics: {
        "ndcg@10": metric(v * factor, 0.0072),
        "recall@10": metric(v * factor * 1.32, 0.0095),
        "recall@20": metric(v * factor * 1.83, 0.0112),
        "hit@10": metric(v * factor * 2.7, 0.018),
        mrr: metric(v * factor * 1.1, 0.0081),
      },
    })),
  });
  return [
    one("time_split", 1, {
      description: {
        en: "Learn from everything before a date, guess what is bought after it.",
        zh: "用某日之前的全部数据学习，预测之后的购买。",
      },
      customers: 1488,
      items: 2210,
      cut: "2025-10-01",
      chosen_on_validation: { weights: { own_repeats: 0.3, pair_counts: 0, network: 0.7 } },
      verdict: {
        en: "The mixture is clearly better than the most popular products. Between the mixture and the behaviour model there is no clear difference.",
        zh: "混合模型明显优于最畅销商品；混合模型与行为模型之间无明显差异。",
      },
    }),
    one("leave_one_out", 0.94, {
      description: { en: "Hide the last purchased product of each customer and guess it.", zh: "隐藏每位客户最后购买的商品并预测它。" },
      customers: 1752,
      items: 2210,
      cut: null,
      verdict: { en: "The order of the methods is the same as in the other test.", zh: "各方法的名次与另一测试相同。" },
    }),
  ];
}

function churn() {
  const customers = 1926,
    churned = 1011,
    base = churned / customers;
  const skill = { recency: 0.706, rhythm_rule: 0.727, time_head: 0.748, boosted_trees: 0.771, combined: 0.778 };
  const bias = { recency: 0.1, rhythm_rule: -0.09, time_head: 0.05, boosted_trees: 0.015, combined: 0.01 };
  const captured = (share, auc) => {
    // two normal score curves, as far apart as the AUC says
    const apart = Math.SQRT2 * quantile(auc);
    let low = -8,
      high = 8;
    for (let i = 0; i < 60; i++) {
      const cut = (low + high) / 2;
      if (base * below(apart - cut) + (1 - base) * below(-cut) > share) low = cut;
      else high = cut;
    }
    return share <= 0 ? 0 : share >= 1 ? 1 : below(apart - low);
  };
  const methods = Object.entries(skill).map(([name, auc]) => {
    const bins = [0.06, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.94];
    const weights = [62, 118, 171, 216, 262, 291, 277, 246, 188, 95];
    return {
      name,
      auc: metric(auc, 0.0215),
      pr_auc: metric(auc + 0.012, 0.026),
      brier: metric(0.25 - (auc - 0.5) * 0.21, 0.0068),
      lift10: metric(captured(0.1, auc) / 0.1, 0.09),
      calibration: bins.map((p, i) => ({
        predicted: p,
        observed: round(Math.min(1, Math.max(0, p + bias[name] * Math.sin(Math.PI * p) + 0.02 * normal()))),
        count: weights[i],
      })),
      gain: range(21).map((i) => ({ share: round(i / 20), captured: round(captured(i / 20, auc)) })),
    };
  });
  const none = { en: "No clear difference.", zh: "无明显差异。" };
  return {
    cut: "2025-10-01",
    horizon_days: 90,
    customers,
    churned,
    methods,
    comparisons: [
      {
        a: "combined",
        b: "recency",
        metric: "auc",
        difference: 0.072,
        low: 0.049,
        high: 0.095,
        verdict: { en: "Combined is better.", zh: "组合方法更好。" },
      },
      {
        a: "combined",
        b: "rhythm_rule",
        metric: "auc",
        difference: 0.051,
        low: 0.031,
        high: 0.072,
        verdict: { en: "Combined is better.", zh: "组合方法更好。" },
      },
      {
        a: "combined",
        b: "time_head",
        metric: "auc",
        difference: 0.03,
        low: 0.012,
        high: 0.049,
        verdict: { en: "Combined is better.", zh: "组合方法更好。" },
      },
      { a: "combined", b: "boosted_trees", metric: "auc", difference: 0.007, low: -0.004, high: 0.018, verdict: none },
      { a: "combined", b: "boosted_trees", metric: "brier", difference: -0.0015, low: -0.0041, high: 0.0012, verdict: none },
    ],
    verdict: {
      en: "The combined method finds leavers better than the days since the last order. It is not clearly better than boosted trees alone.",
      zh: "组合方法比“距上次下单天数”更能识别流失客户，但并不明显优于单独的提升树。",
    },
  };
}

function quality() {
  const rows = 188_412;
  const fates = [
    ["order_line", 0],
    ["anonymous_order_line", 21_903],
    ["refund_line", 3_482],
    ["charge", 1_207],
    ["stock_adjustment", 655],
    ["duplicate_row", 2_041],
    ["quarantined", 318],
  ].map(([name, n]) => ({ name, rows: n }));
  fates[0].rows = rows - fates.reduce((a, x) => a + x.rows, 0);
  const text = (i) => `A${5200 + i},SP-${410 + i},Sample mug no. ${i + 1},2,2024-03-0${i + 1} 10:1${i},4.95,,Sampleland`;
  const samples = (n) => range(n).map((i) => ({ line: 1042 + 977 * i, text: text(i) }));
  return {
    files: [
      {
        file: "sample_orders.csv",
        rows,
        facts: [
          { name: "first_day", value: "2024-01-02" },
          { name: "last_day", value: "2025-12-31" },
          { name: "customers", value: 4187 },
          { name: "products", value: 2210 },
          { name: "countries", value: 7 },
          { name: "encoding", value: "UTF-8" },
        ],
        fates,
        rules: [
          { name: "exact_duplicate_rows", enabled: true, rows: 2041, effect: "drop", samples: samples(2) },
          { name: "no_customer", enabled: true, rows: 21903, effect: "anonymous", samples: samples(3) },
          {
            name: "cancellations",
            enabled: true,
            rows: 3482,
            effect: "kept as refunds, matched to the order line they cancel",
            details: [
              { name: "matched", rows: 3107 },
              { name: "matched_in_part", rows: 41 },
              { name: "unmatched", rows: 334 },
            ],
            samples: samples(3),
          },
          { name: "charges", enabled: true, rows: 1207, effect: "charge", samples: samples(2) },
          { name: "negative_quantity_outside_cancellation", enabled: true, rows: 655, effect: "stock", samples: samples(1) },
          {
            name: "unparseable_rows",
            enabled: true,
            rows: 318,
            effect: "set_aside",
            samples: [
              {
                line: 9021,
                text: "A9021,SP-77,Sample lamp with a very long product name that goes on and on — brushed brass, linen shade, 1.8 m textile cable, dimmable, gift-wrapped (limited edition),two,2024-05-11 09:00,39.00,S1180,Sampleland",
              },
            ],
          },
          { name: "absurd_quantity", enabled: false, rows: 0, effect: "flag", samples: [] },
        ],
        rows_per_second: 941_000,
        seconds: 0.2,
      },
    ],
  };
}

const life = lifecycle(24);
const buyers = life.counts.filter((c) => c.stage !== "visitor").reduce((a, c) => a + c.customers, 0);
const known = life.counts.reduce((a, c) => a + c.customers, 0);
const revenue = round(life.counts.reduce((a, c) => a + c.revenue, 0) * 1.131, 2);

const report = {
  format: "perennial.report",
  version: 1,
  shop: {
    name: "Sample Homeware",
    sample: true,
    currency: "GBP",
    generated: "2026-01-05T09:30:00Z",
    first_day: "2024-01-02",
    last_day: "2025-12-31",
    commit: "0000000 (sample)",
    machine: "sample machine, 8 cores",
    command: "perennial report --shop sample",
  },
  summary: {
    events: 187_112,
    customers: known,
    orders: 19_874,
    products: 2210,
    anonymous_orders: 1896,
    revenue,
    refunded: round(revenue * 0.0213, 2),
    repeat_share: 0.613,
  },
  stages_seconds: [
    ["import", 0.4],
    ["train", 322.5],
    ["evaluate", 471.8],
  ].map(([name, seconds]) => ({ name, seconds })),
  quality: quality(),
  lifecycle: life,
  cohorts: cohorts(24),
  rfm: rfm(buyers),
  training: training(),
  next_purchase: nextPurchase(),
  churn: churn(),
};

// Compact where it is dull: an object or a list without objects inside stays on one line.
function write(value, indent = "") {
  const flat = JSON.stringify(value);
  const inside = value && typeof value === "object" ? Object.values(value) : [];
  if (flat.length <= 118 - indent.length || !inside.some((one) => one && typeof one === "object")) return flat;
  const deeper = `${indent} `;
  const parts = Array.isArray(value)
    ? value.map((one) => deeper + write(one, deeper))
    : Object.entries(value).map(([key, one]) => `${deeper}${JSON.stringify(key)}: ${write(one, deeper)}`);
  return Array.isArray(value) ? `[\n${parts.join(",\n")}\n${indent}]` : `{\n${parts.join(",\n")}\n${indent}}`;
}

process.stdout.write(write(report) + "\n");
