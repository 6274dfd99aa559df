// Sections about the predictions: training, next purchase, churn.
"use strict";

const Models = (() => {
  const {
    state, list, object, number, amount, clamp, measure, t, said, sentences, nameOf, metricName, metricMeaning,
    methodWords, lowerIsBetter, plain, whole, percent, score, signed, tickNumber, tickPercent, seconds, hasInterval, rangeOf,
    interval, h, chart, live, empty, explain, panel, switcher, chosen, table, scroller, legend, verdict, caution,
  } = Kit;

  const METHOD_STYLES = [
    { color: "var(--m1)", dash: null },
    { color: "var(--m2)", dash: "7 3" },
    { color: "var(--m3)", dash: "2 3" },
    { color: "var(--m4)", dash: "9 3 2 3" },
    { color: "var(--m5)", dash: "4 4" },
    { color: "var(--m6)", dash: "12 4" },
  ];

  // ---- 6 training -------------------------------------------------------------------------------------------------------------

  function training() {
    const runs = list(state.data.training).filter((one) => list(one.points).length);
    if (!runs.length) return empty();
    return [
      explain("train."),
      legend([
        { color: "var(--m1)", name: t("train.train_loss"), line: "on" },
        { color: "var(--m2)", name: t("train.valid_loss"), line: "on", dash: "7 3" },
        { color: "var(--m3)", name: t("train.valid_ndcg"), line: "on" },
      ]),
      runs.map(trainingRun),
    ];
  }

  function trainingRun(run) {
    const points = list(run.points).map((one) => ({
      epoch: amount(one.epoch),
      train: number(one.train_loss),
      valid: number(one.valid_loss),
      ndcg: number(one.valid_ndcg10),
      seconds: amount(one.seconds),
    }));
    const best = number(run.best_epoch);
    const marks =
      best !== null && points.some((one) => one.epoch === best) ? [{ x: best, label: t("train.best", { n: best }) }] : [];
    const series = (field) => points.map((one) => ({ x: one.epoch, y: one[field] }));
    const tipAt = (epoch) => {
      const one = points.find((p) => p.epoch === epoch);
      return [
        t("train.epoch_tip", { n: epoch }),
        ...[
          ["train_loss", one.train],
          ["valid_loss", one.valid],
          ["valid_ndcg", one.ndcg],
        ]
          .filter(([, v]) => v !== null)
          .map(([key, v]) => `${t(`train.${key}`)}: ${plain(v, 4)}`),
      ].join("\n");
    };
    const common = {
      height: 230,
      xTitle: t("train.epoch"),
      xFormat: (v) => plain(v),
      yFormat: tickNumber,
      xWhole: true,
      marks,
      tipAt,
    };
    const some = (...fields) => points.some((one) => fields.some((field) => one[field] !== null));
    const dots = points.length <= 30;
    return h(
      "div",
      { class: "panel" },
      h(
        "h3",
        { class: "break" },
        nameOf("run", run.run, run.label),
        h(
          "small",
          {},
          t("train.time", { epochs: whole(points.length), seconds: seconds(Math.max(...points.map((one) => one.seconds))) }),
        ),
      ),
      said(run.note) ? h("p", { class: "sub" }, said(run.note)) : null,
      best !== null && points.length > 1 && best === points[points.length - 1].epoch
        ? h("p", { class: "sub" }, t("train.unfinished"))
        : null,
      h(
        "div",
        { class: "pair" },
        some("train", "valid")
          ? chart((width) =>
              Charts.lines({
                ...common,
                width,
                yTitle: t("train.loss"),
                aria: t("train.chart_loss", { run: nameOf("run", run.run, run.label) }),
                series: [
                  { color: "var(--m1)", points: series("train"), dots },
                  { color: "var(--m2)", dash: "7 3", points: series("valid"), dots },
                ],
              }),
            )
          : empty(),
        some("ndcg")
          ? chart((width) =>
              Charts.lines({
                ...common,
                width,
                yTitle: t("train.ndcg"),
                aria: t("train.chart_ndcg", { run: nameOf("run", run.run, run.label) }),
                series: [{ color: "var(--m3)", points: series("ndcg"), dots }],
              }),
            )
          : empty(),
      ),
    );
  }

  // ---- 7 next purchase ----------------------------------------------------------------------------------------------------------

  function nextPurchase() {
    const tests = list(state.data.next_purchase).filter((one) => list(one.methods).length && one.customers !== 0);
    if (!tests.length) return empty();
    return [
      explain("next."),
      live((update) => {
        const options = tests.map((one, i) => ({ id: String(i), name: nameOf("protocol", one.protocol, one.label) }));
        const test = tests[Number(chosen("protocol", options))];
        const methods = list(test.methods);
        const metrics = [...new Set(methods.flatMap((one) => Object.keys(object(one.metrics))))];
        const metric = chosen(
          "next_metric",
          metrics.map((id) => ({ id })),
          "ndcg@10",
        );
        const get = (one, key) => measure(object(one.metrics)[key]);
        return [
          h("div", { class: "switches" }, switcher("protocol", t("next.protocol"), options, update)),
          h("p", { class: "sub" }, testWords(test)),
          caution(number(test.customers)),
          verdict(test.verdict),
          h(
            "div",
            { class: "switches" },
            switcher(
              "next_metric",
              t("common.metric"),
              metrics.map((id) => ({ id, name: metricName(id) })),
              update,
              "ndcg@10",
            ),
          ),
          metric
            ? [
                h("p", { class: "sub" }, sentences(metricMeaning(metric), t("next.small_note"))),
                chart(metricBars(methods, metric, get, t("next.chart", { metric: metricName(metric) }), null)),
                h("h4", {}, t("next.table")),
                metricTable(methods, metrics, get),
                mixtureWords(test),
                methodWords(methods),
              ]
            : empty(),
        ];
      }),
    ];
  }

  // What the mixture is made of in this test.
  function mixtureWords(test) {
    const parts = Object.entries(object(object(test.chosen_on_validation).weights))
      .filter(([, weight]) => amount(weight) > 0)
      .sort((a, b) => b[1] - a[1]);
    if (!parts.length) return null;
    const words = parts.map(([name, weight]) => t("next.part", { name: nameOf("method", name), share: percent(weight) }));
    return h("p", { class: "sub" }, t("next.mixed", { parts: words.join(t("common.join")) }));
  }

  function testWords(test) {
    const description = said(test.description);
    return sentences(
      description,
      t("next.tested", { customers: whole(test.customers), items: whole(test.items) }),
      test.cut && !description.includes(test.cut) ? t("next.cut", { cut: test.cut }) : "",
    );
  }

  // Bars of one metric by method. colors: null marks only the best one.
  function metricBars(methods, metric, get, aria, colors) {
    const best = bestValue(methods, metric, get);
    const rows = methods.map((one) => {
      const m = get(one, metric),
        name = nameOf("method", one.name, one.label);
      return {
        label: name,
        ...m,
        text: score(m.value),
        strong: m.value !== null && m.value === best,
        tip: `${name}\n${metricName(metric)}: ${score(m.value)}\n${interval(m)}`,
        color: colors ? colors(one) : m.value !== null && m.value === best ? "var(--bar)" : "var(--bar-soft)",
      };
    });
    const title = t("common.bracket", { a: metricName(metric), b: t(lowerIsBetter(metric) ? "common.lower" : "common.higher") });
    return (width) =>
      Charts.bars({
        width,
        rows,
        xTitle: title,
        yTitle: t("common.method"),
        format: tickNumber,
        aria,
        base: metric === "auc" ? 0.5 : 0,
      });
  }

  function bestValue(methods, metric, get) {
    const values = methods.map((one) => get(one, metric).value).filter((v) => v !== null);
    if (values.length > 1 && values.every((v) => v === values[0])) return null; // all the same: none is best
    return values.length ? (lowerIsBetter(metric) ? Math.min(...values) : Math.max(...values)) : null;
  }

  function metricTable(methods, metrics, get) {
    const best = Object.fromEntries(metrics.map((key) => [key, bestValue(methods, key, get)]));
    const show = (m, key) =>
      h(
        "td",
        { class: "num metric" },
        h(m.value !== null && m.value === best[key] && methods.length > 1 ? "strong" : "span", {}, score(m.value)),
        h("small", {}, m.value === null || !hasInterval(m) ? "" : rangeOf(m)),
      );
    return [
      table(
        [t("common.method"), ...metrics.map((key) => metricName(key) + (lowerIsBetter(key) ? " ↓" : ""))],
        methods.map((one) => [nameOf("method", one.name, one.label), ...metrics.map((key) => show(get(one, key), key))]),
        { cls: "metrics" },
      ),
      h("p", { class: "sub" }, t("common.best_mark")),
    ];
  }

  // ---- 8 churn ----------------------------------------------------------------------------------------------------------------------

  function churn() {
    const test = object(state.data.churn);
    const methods = list(test.methods);
    if (!methods.length || test.customers === 0) return empty();
    const customers = number(test.customers),
      gone = number(test.churned);
    const rate = customers ? amount(gone) / customers : null;
    const style = new Map(methods.map((one, i) => [one.name, METHOD_STYLES[i % METHOD_STYLES.length]]));
    return [
      h(
        "p",
        { class: "sub" },
        t("churn.tested", {
          cut: test.cut || "–",
          customers: whole(customers),
          days: whole(test.horizon_days),
          churned: whole(gone),
          share: percent(rate),
        }),
      ),
      caution(customers),
      verdict(test.verdict),
      churnMetrics(methods, style),
      calibration(methods, style),
      gain(methods, style, rate),
      pairs(list(test.comparisons)),
    ];
  }

  function churnMetrics(methods, style) {
    const metrics = ["auc", "pr_auc", "brier", "lift10"].filter((key) => methods.some((one) => measure(one[key]).value !== null));
    const get = (one, key) => measure(one[key]);
    if (!metrics.length) return empty();
    return h(
      "div",
      { class: "panel" },
      explain("churn."),
      live((update) => {
        const options = metrics.map((id) => ({ id, name: metricName(id) }));
        const metric = chosen("churn_metric", options, "auc");
        return [
          h("div", { class: "switches" }, switcher("churn_metric", t("common.metric"), options, update, "auc")),
          h("p", { class: "sub" }, sentences(metricMeaning(metric), metric === "auc" ? t("churn.from_chance") : "")),
          chart(
            metricBars(
              methods,
              metric,
              get,
              t("churn.chart", { metric: metricName(metric) }),
              (one) => style.get(one.name).color,
            ),
          ),
        ];
      }),
      h("h4", {}, t("churn.table")),
      metricTable(methods, metrics, get),
      methodWords(methods),
    );
  }

  function calibration(methods, style) {
    const shown = methods.filter((one) => list(one.calibration).some((p) => amount(p.count) > 0));
    if (!shown.length) return panel(t("churn.calibration"), empty());
    return panel(
      t("churn.calibration"),
      explain("churn.calibration_"),
      h(
        "div",
        { class: "multiples" },
        shown.map((one) => {
          const points = list(one.calibration)
            .filter((p) => amount(p.count) > 0 && number(p.predicted) !== null && number(p.observed) !== null)
            .map(calibrationPoint);
          const name = nameOf("method", one.name, one.label);
          return h(
            "figure",
            {},
            h(
              "figcaption",
              {},
              h("b", {}, name),
              h("small", {}, t("churn.dot", { n: whole(Math.max(0, ...points.map((p) => p.size))) })),
            ),
            chart((width) =>
              Charts.calibration({
                width,
                points,
                color: style.get(one.name).color,
                xTitle: t("churn.predicted"),
                yTitle: t("churn.observed"),
                format: tickPercent,
                aria: t("churn.chart_calibration", { method: name }),
              }),
            ),
          );
        }),
      ),
    );
  }

  function calibrationPoint(p) {
    const [low, high] = wilson(p.observed, p.count);
    return {
      x: p.predicted * 100,
      y: p.observed * 100,
      low: low * 100,
      high: high * 100,
      size: p.count,
      tip: t("churn.dot_tip", {
        p: percent(p.predicted, 1),
        o: percent(p.observed, 1),
        n: whole(p.count),
        low: percent(low, 1),
        high: percent(high, 1),
      }),
    };
  }

  // The 95 % Wilson interval of a share seen in n customers.
  function wilson(share, n) {
    const z2 = 1.96 * 1.96;
    const centre = (share + z2 / (2 * n)) / (1 + z2 / n);
    const half = (1.96 * Math.sqrt((share * (1 - share)) / n + z2 / (4 * n * n))) / (1 + z2 / n);
    return [Math.max(0, centre - half), Math.min(1, centre + half)];
  }

  function gain(methods, style, rate) {
    const shown = methods.filter((one) => list(one.gain).length > 1);
    if (!shown.length) return panel(t("churn.gain"), empty());
    const series = shown.map((one) => ({
      name: nameOf("method", one.name, one.label),
      ...style.get(one.name),
      points: withOrigin(
        list(one.gain).map((p) => ({ x: amount(p.share) * 100, y: number(p.captured) === null ? null : p.captured * 100 })),
      ),
    }));
    const guides = [
      {
        points: [
          { x: 0, y: 0 },
          { x: 100, y: 100 },
        ],
        cls: "diagonal",
      },
    ];
    if (rate > 0)
      guides.push({
        points: [
          { x: 0, y: 0 },
          { x: rate * 100, y: 100 },
          { x: 100, y: 100 },
        ],
        cls: "perfect",
      });
    const tipAt = (x) =>
      [
        t("churn.gain_tip", { share: percent(x / 100) }),
        ...series
          .map((one) => ({ name: one.name, p: one.points.find((p) => p.x === x) }))
          .filter((one) => one.p && one.p.y !== null)
          .map((one) => `${one.name}: ${percent(one.p.y / 100, 1)}`),
      ].join("\n");
    return panel(
      t("churn.gain"),
      explain("churn.gain_"),
      legend([
        ...series.map((one) => ({ name: one.name, color: one.color, dash: one.dash, line: "on" })),
        { name: t("churn.chance"), color: "var(--muted)", dash: "2 4", line: "on" },
        ...(rate > 0 ? [{ name: t("churn.perfect"), color: "var(--muted)", dash: "8 5", line: "on" }] : []),
      ]),
      chart((width) =>
        Charts.lines({
          width,
          height: Math.round(clamp(width * 0.5, 280, 400)),
          series,
          guides,
          xRange: [0, 100],
          yRange: [0, 100],
          xTitle: t("churn.gain_x"),
          yTitle: t("churn.gain_y"),
          xFormat: tickPercent,
          yFormat: tickPercent,
          aria: t("churn.chart_gain"),
          tipAt,
        }),
      ),
    );
  }

  function withOrigin(points) {
    const sorted = points.sort((a, b) => a.x - b.x);
    return sorted.length && sorted[0].x > 0 ? [{ x: 0, y: 0 }, ...sorted] : sorted;
  }

  function pairs(all) {
    const rows = all.filter((one) => number(one.difference) !== null).map(pairRow);
    if (!rows.length) return panel(t("churn.pairs"), empty());
    const metrics = [...new Set(rows.map((one) => one.metric))];
    return panel(
      t("churn.pairs"),
      explain("churn.pairs_"),
      metrics.map((metric) => {
        const here = rows.filter((one) => one.metric === metric);
        const title = t("churn.difference", {
          metric: metricName(metric),
          direction: t(lowerIsBetter(metric) ? "churn.negative_good" : "churn.positive_good"),
        });
        return chart((width) =>
          Charts.differences({
            width,
            rows: here,
            xTitle: title,
            yTitle: t("churn.pair_title"),
            format: (v, step) => (v > 0 ? "+" : "") + tickNumber(v, step),
            aria: t("churn.chart_pairs", { metric: metricName(metric) }),
          }),
        );
      }),
      scroller(
        h(
          "table",
          { class: "pairs" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              [t("churn.pair_title"), t("common.metric"), t("churn.value"), t("churn.range"), t("churn.meaning")].map((one, i) =>
                h("th", { scope: "col", class: i === 2 || i === 3 ? "num" : null }, one),
              ),
            ),
          ),
          h(
            "tbody",
            {},
            rows.map((one) =>
              h(
                "tr",
                {},
                h("th", { scope: "row" }, one.label),
                h("td", {}, metricName(one.metric)),
                h("td", { class: "num" }, signed(one.value)),
                h("td", { class: "num" }, rangeOf(one, signed)),
                h("td", { class: one.clear ? null : "unclear" }, sentenceCase(one.words)),
              ),
            ),
          ),
        ),
      ),
    );
  }

  const sentenceCase = (words) => words.charAt(0).toUpperCase() + words.slice(1);

  function pairRow(one) {
    const low = number(one.low),
      high = number(one.high);
    const clear = low !== null && high !== null && (low > 0 || high < 0);
    const a = nameOf("method", one.a, one.a_label),
      b = nameOf("method", one.b, one.b_label);
    const label = t("churn.pair", { a, b });
    const winner = one.difference > 0 === !lowerIsBetter(one.metric) ? a : b;
    const words = said(one.verdict) || (clear ? t("churn.first_better", { a: winner }) : t("common.no_clear"));
    return {
      metric: one.metric,
      label,
      value: one.difference,
      low,
      high,
      clear,
      words,
      tip: `${label}\n${metricName(one.metric)}: ${signed(one.difference)}\n${interval({ value: one.difference, low, high })}\n${words}`,
    };
  }

  return { training, nextPurchase, churn };
})();
