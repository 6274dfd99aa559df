// What every part of the page uses: the data read with care, the words, the numbers, and the blocks a section is made of.
// All text goes into the page as text, never as HTML.
"use strict";

const Kit = (() => {
  const STAGES = ["visitor", "first_time", "active", "repeat", "loyal", "cooling", "at_risk", "lapsed", "won_back"];
  const FEW_CUSTOMERS = 200;

  // data: the report; choice: what each switch on the page shows.
  const state = { lang: firstLanguage(), choice: {}, data: {} };
  const missing = new Set(); // keys that no language knows: a bug of this page
  const unnamed = new Set(); // names in the data that the page has no words for

  // ---- data, read with care ---------------------------------------------------------------------------------------

  const list = (v) => (Array.isArray(v) ? v.filter((one) => one !== null && one !== undefined) : []);
  const object = (v) => (v && typeof v === "object" && !Array.isArray(v) ? v : {});
  const number = (v) => (typeof v === "number" && Number.isFinite(v) ? v : null);
  const amount = (v) => number(v) ?? 0;
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const clamp = (v, low, high) => Math.max(low, Math.min(high, v));

  function measure(v) {
    const one = object(v);
    return { value: number(one.value), low: number(one.low), high: number(one.high) };
  }

  function readData() {
    try {
      return object(JSON.parse(document.getElementById("report-data").textContent));
    } catch {
      return null;
    }
  }

  // ---- words ------------------------------------------------------------------------------------------------------

  function firstLanguage() {
    const asked = new URLSearchParams(location.search).get("lang");
    if (asked) return asked.startsWith("zh") ? "zh" : "en";
    try {
      const kept = localStorage.getItem("perennial.lang");
      if (kept === "zh" || kept === "en") return kept;
    } catch {
      /* a page opened from disk may have no storage */
    }
    return (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
  }

  function keepLanguage(lang) {
    try {
      localStorage.setItem("perennial.lang", lang);
    } catch {
      /* the choice then lasts for this view only */
    }
    try {
      const url = new URL(location.href);
      if (url.searchParams.has("lang")) {
        url.searchParams.set("lang", lang);
        history.replaceState(null, "", url);
      }
    } catch {
      /* not allowed in some viewers; harmless */
    }
  }

  const pick = (pair) => pair[state.lang === "zh" ? 1 : 0];
  const fill = (words, values) => words.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));

  function t(key, values = {}) {
    const pair = Strings.text[key];
    if (!pair) {
      missing.add(key);
      return key;
    }
    return fill(pick(pair), values);
  }

  // Words that came with the data: a plain string, or {en, zh}.
  function said(v) {
    if (typeof v === "string") return v;
    const one = object(v);
    return one[state.lang] || one.en || one.zh || "";
  }

  const sentences = (...all) => all.filter(Boolean).join(state.lang === "zh" ? "" : " ");

  // The name of a thing in the data: its own label, else ours, else its code made readable.
  function nameOf(kind, code, own) {
    const given = said(own);
    if (given) return given;
    const pair = Object.hasOwn(Strings.names[kind], String(code)) ? Strings.names[kind][code] : null;
    if (pair) return pick(pair);
    unnamed.add(`${kind}:${code}`);
    const words = String(code ?? "")
      .replace(/_/g, " ")
      .trim();
    return words ? words[0].toUpperCase() + words.slice(1) : "–";
  }

  const stageName = (code) => nameOf("stage", code);

  function metricName(key) {
    const [base, k] = String(key).split("@");
    return nameOf("metric", base) + (k ? `@${k}` : "");
  }

  function metricMeaning(key) {
    const [base, k] = String(key).split("@");
    const pair = Strings.metricMeaning[base];
    return pair ? fill(pick(pair), { k: k || "10" }) : "";
  }

  function methodMeaning(code) {
    return Object.hasOwn(Strings.methodMeaning, String(code)) ? pick(Strings.methodMeaning[code]) : "";
  }

  // What the known methods of a test are.
  function methodWords(methods) {
    const known = methods.filter((one) => methodMeaning(one.name));
    if (!known.length) return null;
    return h(
      "details",
      { class: "numbers" },
      h("summary", {}, t("common.methods")),
      h(
        "dl",
        { class: "words" },
        known.map((one) => h("div", {}, h("dt", {}, nameOf("method", one.name, one.label)), h("dd", {}, methodMeaning(one.name)))),
      ),
    );
  }

  const lowerIsBetter = (key) => key === "brier" || key === "log_loss";

  // ---- numbers ----------------------------------------------------------------------------------------------------

  const locale = () => (state.lang === "zh" ? "zh-CN" : "en-GB");
  const minus = (text) => text.replace(/^-/, "−");
  const plain = (v, digits = 0) =>
    minus(v.toLocaleString(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const whole = (v) => (number(v) === null ? "–" : plain(v));

  function percent(share, digits) {
    if (number(share) === null) return "–";
    const v = share * 100;
    const places = digits ?? (v !== 0 && Math.abs(v) < 10 ? 1 : 0);
    const least = 10 ** -places;
    if (v > 0 && v < least / 2) return `<${plain(least, places)}${state.lang === "zh" ? "%" : "\u00a0%"}`;
    return plain(v, places) + (state.lang === "zh" ? "%" : "\u00a0%");
  }

  function money(v, short = false) {
    if (number(v) === null) return "–";
    const small = Math.abs(v) < 100 && !Number.isInteger(v);
    const options =
      short && Math.abs(v) >= 10000
        ? { notation: "compact", minimumFractionDigits: state.lang === "zh" ? 0 : 1, maximumFractionDigits: 1 }
        : { minimumFractionDigits: small ? 2 : 0, maximumFractionDigits: small ? 2 : 0 };
    const currency = object(state.data.shop).currency;
    try {
      return minus(v.toLocaleString(locale(), { style: "currency", currency, currencyDisplay: "narrowSymbol", ...options }));
    } catch {
      return minus(v.toLocaleString(locale(), options)) + (currency ? ` ${currency}` : "");
    }
  }

  const compact = (v) => minus(v.toLocaleString(locale(), { notation: "compact", maximumFractionDigits: 1 }));
  // The decimals of a measure; its interval uses the same.
  const placesFor = (v) => (v !== null && Math.abs(v) < 0.01 && v !== 0 ? 4 : Math.abs(v) >= 10 ? 1 : 3);
  const score = (v, like = v) => (v === null ? "–" : plain(v, placesFor(like)));
  const signed = (v, like = v) => (v > 0 ? "+" : "") + score(v, like);
  const placesOf = (step) =>
    Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9) + (/^25/.test(String(step * 1e6)) ? 1 : 0)));
  const tickNumber = (v, step) => (Math.abs(v) >= 10000 ? compact(v) : plain(v, placesOf(step)));
  const tickPercent = (v, step) => plain(v, placesOf(step));

  function seconds(v) {
    if (number(v) === null) return "–";
    if (v < 60) return t("unit.seconds", { n: plain(v, v < 10 ? 1 : 0) });
    const all = Math.round(v);
    if (all < 3600) return t("unit.minutes", { m: Math.floor(all / 60), s: all % 60 });
    return t("unit.hours", { h: Math.floor(all / 3600), m: Math.floor((all % 3600) / 60) });
  }

  function moment(iso) {
    const text = String(iso || "");
    const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/.exec(text);
    return parts ? `${parts[1]} ${parts[2]}${parts[3] === "Z" ? " UTC" : parts[3] ? ` ${parts[3]}` : ""}` : text;
  }

  const hasInterval = (m) => m.low !== null && m.high !== null;
  const rangeOf = (m, show = score) =>
    hasInterval(m) ? t("common.range", { low: show(m.low, m.value), high: show(m.high, m.value) }) : "–";
  const interval = (m) =>
    hasInterval(m) ? t("common.interval", { low: score(m.low, m.value), high: score(m.high, m.value) }) : t("common.no_interval");

  // ---- building blocks ----------------------------------------------------------------------------------------------

  function h(tag, attrs = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attrs)) {
      if (key === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
      else if (value !== null && value !== undefined && value !== false)
        node.setAttribute(key, value === true ? "" : String(value));
    }
    node.append(...children.flat(3).filter((one) => one !== null && one !== undefined && one !== false));
    return node;
  }

  const drawers = new WeakMap(); // chart holder -> function(width) -> svg
  const widths = new WeakMap();
  const watcher = new ResizeObserver((entries) => entries.forEach((entry) => drawChart(entry.target)));

  function chart(draw) {
    const holder = h("div", { class: "chart" });
    drawers.set(holder, draw);
    watcher.observe(holder);
    return holder;
  }

  function drawChart(holder, force = false) {
    const width = Math.floor(holder.clientWidth);
    if (width < 40 || (!force && widths.get(holder) === width)) return;
    widths.set(holder, width);
    try {
      holder.replaceChildren(drawers.get(holder)(width));
    } catch (error) {
      console.error(error);
      holder.replaceChildren(h("p", { class: "empty" }, t("common.broken")));
    }
  }

  const drawAll = (within = document, force = false) => within.querySelectorAll(".chart").forEach((one) => drawChart(one, force));

  // A part of the page that draws itself anew when one of its switches moves.
  function live(render) {
    const holder = h("div", { class: "live" });
    const update = () => {
      holder.replaceChildren(...[render(update)].flat(3).filter(Boolean));
      if (holder.isConnected) drawAll(holder);
    };
    update();
    return holder;
  }

  function empty() {
    return h("div", { class: "empty" }, h("strong", {}, t("common.none")), h("span", {}, t("common.none_why")));
  }

  function explain(prefix, values = {}) {
    const read = Strings.text[`${prefix}read`];
    return h(
      "div",
      { class: "explain" },
      h("p", {}, h("b", {}, t("common.see")), t(`${prefix}see`, values)),
      read ? h("p", {}, h("b", {}, t("common.read")), t(`${prefix}read`, values)) : null,
    );
  }

  function panel(title, ...children) {
    return h("div", { class: "panel" }, title ? h("h3", {}, title) : null, children);
  }

  // A choice among a few: options [{id, name}]. Remembers itself in state.choice[key].
  function switcher(key, caption, options, update, fallback) {
    const current = chosen(key, options, fallback);
    if (options.length < 2) return null;
    return h(
      "div",
      { class: "switch", role: "group", "aria-label": caption },
      h("span", { class: "caption" }, caption),
      h(
        "div",
        { class: "buttons" },
        options.map((one) =>
          h(
            "button",
            {
              type: "button",
              "aria-pressed": one.id === current ? "true" : "false",
              title: one.name,
              on: {
                click: (event) => {
                  state.choice[key] = one.id;
                  const box = event.currentTarget.closest(".live");
                  update();
                  box?.querySelector(`[data-switch="${key}"][aria-pressed=true]`)?.focus();
                },
              },
              "data-switch": key,
            },
            one.name,
          ),
        ),
      ),
    );
  }

  function chosen(key, options, fallback) {
    const ids = options.map((one) => one.id);
    if (ids.includes(state.choice[key])) return state.choice[key];
    return ids.includes(fallback) ? fallback : ids[0];
  }

  function table(head, rows, { cls = "", caption = null } = {}) {
    return scroller(
      h(
        "table",
        { class: cls },
        caption ? h("caption", {}, caption) : null,
        h(
          "thead",
          {},
          h(
            "tr",
            {},
            head.map((one, i) => h("th", { scope: "col", class: i ? "num" : null }, one)),
          ),
        ),
        h(
          "tbody",
          {},
          rows.map((row) =>
            h(
              "tr",
              {},
              row.map((one, i) => cell(one, i)),
            ),
          ),
        ),
      ),
    );
  }

  // A box that scrolls sideways when a table is wider than the page.
  const scroller = (...content) =>
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("common.wide") }, content);

  function cell(one, i) {
    if (one instanceof Node && /^T[HD]$/.test(one.tagName)) return one;
    return i === 0 ? h("th", { scope: "row" }, one) : h("td", { class: "num" }, one);
  }

  function numbers(...content) {
    return h("details", { class: "numbers" }, h("summary", {}, t("common.numbers")), content);
  }

  function legend(items) {
    return h(
      "ul",
      { class: "legend" },
      items.map((one) => h("li", {}, swatch(one), one.name)),
    );
  }

  function swatch({ color, dash, line }) {
    return line
      ? h("span", { class: `key line ${line}`, style: `--key:${color}` }, dashSample(color, dash))
      : h("span", { class: "key", style: `background:${color}` });
  }

  function dashSample(color, dash) {
    const ns = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(ns, "svg");
    for (const [k, v] of Object.entries({ width: 26, height: 8, "aria-hidden": "true" })) svg.setAttribute(k, v);
    const path = document.createElementNS(ns, "path");
    path.setAttribute("d", "M0 4H26");
    path.setAttribute("style", `stroke:${color};stroke-width:2.5`);
    if (dash) path.setAttribute("stroke-dasharray", dash);
    svg.append(path);
    return svg;
  }

  const verdict = (words) => (said(words) ? h("p", { class: "verdict" }, h("b", {}, t("common.verdict")), said(words)) : null);
  const caution = (n) => (n !== null && n < FEW_CUSTOMERS ? h("p", { class: "note" }, t("common.few", { n: whole(n) })) : null);
  const stageColor = (code) => (STAGES.includes(code) ? `var(--stage-${code.replace(/_/g, "-")})` : "var(--stage-visitor)");

  return {
    STAGES, state, missing, unnamed, list, object, number, amount, sum, clamp, measure, readData, keepLanguage, t,
    said, sentences, nameOf, stageName, metricName, metricMeaning, methodWords, lowerIsBetter, locale, plain, whole, percent,
    money, compact, score, signed, tickNumber, tickPercent, seconds, moment, hasInterval, rangeOf, interval, h,
    chart, drawAll, live, empty, explain, panel, switcher, chosen, table, scroller, cell, numbers, legend, swatch,
    verdict, caution, stageColor,
  };
})();
