// Sections about the shop and its customers: overview, data quality, lifecycle, retention, recency and frequency.
"use strict";

const Customers = (() => {
  const {
    STAGES, state, list, object, number, amount, sum, clamp, t, said, nameOf, stageName, locale, plain, whole,
    percent, money, compact, tickNumber, seconds, h, chart, live, empty, explain, panel, switcher, chosen, table,
    scroller, cell, numbers, legend, swatch, stageColor,
  } = Kit;

  const SLIPPING = ["cooling", "at_risk"];
  const FATE_COLORS = {
    kept: "--fate-good",
    imported: "--fate-good",
    sale: "--fate-good",
    order_completed: "--fate-good",
    order_line: "--fate-good",
    event: "--fate-good",
    repaired: "--fate-good2",
    anonymous: "--fate-plain",
    anonymous_order_line: "--fate-plain",
    free_item: "--fate-good2",
    refund: "--fate-refund",
    order_refunded: "--fate-refund",
    refund_line: "--fate-refund",
    charge: "--fate-charge",
    order_charge: "--fate-charge",
    stock_changed: "--fate-stock",
    stock_adjustment: "--fate-stock",
    duplicate: "--fate-grey",
    duplicate_row: "--fate-grey",
    merged: "--fate-grey",
    skipped: "--fate-grey",
    empty: "--fate-grey",
    dropped: "--fate-bad",
    rejected: "--fate-bad",
    unreadable: "--fate-bad",
    set_aside: "--fate-aside",
    voided: "--fate-aside",
    quarantined: "--fate-bad",
  };
  // Rows with these fates are not used.
  const LEFT_OUT = ["duplicate", "duplicate_row", "merged", "skipped", "dropped", "rejected", "set_aside", "voided", "quarantined", "unreadable", "empty"];
  // Named even when no row has them: that none was lost is worth saying.
  const ALWAYS_NAMED = ["quarantined", "rejected", "unreadable", "dropped"];
  const SPARE_COLORS = ["--m1", "--m2", "--m3", "--m4", "--m5", "--m6"];

  // ---- 1 overview -----------------------------------------------------------------------------------------------------

  function overview() {
    const all = object(state.data.summary);
    const has = Object.values(all).some((v) => number(v) !== null);
    return [has ? h("div", { class: "tiles" }, keyFigures(all).map(tile)) : empty(), inShort()];
  }

  function keyFigures(all) {
    const orders = number(all.orders),
      revenue = number(all.revenue),
      customers = number(all.customers);
    const withCustomer = orders === null ? null : orders - amount(all.anonymous_orders);
    const perCustomer = withCustomer !== null && customers ? plain(withCustomer / customers, 1) : "–";
    const currency = object(state.data.shop).currency || "–";
    const part = (a, b) => percent(b ? amount(a) / b : null);
    return [
      ["customers", whole(all.customers), t("overview.customers_note")],
      ["orders", whole(all.orders), t("overview.orders_note", { n: perCustomer })],
      ["revenue", money(all.revenue, true), t("overview.revenue_note", { currency }), money(all.revenue)],
      ["repeat", percent(all.repeat_share), t("overview.repeat_note")],
      [
        "refunded",
        money(all.refunded, true),
        t("overview.refunded_note", { share: part(all.refunded, revenue) }),
        money(all.refunded),
      ],
      ["products", whole(all.products), t("overview.products_note")],
      ["anonymous", whole(all.anonymous_orders), t("overview.anonymous_note", { share: part(all.anonymous_orders, orders) })],
      ["events", whole(all.events), t("overview.events_note")],
    ];
  }

  function tile([key, value, note, exact]) {
    return h(
      "div",
      { class: "tile" },
      h("span", { class: "tile-name" }, t(`overview.${key}`)),
      h("strong", exact ? { title: exact } : {}, value),
      h("span", { class: "tile-note" }, note),
    );
  }

  function inShort() {
    const points = [...lifecyclePoints(), ...qualityPoints(), ...predictionPoints()];
    if (!points.length) return null;
    return h(
      "div",
      { class: "short" },
      h("h3", {}, t("overview.short")),
      h(
        "ul",
        {},
        points.map(([target, words]) => h("li", {}, h("a", { href: `#${target}` }, words))),
      ),
    );
  }

  function lifecyclePoints() {
    const counts = list(object(state.data.lifecycle).counts);
    const buyers = counts.filter((one) => one.stage !== "visitor");
    const total = sum(buyers.map((one) => amount(one.customers)));
    if (!total) return [];
    const largest = buyers.reduce((a, b) => (amount(b.customers) > amount(a.customers) ? b : a));
    const slipping = buyers.filter((one) => SLIPPING.includes(one.stage));
    const n = sum(slipping.map((one) => amount(one.customers)));
    const out = [
      [
        "lifecycle",
        t("overview.point_largest", {
          stage: stageName(largest.stage),
          n: whole(largest.customers),
          share: percent(largest.customers / total),
        }),
      ],
    ];
    if (n)
      out.push([
        "lifecycle",
        t("overview.point_slipping", { n: whole(n), money: money(sum(slipping.map((one) => amount(one.revenue))), true) }),
      ]);
    return out;
  }

  function qualityPoints() {
    const files = list(object(state.data.quality).files);
    const rows = sum(files.map((one) => amount(one.rows)));
    const fates = files.flatMap((one) => list(one.fates));
    const used = sum(fates.filter((one) => !LEFT_OUT.includes(one.name)).map((one) => amount(one.rows)));
    return rows && used ? [["quality", t("overview.point_quality", { share: percent(used / rows, 1), n: whole(rows) })]] : [];
  }

  function predictionPoints() {
    const out = [];
    const next = list(state.data.next_purchase).find((one) => said(one.verdict));
    if (next) out.push(["next", t("overview.point_next", { text: said(next.verdict) })]);
    const churn = said(object(state.data.churn).verdict);
    if (churn) out.push(["churn", t("overview.point_churn", { text: churn })]);
    return out;
  }

  // ---- 2 data quality ---------------------------------------------------------------------------------------------------

  function quality() {
    const files = list(object(state.data.quality).files);
    return files.length ? [explain("quality."), files.map(qualityFile)] : empty();
  }

  // A path says nothing to the reader and may say too much to others: the last part is enough.
  const fileName = (file) => String(file.file || "–").replace(/^.*[\\/](?=.)/, "");

  function qualityFile(file) {
    const fates = list(file.fates);
    const rate = number(file.rows_per_second),
      time = number(file.seconds);
    return h(
      "div",
      { class: "panel" },
      h("h3", { class: "break" }, t("quality.file", { name: fileName(file) })),
      rate !== null && time !== null
        ? h("p", { class: "sub" }, t("quality.speed", { rows: whole(file.rows), seconds: seconds(time), rate: compact(rate) }))
        : null,
      fates.length ? rowFates(file, fates) : empty(),
      facts(file),
      rules(file),
    );
  }

  function rowFates(file, fates) {
    const total = amount(file.rows);
    const parts = fates.map((one, i) => {
      const name = nameOf("fate", one.name, one.label),
        rows = amount(one.rows);
      const color = `var(${FATE_COLORS[one.name] || SPARE_COLORS[i % SPARE_COLORS.length]})`;
      return {
        code: one.name,
        name,
        rows,
        value: rows,
        color,
        share: total ? rows / total : null,
        tip: `${name}\n${whole(rows)} (${percent(total ? rows / total : null, 2)})`,
      };
    });
    const added = sum(parts.map((one) => one.rows));
    const right = added === total;
    const check = right ? t("quality.sum_ok") : t("quality.sum_bad", { n: whole(total), d: whole(added - total) });
    const named = parts.filter((one) => one.rows || ALWAYS_NAMED.includes(one.code));
    const body = named.map((one) => [h("th", { scope: "row" }, swatch(one), one.name), whole(one.rows), percent(one.share, 2)]);
    return [
      total || added
        ? chart((width) =>
            Charts.partsBar({
              width,
              parts,
              total,
              xTitle: t("common.rows"),
              yTitle: t("quality.rows_axis"),
              format: tickNumber,
              aria: t("quality.chart", { name: fileName(file) }),
            }),
          )
        : null,
      scroller(
        h(
          "table",
          { class: "fates" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              [t("quality.fate"), t("common.rows"), t("common.share")].map((one, i) =>
                h("th", { scope: "col", class: i ? "num" : null }, one),
              ),
            ),
          ),
          h(
            "tbody",
            {},
            body.map((row) => h("tr", {}, row.map(cell))),
          ),
          h(
            "tfoot",
            {},
            h(
              "tr",
              { class: right ? "good" : "bad" },
              h("th", { scope: "row" }, t("common.sum")),
              h("td", { class: "num" }, whole(added)),
              h("td", { class: "check" }, right ? "✓ " : "✗ ", check),
            ),
          ),
        ),
      ),
    ];
  }

  function facts(file) {
    const all = list(file.facts);
    if (!all.length) return null;
    const show = (v) => (typeof v === "number" ? v.toLocaleString(locale()) : typeof v === "string" ? v : said(v));
    return [
      h("h4", {}, t("quality.facts")),
      h(
        "dl",
        { class: "facts" },
        all.map((one) => h("div", {}, h("dt", {}, nameOf("fact", one.name, one.label)), h("dd", {}, show(one.value)))),
      ),
    ];
  }

  function rules(file) {
    const all = list(file.rules);
    if (!all.length) return h("p", { class: "sub" }, t("quality.no_rules"));
    const head = [t("quality.rule"), t("common.rows"), t("common.share"), t("quality.effect")];
    return [
      h("h4", {}, t("quality.rules")),
      explain("quality.rules_"),
      scroller(
        h(
          "table",
          { class: "rules" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              head.map((one, i) => h("th", { scope: "col", class: i === 1 || i === 2 ? "num" : null }, one)),
            ),
          ),
          all.map((one) => ruleRows(one, amount(file.rows))),
        ),
      ),
    ];
  }

  function ruleRows(rule, total) {
    const samples = list(rule.samples);
    const on = rule.enabled !== false;
    const details = list(rule.details).map((one) =>
      t("quality.detail", { name: nameOf("detail", one.name, one.label), n: whole(one.rows) }),
    );
    const effect =
      typeof rule.effect === "string"
        ? Object.hasOwn(Strings.names.effect, rule.effect)
          ? nameOf("effect", rule.effect)
          : Object.hasOwn(Strings.names.rule_effect, rule.name)
            ? nameOf("rule_effect", rule.name)
            : rule.effect
        : said(rule.effect);
    return h(
      "tbody",
      { class: on ? null : "off" },
      h(
        "tr",
        {},
        h(
          "th",
          { scope: "row" },
          nameOf("rule", rule.name, rule.label),
          on ? null : h("span", { class: "pill" }, t("common.no")),
        ),
        h("td", { class: "num" }, whole(rule.rows)),
        h("td", { class: "num" }, percent(total ? amount(rule.rows) / total : null, 2)),
        h(
          "td",
          {},
          effect || "–",
          details.length ? h("small", { class: "details" }, details.join(t("common.join"))) : null,
        ),
      ),
      samples.length
        ? h(
            "tr",
            { class: "samples" },
            h(
              "td",
              { colspan: "4" },
              h(
                "details",
                {},
                h("summary", {}, t("quality.samples", { n: samples.length })),
                h(
                  "ol",
                  {},
                  samples.map((one) =>
                    h(
                      "li",
                      {},
                      h("span", { class: "line" }, t("quality.line", { n: whole(one.line) })),
                      h("code", {}, String(one.text ?? "")),
                    ),
                  ),
                ),
              ),
            ),
          )
        : null,
    );
  }

  // ---- 3 lifecycle --------------------------------------------------------------------------------------------------------

  function lifecycle() {
    const life = object(state.data.lifecycle);
    return [stagesNow(life), stageWords(life), stageMonths(life), stageFlows(life)];
  }

  function stagesNow(life) {
    const counts = list(life.counts);
    const byStage = new Map(counts.map((one) => [one.stage, one]));
    const order = list(life.stages).length ? list(life.stages) : STAGES;
    const total = sum(counts.map((one) => amount(one.customers)));
    const title = h("h3", {}, t("life.now"), life.as_of ? h("small", {}, t("life.now_as_of", { day: life.as_of })) : null);
    if (!total) return h("div", { class: "panel" }, title, empty());
    const rows = (field, show) =>
      order.map((stage) => {
        const v = amount(object(byStage.get(stage))[field]);
        return {
          label: stageName(stage),
          value: v,
          text: show(v),
          color: stageColor(stage),
          tip: stageTip(stage, byStage.get(stage), total),
        };
      });
    const common = { yTitle: t("common.stage"), format: tickNumber };
    const currency = object(state.data.shop).currency || "–";
    return h(
      "div",
      { class: "panel" },
      title,
      explain("life.now_"),
      h(
        "div",
        { class: "pair" },
        chart((width) =>
          Charts.bars({
            ...common,
            width,
            rows: rows("customers", whole),
            xTitle: t("life.customers_axis"),
            whole: true,
            aria: t("life.chart_customers"),
          }),
        ),
        chart((width) =>
          Charts.bars({
            ...common,
            width,
            rows: rows("revenue", (v) => money(v, true)),
            xTitle: t("life.revenue_axis", { currency }),
            aria: t("life.chart_revenue"),
          }),
        ),
      ),
      numbers(
        table(
          [t("common.stage"), t("common.customers"), t("common.share"), t("common.revenue")],
          order.map((stage) => {
            const one = object(byStage.get(stage));
            return [
              stageName(stage),
              whole(amount(one.customers)),
              percent(amount(one.customers) / total, 1),
              money(amount(one.revenue)),
            ];
          }),
        ),
      ),
    );
  }

  function stageTip(stage, one, total) {
    const n = amount(object(one).customers);
    return `${stageName(stage)}\n${t("common.customers")}: ${whole(n)} (${percent(n / total, 1)})\n${t("common.revenue")}: ${money(amount(object(one).revenue))}`;
  }

  function stageWords(life) {
    const own = object(life.definitions);
    const order = list(life.stages).length ? list(life.stages) : STAGES;
    const words = (stage) => said(own[stage]) || (Strings.text[`life.def.${stage}`] ? t(`life.def.${stage}`) : "–");
    return panel(
      t("life.words"),
      h("p", { class: "sub" }, t("life.words_note")),
      h(
        "dl",
        { class: "words" },
        order.map((stage) =>
          h("div", {}, h("dt", {}, swatch({ color: stageColor(stage) }), stageName(stage)), h("dd", {}, words(stage))),
        ),
      ),
    );
  }

  function stageMonths(life) {
    const months = list(life.months).filter((one) => Array.isArray(one.counts));
    const order = list(life.stages).length ? list(life.stages) : STAGES;
    if (!months.length || !sum(months.map((one) => sum(one.counts.map(amount))))) return panel(t("life.months"), empty());
    const visitors = order.indexOf("visitor");
    const anyVisitors = visitors >= 0 && months.some((one) => amount(one.counts[visitors]) > 0);
    return panel(
      t("life.months"),
      explain("life.months_"),
      months.length === 1 ? h("p", { class: "note" }, t("life.months_one")) : null,
      partMonth(life),
      live((update) => {
        const scales = [
          { id: "share", name: t("life.as_share") },
          { id: "count", name: t("life.as_count") },
        ];
        const whos = anyVisitors
          ? [
              { id: "buyers", name: t("life.without_visitors") },
              { id: "all", name: t("life.with_visitors") },
            ]
          : [{ id: "buyers", name: "" }];
        const share = chosen("months", scales) === "share",
          who = chosen("who", whos);
        const shown = order
          .map((stage, i) => ({ stage, i }))
          .filter(({ i }) => i !== visitors || who === "all")
          .filter(({ stage, i }) => stage || i >= 0);
        const totals = months.map((one) => sum(shown.map(({ i }) => amount(one.counts[i]))));
        const tips = months.map((one, m) =>
          [
            one.month,
            ...shown
              .map(({ stage, i }) => ({ stage, n: amount(one.counts[i]) }))
              .reverse()
              .filter((x) => x.n)
              .map((x) => `${stageName(x.stage)}: ${whole(x.n)} (${percent(totals[m] ? x.n / totals[m] : 0, 1)})`),
          ].join("\n"),
        );
        return [
          h(
            "div",
            { class: "switches" },
            switcher("months", t("life.scale"), scales, update),
            switcher("who", t("life.who"), whos, update),
          ),
          legend(shown.map(({ stage }) => ({ color: stageColor(stage), name: stageName(stage) }))),
          chart((width) =>
            Charts.layers({
              width,
              months: months.map((one) => one.month),
              share,
              tips,
              layers: shown.map(({ stage, i }) => ({
                color: stageColor(stage),
                values: months.map((one) => amount(one.counts[i])),
              })),
              xTitle: t("life.month_axis"),
              yTitle: t(share ? "life.share_axis" : "life.customers_axis"),
              format: tickNumber,
              aria: t("life.chart_months"),
            }),
          ),
          numbers(
            table(
              [t("common.month"), ...shown.map(({ stage }) => stageName(stage))],
              months.map((one) => [one.month, ...shown.map(({ i }) => whole(amount(one.counts[i])))]),
            ),
          ),
        ];
      }),
    );
  }

  // Says so when the last month is not over.
  function partMonth(life) {
    return monthOpenAt(life.as_of) ? h("p", { class: "sub" }, t("life.months_part", { day: life.as_of })) : null;
  }

  // The month of a day, when the day is not its last; else null.
  function monthOpenAt(day) {
    if (!/^\d{4}-\d\d-\d\d$/.test(day)) return null;
    const [year, month, date] = day.split("-").map(Number);
    return date < new Date(Date.UTC(year, month, 0)).getUTCDate() ? day.slice(0, 7) : null;
  }

  function stageFlows(life) {
    const flows = list(life.flows).filter((one) => one.month && one.to && amount(one.customers) > 0);
    const months = [...new Set(flows.map((one) => one.month))].sort();
    if (!months.length) return panel(t("life.flows"), empty());
    return panel(
      t("life.flows"),
      explain("life.flows_"),
      partMonth(life),
      live((update) => {
        const options = months.map((one) => ({ id: one, name: one }));
        const month = chosen("flow", options, months[months.length - 1]);
        const here = flows.filter((one) => one.month === month);
        return [monthPicker(months, month, update), flowPicture(here, month), flowMatrix(here, month)];
      }),
    );
  }

  function monthPicker(months, month, update) {
    const at = months.indexOf(month);
    const go = (to) => {
      state.choice.flow = to;
      update();
    };
    const step = (by, sign, name) =>
      h(
        "button",
        {
          type: "button",
          class: "step",
          "aria-label": name,
          title: name,
          disabled: !months[at + by],
          on: { click: () => go(months[at + by]) },
        },
        sign,
      );
    return h(
      "div",
      { class: "switch" },
      h("label", { class: "caption", for: "flow-month" }, t("common.month")),
      step(-1, "‹", t("life.prev_month")),
      h(
        "select",
        { id: "flow-month", on: { change: (event) => go(event.target.value) } },
        months
          .slice()
          .reverse()
          .map((one) => h("option", { value: one, selected: one === month }, one)),
      ),
      step(1, "›", t("life.next_month")),
    );
  }

  const fromName = (code) => (code ? stageName(code) : t("life.flow_new"));

  function flowPicture(flows, month) {
    const moved = flows.filter((one) => (one.from || null) !== one.to);
    if (!moved.length) return h("p", { class: "note" }, t("life.flows_nobody"));
    const left = [null, ...STAGES].filter((code) => moved.some((one) => (one.from || null) === code));
    const right = STAGES.filter((code) => moved.some((one) => one.to === code));
    const node = (code) => ({ label: fromName(code), color: code ? stageColor(code) : "var(--new)" });
    const links = moved
      .map((one) => ({
        from: left.indexOf(one.from || null),
        to: right.indexOf(one.to),
        value: one.customers,
        tip: t("life.flow_tip", { from: fromName(one.from), to: stageName(one.to), n: whole(one.customers) }),
      }))
      .filter((one) => one.from >= 0 && one.to >= 0);
    return links.length
      ? chart((width) =>
          Charts.flow({
            width,
            left: left.map(node),
            right: right.map(node),
            links,
            format: whole,
            leftTitle: t("life.flow_from"),
            rightTitle: t("life.flow_to"),
            aria: t("life.chart_flows", { month }),
          }),
        )
      : null;
  }

  function flowMatrix(flows, month) {
    const key = (from, to) => `${from || ""}>${to}`;
    const values = new Map();
    for (const one of flows) values.set(key(one.from, one.to), (values.get(key(one.from, one.to)) || 0) + one.customers);
    const froms = [
      ...STAGES.filter((code) => flows.some((one) => one.from === code)),
      ...(flows.some((one) => !one.from) ? [null] : []),
    ];
    const tos = STAGES.filter((code) => flows.some((one) => one.to === code));
    const rowSum = (from) => sum(tos.map((to) => values.get(key(from, to)) || 0));
    const matrixCell = (from, to) => {
      const n = values.get(key(from, to)) || 0,
        share = rowSum(from) ? n / rowSum(from) : 0;
      return h(
        "td",
        {
          class: `heat ${Charts.inkOn(share)} ${from === to ? "stay" : ""}`,
          style: `background:${n ? Charts.heat(share) : "transparent"}`,
          "data-tip": n
            ? `${t("life.flow_tip", { from: fromName(from), to: stageName(to), n: whole(n) })} (${percent(share, 1)})`
            : null,
        },
        n ? whole(n) : "·",
      );
    };
    const title = t("life.flow_matrix", { month });
    const matrix = scroller(
      h(
        "table",
        { class: "matrix", "aria-label": title },
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "col" }, t("life.flow_corner")),
            tos.map((to) => h("th", { scope: "col", class: "num" }, stageName(to))),
            h("th", { scope: "col", class: "num" }, t("common.sum")),
          ),
        ),
        h(
          "tbody",
          {},
          froms.map((from) =>
            h(
              "tr",
              {},
              h("th", { scope: "row" }, fromName(from)),
              tos.map((to) => matrixCell(from, to)),
              h("td", { class: "num total" }, whole(rowSum(from))),
            ),
          ),
        ),
      ),
    );
    return [h("p", { class: "sub" }, title), matrix];
  }

  // ---- 4 retention --------------------------------------------------------------------------------------------------------

  function cohorts() {
    const rows = list(object(state.data.cohorts).rows).filter((one) => Array.isArray(one.retained));
    const deepest = Math.max(0, ...rows.map((one) => one.retained.length));
    if (deepest < 2 || !sum(rows.map((one) => amount(one.size)))) return empty();
    const later = rows
      .flatMap((one) => one.retained.slice(1))
      .map(number)
      .filter((v) => v !== null);
    const top = Math.max(0.01, ...later);
    const lastDay = object(state.data.shop).last_day;
    const open = monthOpenAt(lastDay);
    const isPart = (month, i) => i > 0 && open !== null && monthAfter(month, i) === open;
    const heatCell = (share, i, words, part) => {
      if (share === null) return h("td", { class: "heat none" });
      const depth = i === 0 ? null : clamp(share / top, 0, 1);
      return h(
        "td",
        {
          class: `heat ${depth === null ? "start" : Charts.inkOn(depth)}`,
          style: depth === null ? null : `background:${Charts.heat(depth)}`,
          "data-tip": words,
        },
        part ? t("cohort.part_cell", { n: plain(share * 100) }) : plain(share * 100),
      );
    };
    const columns = Array.from({ length: deepest }, (_, i) => i);
    const tip = (month, size, i, share) => t("cohort.tip", { month, since: i, share: percent(share, 1), size: whole(size) });
    const mean = columns.map((i) =>
      weighted(
        rows.filter((one) => !isPart(one.month, i)),
        i,
      ),
    );
    const allSize = sum(rows.map((one) => amount(one.size)));
    const line = (name, size, values, cls) =>
      h(
        "tr",
        { class: cls },
        h("th", { scope: "row" }, name),
        h("td", { class: "num size" }, whole(size)),
        columns.map((i) => heatCell(number(values[i]), i, tip(name, size, i, number(values[i])), cls !== "mean" && isPart(name, i))),
      );
    return [
      explain("cohort."),
      open ? h("p", { class: "sub" }, t("cohort.part", { day: lastDay })) : null,
      h("div", { class: "scale" }, t("cohort.legend"), h("span", {}, percent(0)), h("i", {}), h("span", {}, percent(top))),
      scroller(
        h(
          "table",
          { class: "cohort" },
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              h("th", { scope: "col", rowspan: "2" }, t("cohort.month")),
              h("th", { scope: "col", rowspan: "2", class: "num" }, t("cohort.size")),
              h("th", { scope: "colgroup", colspan: String(deepest), class: "wide" }, h("span", {}, t("cohort.since"))),
            ),
            h(
              "tr",
              {},
              columns.map((i) => h("th", { scope: "col", class: "num" }, String(i))),
            ),
          ),
          h(
            "tbody",
            {},
            rows.length > 1 ? line(t("cohort.all"), allSize, mean, "mean") : null,
            rows.map((one) => line(one.month, one.size, one.retained)),
          ),
        ),
      ),
    ];
  }

  // "2011-11" and 2 give "2012-01"; nothing where the month is no month.
  function monthAfter(month, by) {
    const parts = /^(\d{4})-(\d\d)$/.exec(String(month));
    if (!parts) return null;
    const at = Number(parts[1]) * 12 + Number(parts[2]) - 1 + by;
    return `${String(Math.floor(at / 12)).padStart(4, "0")}-${String((at % 12) + 1).padStart(2, "0")}`;
  }

  // The mean share at one age over the groups old enough, by group size.
  function weighted(rows, i) {
    const old = rows.filter((one) => number(one.retained[i]) !== null);
    const size = sum(old.map((one) => amount(one.size)));
    return size ? sum(old.map((one) => amount(one.size) * one.retained[i])) / size : null;
  }

  // ---- 5 recency and frequency ----------------------------------------------------------------------------------------------

  function rfm() {
    const all = object(state.data.rfm);
    const boxes = list(all.grid);
    if (!sum(boxes.map((one) => amount(one.customers)))) return empty();
    const at = new Map(boxes.map((one) => [`${one.recency}/${one.frequency}`, one]));
    const days = list(all.recency_edges_days),
      counts = list(all.frequency_edges),
      spend = list(all.monetary_edges);
    return [
      explain("rfm."),
      live((update) => {
        const options = [
          { id: "customers", name: t("rfm.customers") },
          { id: "mean_spend", name: t("rfm.spend") },
        ];
        const field = chosen("rfm", options);
        const high = Math.max(1e-9, ...boxes.map((one) => amount(one[field])));
        const cells = [5, 4, 3, 2, 1].map((r) =>
          [1, 2, 3, 4, 5].map((f) => {
            const one = object(at.get(`${r}/${f}`)),
              v = amount(one[field]),
              n = amount(one.customers);
            return {
              text: field === "customers" ? whole(v) : n ? money(v, true) : "–",
              share: v / high,
              tip: t("rfm.tip", { r, f, n: whole(n), m: n ? money(amount(one.mean_spend)) : "–" }),
            };
          }),
        );
        const rowLabels = [5, 4, 3, 2, 1].map((r) => [String(r), days.length === 4 ? band(days, 5 - r, 0) : ""].filter(Boolean));
        const columnLabels = [1, 2, 3, 4, 5].map((f) =>
          [String(f), counts.length === 4 ? band(counts, f - 1, 1) : ""].filter(Boolean),
        );
        return [
          h("div", { class: "switches" }, switcher("rfm", t("rfm.colour"), options, update)),
          chart((width) =>
            Charts.grid({
              width,
              cells,
              rowLabels,
              columnLabels,
              xTitle: t("rfm.x"),
              yTitle: t("rfm.y"),
              aria: t(field === "customers" ? "rfm.chart_customers" : "rfm.chart_spend"),
            }),
          ),
        ];
      }),
      spend.length === 4
        ? h("p", { class: "sub" }, t("rfm.edges", { edges: spend.map((v) => money(v)).join(state.lang === "zh" ? "、" : ", ") }))
        : null,
    ];
  }

  // The words for band i of five, cut by four rising edges; an edge belongs to the lower band. first: the smallest value.
  function band(edges, i, first) {
    const show = (v) => v.toLocaleString(locale(), { maximumFractionDigits: v >= 10 ? 0 : 1 });
    if (i === 0) return first === edges[0] ? show(first) : t("unit.up_to", { n: show(edges[0]) });
    if (i === 4) return t("unit.more_than", { n: show(edges[3]) });
    if (edges[i] <= edges[i - 1]) return t("unit.empty_range");
    const low = Number.isInteger(edges[i - 1]) ? edges[i - 1] + 1 : edges[i - 1];
    return low === edges[i] ? show(low) : `${show(low)}–${show(edges[i])}`;
  }

  return { overview, quality, lifecycle, cohorts, rfm };
})();
