// The page itself: its sections in order, the language switch, the hover box and printing.
"use strict";

(() => {
  const {
    state, missing, unnamed, list, object, number, sum, readData, keepLanguage, t, said, nameOf, tickNumber,
    seconds, moment, h, chart, drawAll, empty, explain,
  } = Kit;

  // ---- 9 how it was made ------------------------------------------------------------------------------------------------------------

  function made() {
    const shop = object(state.data.shop);
    const facts = [
      ["made.command", shop.command, true],
      ["made.commit", shop.commit, true],
      ["made.machine", shop.machine],
      ["made.generated", moment(shop.generated)],
    ].filter(([, v]) => v);
    const steps = list(state.data.stages_seconds).filter((one) => number(one.seconds) !== null);
    const total = sum(steps.map((one) => one.seconds));
    const rows = steps.map((one) => ({
      label: nameOf("step", one.name, one.label),
      value: one.seconds,
      text: seconds(one.seconds),
      tip: `${nameOf("step", one.name, one.label)}\n${seconds(one.seconds)}`,
    }));
    const limits = [
      ...["past", "cause", "interval", "anonymous"].map((key) => t(`made.limit_${key}`)),
      ...list(state.data.limits).map(said).filter(Boolean),
    ];
    return [
      facts.length
        ? h(
            "dl",
            { class: "facts made" },
            facts.map(([key, v, code]) =>
              h("div", {}, h("dt", {}, t(key)), h("dd", {}, code ? h("code", {}, String(v)) : String(v))),
            ),
          )
        : empty(),
      steps.length
        ? [
            explain("made.seconds_", { total: seconds(total) }),
            chart((width) =>
              Charts.bars({
                width,
                rows,
                xTitle: t("made.seconds_axis"),
                yTitle: t("made.step"),
                format: tickNumber,
                aria: t("made.chart_seconds"),
              }),
            ),
          ]
        : empty(),
      h("h3", {}, t("made.limits")),
      h(
        "ul",
        { class: "limits" },
        limits.map((one) => h("li", {}, one)),
      ),
      h("p", { class: "note" }, t("made.private")),
    ];
  }

  // ---- the page ---------------------------------------------------------------------------------------------------------------------

  const SECTIONS = [
    ["overview", "nav.overview", "overview.title", Customers.overview],
    ["quality", "nav.quality", "quality.title", Customers.quality],
    ["lifecycle", "nav.lifecycle", "life.title", Customers.lifecycle],
    ["cohorts", "nav.cohorts", "cohort.title", Customers.cohorts],
    ["rfm", "nav.rfm", "rfm.title", Customers.rfm],
    ["training", "nav.training", "train.title", Models.training],
    ["next", "nav.next", "next.title", Models.nextPurchase],
    ["churn", "nav.churn", "churn.title", Models.churn],
    ["made", "nav.made", "made.title", made],
  ];

  function section([id, , title, build]) {
    let content;
    try {
      content = build();
    } catch (error) {
      console.error(error);
      content = h("p", { class: "empty" }, t("common.broken"));
    }
    return h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, t(title)), content);
  }

  function pageHeader() {
    const shop = object(state.data.shop);
    const name = shop.name || t("page.unnamed_shop");
    document.title = t("page.title", { shop: name });
    const facts = [
      shop.first_day && shop.last_day ? t("page.period", { first: shop.first_day, last: shop.last_day }) : "",
      shop.generated ? t("page.made", { when: moment(shop.generated) }) : "",
    ].filter(Boolean);
    return h(
      "header",
      {},
      h(
        "div",
        { class: "inner" },
        h("p", { class: "eyebrow" }, h("span", { class: "brand" }, "Perennial"), t("page.subtitle")),
        h("h1", { class: "break" }, name),
        facts.length ? h("p", { class: "period" }, facts.join(" · ")) : null,
      ),
    );
  }

  function topBar() {
    return h(
      "nav",
      { "aria-label": t("page.sections") },
      h(
        "div",
        { class: "inner" },
        h(
          "div",
          { class: "links" },
          SECTIONS.map(([id, name]) => h("a", { href: `#${id}` }, t(name))),
        ),
        h(
          "button",
          {
            type: "button",
            id: "language",
            lang: state.lang === "zh" ? "en" : "zh",
            title: t("page.language_hint"),
            on: { click: switchLanguage },
          },
          t("page.language"),
        ),
      ),
    );
  }

  function banners() {
    const out = [];
    if (object(state.data.shop).sample) out.push(h("p", { class: "banner" }, t("page.sample")));
    if (state.data.format !== "perennial.report" || state.data.version !== 1)
      out.push(h("p", { class: "banner warn" }, t("page.bad_version")));
    return out;
  }

  function render() {
    document.documentElement.lang = state.lang === "zh" ? "zh-CN" : "en";
    const app = document.getElementById("app");
    const top = topBar();
    if (!state.data) {
      app.replaceChildren(top, h("main", {}, h("p", { class: "banner warn" }, t("page.bad_data"))));
      return;
    }
    app.replaceChildren(top, pageHeader(), h("main", {}, banners(), SECTIONS.map(section)));
    drawAll();
  }

  // Switches the words and keeps the reader at the same section.
  function switchLanguage() {
    const here = [...document.querySelectorAll("section")].find((one) => one.getBoundingClientRect().bottom > 80);
    const offset = here ? here.getBoundingClientRect().top : 0;
    const wasTop = window.scrollY < 80;
    state.lang = state.lang === "zh" ? "en" : "zh";
    keepLanguage(state.lang);
    render();
    document.getElementById("language").focus({ preventScroll: true });
    if (here && !wasTop)
      window.scrollBy({ top: document.getElementById(here.id).getBoundingClientRect().top - offset, behavior: "instant" });
  }

  // ---- the hover box ------------------------------------------------------------------------------------------------------------------

  function hoverBox() {
    const box = document.getElementById("hover");
    let target = null,
      quiet = null;
    const leave = () => {
      if (quiet) quiet.title.textContent = quiet.text;
      target = quiet = null;
      box.hidden = true;
    };
    const place = (event) => {
      const room = 12,
        w = box.offsetWidth,
        hgt = box.offsetHeight;
      const x = event.clientX + room + w > innerWidth - 4 ? event.clientX - room - w : event.clientX + room;
      const y = event.clientY + room + hgt > innerHeight - 4 ? event.clientY - room - hgt : event.clientY + room;
      box.style.transform = `translate(${Math.max(4, x)}px, ${Math.max(4, y)}px)`;
    };
    document.addEventListener("pointerover", (event) => {
      const found = event.target instanceof Element ? event.target.closest("[data-tip]") : null;
      if (found === target) return;
      leave();
      if (!found) return;
      target = found;
      // The browser's own tooltip would show the same words a moment later: silence it while ours is up.
      const title = found.querySelector(":scope > title");
      if (title) {
        quiet = { title, text: title.textContent };
        title.textContent = "";
      }
      const lines = found.getAttribute("data-tip").split("\n");
      box.replaceChildren(...lines.map((one, i) => h("div", { class: i === 0 && lines.length > 1 ? "first" : null }, one)));
      box.hidden = false;
      place(event);
    });
    document.addEventListener("pointermove", (event) => {
      if (target) place(event);
    });
    document.addEventListener("pointerleave", leave);
    window.addEventListener("scroll", leave, { passive: true });
    window.addEventListener("blur", leave);
  }

  // On paper the page is narrower: draw the charts for that width, then put them back.
  function printing() {
    window.addEventListener("beforeprint", () => {
      document.documentElement.classList.add("printing");
      drawAll(document, true);
    });
    window.addEventListener("afterprint", () => {
      document.documentElement.classList.remove("printing");
      drawAll(document, true);
    });
  }

  state.data = readData();
  render();
  hoverBox();
  printing();
  window.perennialReport = { missing, unnamed, state }; // for the browser tests
})();
