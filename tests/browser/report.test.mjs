// The report page in a real browser: quiet, offline, readable in both languages, whatever the data.
// REPORT_HTML=path checks a finished page instead of the sample. SHOTS=folder keeps pictures of what was seen.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import { chromium } from "playwright-core";
import { page as build, part, sample, scripts } from "./page.mjs";
import { variants } from "./variants.mjs";

const WIDTHS = [1280, 390];
const LANGS = ["en", "zh"];
const SECTIONS = ["overview", "quality", "lifecycle", "cohorts", "rfm", "training", "next", "churn", "made"];
const shots = process.env.SHOTS;
let browser, folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "perennial-report-"));
  if (shots) mkdirSync(shots, { recursive: true });
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
});

after(async () => {
  await browser?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

// A finished page on disk for a report object, or the one named by REPORT_HTML.
function fileOf(name, report) {
  if (name === "given") return resolve(process.env.REPORT_HTML);
  const path = join(folder, `${name}.html`);
  writeFileSync(path, build(report));
  return path;
}

async function open(path, { width = 1280, lang = "en", colorScheme = "light", query = `?lang=${lang}`, locale = "en-GB" } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, locale });
  const page = await context.newPage();
  const trouble = [],
    requests = [];
  const own = pathToFileURL(path).href;
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) trouble.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => trouble.push(`uncaught: ${error.message}`));
  page.on("request", (request) => {
    if (request.url().split(/[?#]/)[0] !== own && !request.url().startsWith("data:")) requests.push(request.url());
  });
  await page.goto(own + query);
  await page.waitForFunction(() => document.querySelector("main"));
  return { page, context, trouble, requests };
}

// Everything a picture can get wrong, measured in the page.
function measurePage() {
  const out = { overlaps: [], outside: [], untitled: [], blank: [], svgs: 0 };
  for (const svg of document.querySelectorAll("svg.plot")) {
    out.svgs++;
    const name = svg.getAttribute("aria-label");
    if (svg.getAttribute("role") !== "img" || !name) out.untitled.push(`no role or label: ${name}`);
    for (const axis of svg.dataset.axes || "") {
      if (!svg.querySelector(`.axis-title[data-axis=${axis}]`)?.textContent.trim())
        out.untitled.push(`${name}: no ${axis} title`);
    }
    if (!svg.dataset.axes) out.untitled.push(`${name}: no axes`);
    if (/NaN|Infinity|undefined|null/.test(svg.outerHTML))
      out.blank.push(`${name}: ${/.{40}(NaN|Infinity|undefined|null).{20}/s.exec(svg.outerHTML)?.[0]}`);
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")]
      .map((node) => ({ words: node.textContent, box: node.getBoundingClientRect() }))
      .filter((one) => one.box.width > 0);
    texts.forEach((a, i) => {
      if (
        a.box.left < frame.left - 1.5 ||
        a.box.right > frame.right + 1.5 ||
        a.box.top < frame.top - 1.5 ||
        a.box.bottom > frame.bottom + 1.5
      )
        out.outside.push(`${name}: "${a.words}"`);
      for (const b of texts.slice(i + 1)) {
        const w = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
        const hgt = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
        if (w > 1 && hgt > 3) out.overlaps.push(`${name}: "${a.words}" on "${b.words}"`);
      }
    });
  }
  out.sideways = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  out.missing = [...window.perennialReport.missing];
  out.unnamed = [...window.perennialReport.unnamed];
  out.lang = document.documentElement.lang;
  out.sections = [...document.querySelectorAll("section")].map((one) => one.id);
  out.text = document.body.innerText;
  return out;
}

function assertGood(seen, { trouble, requests }, where) {
  assert.deepEqual(trouble, [], `${where}: console`);
  assert.deepEqual(requests, [], `${where}: requests`);
  assert.deepEqual(seen.overlaps, [], `${where}: overlapping text`);
  assert.deepEqual(seen.outside, [], `${where}: text cut off`);
  assert.deepEqual(seen.untitled, [], `${where}: titles`);
  assert.deepEqual(seen.blank, [], `${where}: broken shapes`);
  assert.deepEqual(seen.missing, [], `${where}: words missing`);
  assert.deepEqual(seen.sections, SECTIONS, `${where}: sections`);
  assert.ok(seen.sideways <= 0, `${where}: the page is ${seen.sideways}px too wide`);
  assert.doesNotMatch(seen.text, /\bundefined\b|\bNaN\b|\[object|\{\w+\}(?!\})/, `${where}: raw values in the text`);
}

async function shoot(page, name) {
  if (!shots) return;
  await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true });
}

// Presses every switch on the page, one after the other, and checks each state.
async function pressEverything(opened, where) {
  const { page } = opened;
  const count = await page.locator(".switch .buttons button").count();
  for (let i = 0; i < count; i++) {
    const button = page.locator(".switch .buttons button").nth(i);
    if (!(await button.count())) continue;
    await button.click();
    assertGood(await page.evaluate(measurePage), opened, `${where}, switch ${i}`);
  }
  const select = page.locator("#flow-month");
  if (await select.count()) {
    const months = await select.locator("option").evaluateAll((all) => all.map((one) => one.value));
    for (const month of new Set([months[0], months[months.length - 1]])) {
      await select.selectOption(month);
      assertGood(await page.evaluate(measurePage), opened, `${where}, month ${month}`);
    }
  }
}

describe("words", () => {
  const Strings = runInNewContext(`${part("strings.js")};Strings`);
  const tables = [
    ["text", Strings.text],
    ["meaning", Strings.metricMeaning],
    ["methodMeaning", Strings.methodMeaning],
    ...Object.entries(Strings.names).map(([kind, all]) => [`names.${kind}`, all]),
  ];

  test("every string has an English and a Chinese form with the same places to fill", () => {
    const places = (words) =>
      [...words.matchAll(/\{(\w+)\}/g)]
        .map((one) => one[1])
        .sort()
        .join();
    for (const [table, all] of tables) {
      for (const [key, pair] of Object.entries(all)) {
        assert.equal(pair.length, 2, `${table} ${key}`);
        assert.ok(pair[0].trim() && pair[1].trim(), `${table} ${key} is empty`);
        assert.equal(places(pair[0]), places(pair[1]), `${table} ${key}`);
        if (key !== "page.language" && key !== "page.language_hint")
          assert.doesNotMatch(pair[0], /[\u4e00-\u9fff]/, `${table} ${key}: Chinese in the English form`);
      }
    }
  });

  test("every string but names of measures is really translated", () => {
    const same = new Set(["NDCG", "MAP", "MRR", "AUC", "PR-AUC", "RFM"]);
    const open = ["page.language", "page.language_hint", "churn.pair", "common.bracket", "common.join", "next.part", "cohort.part_cell", "quality.detail"];
    for (const [table, all] of tables) {
      for (const [key, [en, zh]] of Object.entries(all)) {
        if (same.has(en) || open.includes(key)) continue;
        assert.match(zh, /[\u4e00-\u9fff]/, `${table} ${key}: ${zh}`);
      }
    }
  });

  test("every key that the page asks for exists, and every key is asked for", () => {
    const code = scripts.slice(2).map(part).join("\n");
    const keys = Object.keys(Strings.text);
    for (const [, key] of code.matchAll(/\bt\("([a-z_]+\.[a-z_.]+)"/g)) assert.ok(keys.includes(key), key);
    const made = [
      /^life\.def\./,
      /[._](see|read)$/,
      /^overview\./,
      /^made\.limit_/,
      /^train\.(train_loss|valid_loss|valid_ndcg)$/,
    ];
    for (const key of keys) assert.ok(code.includes(`"${key}"`) || made.some((one) => one.test(key)), `${key} is never used`);
  });

  test("the parts can be put inside a page", () => {
    for (const name of [...scripts, "report.css"]) assert.doesNotMatch(part(name), /<\/|<!--|\{\{/, name);
  });
});

const main = process.env.REPORT_HTML ? "given" : "sample";

describe(`the ${main} page`, () => {
  for (const width of WIDTHS) {
    for (const lang of LANGS) {
      test(`${width} px, ${lang}`, async () => {
        const opened = await open(fileOf(main, sample()), { width, lang });
        const seen = await opened.page.evaluate(measurePage);
        await shoot(opened.page, `${main}-${width}-${lang}`);
        assertGood(seen, opened, `${main} ${width} ${lang}`);
        if (main === "sample") assert.deepEqual(seen.unnamed, [], "names in the sample that the page does not know");
        else if (seen.unnamed.length) console.log("names without words:", seen.unnamed.join(", "));
        await pressEverything(opened, `${main} ${width} ${lang}`);
        await opened.context.close();
      });
    }
  }

  test("the language button switches, is remembered, and ?lang wins", async () => {
    const path = fileOf(main, sample());
    const { page, context } = await open(path, { query: "" });
    const title = () => page.locator("#lifecycle h2").innerText();
    assert.equal(await title(), "Customer lifecycle");
    await page.click("#language");
    assert.equal(await title(), "客户生命周期");
    assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN");
    await page.reload();
    assert.equal(await title(), "客户生命周期");
    await page.goto(`${pathToFileURL(path).href}?lang=en`);
    assert.equal(await title(), "Customer lifecycle");
    await context.close();
    const chinese = await open(path, { query: "", locale: "zh-CN" });
    assert.equal(await chinese.page.locator("#lifecycle h2").innerText(), "客户生命周期");
    await chinese.context.close();
  });

  test("dark theme", async () => {
    const opened = await open(fileOf(main, sample()), { colorScheme: "dark" });
    assertGood(await opened.page.evaluate(measurePage), opened, "dark");
    const ink = await opened.page.evaluate(() => [
      getComputedStyle(document.querySelector("section")).backgroundColor,
      getComputedStyle(document.body).color,
    ]);
    assert.notEqual(ink[0], "rgb(255, 255, 255)");
    await shoot(opened.page, `${main}-dark`);
    await opened.context.close();
  });

  test("resizing and printing redraw the charts", async () => {
    const opened = await open(fileOf(main, sample()));
    await opened.page.setViewportSize({ width: 700, height: 900 });
    await opened.page.waitForTimeout(100);
    assertGood(await opened.page.evaluate(measurePage), opened, "700 px");
    const pdf = await opened.page.pdf({ format: "A4", margin: { top: "14mm", bottom: "14mm", left: "13mm", right: "13mm" } });
    assert.ok(pdf.length > 20_000);
    if (shots) writeFileSync(join(shots, `${main}.pdf`), pdf);
    await opened.page.waitForTimeout(100);
    assertGood(await opened.page.evaluate(measurePage), opened, "after printing");
    await opened.context.close();
  });
});

describe("the hover box", () => {
  test("shows the words of a shape once, and gives the title back", async () => {
    const { page, context } = await open(fileOf("hover", sample()));
    const shape = page.locator("#lifecycle .plot .hit").first();
    await shape.scrollIntoViewIfNeeded();
    const words = await shape.locator("title").textContent();
    await shape.hover();
    assert.equal(await page.locator("#hover").isVisible(), true);
    assert.equal((await page.locator("#hover").innerText()).replace(/\s+/g, " "), words.replace(/\s+/g, " "));
    assert.equal(await shape.locator("title").textContent(), "");
    await page.locator("h2").first().hover();
    assert.equal(await page.locator("#hover").isVisible(), false);
    assert.equal(await shape.locator("title").textContent(), words);
    await context.close();
  });
});

describe("hard data", () => {
  for (const [name, make] of Object.entries(variants)) {
    for (const width of WIDTHS) {
      test(`${name}, ${width} px`, async () => {
        for (const lang of LANGS) {
          const opened = await open(fileOf(name, make()), { width, lang });
          const seen = await opened.page.evaluate(measurePage);
          await shoot(opened.page, `${name}-${width}-${lang}`);
          const where = `${name} ${width} ${lang}`;
          if (name === "hostile") {
            seen.text = seen.text.replaceAll("{report.json}", "").replaceAll("{report.css}", "");
            assert.equal(await opened.page.evaluate(() => window.pwned), undefined, "data ran as code");
          }
          assertGood(seen, opened, where);
          if (["bare", "nulls", "emptyLists", "zeros"].includes(name))
            assert.ok(seen.text.includes(lang === "zh" ? "数据不足" : "Not enough data"), `${where}: says so`);
          if (name !== "hostile") await pressEverything(opened, where);
          await opened.context.close();
        }
      });
    }
  }

  test("unreadable data and another version are said plainly", async () => {
    const path = join(folder, "broken.html");
    writeFileSync(path, build(sample()).replace(/(id="report-data">)[^]*?(<\/script>)/, "$1{oops$2"));
    const broken = await open(path);
    assert.match(await broken.page.locator("main").innerText(), /no readable report data/);
    assert.deepEqual(broken.trouble, []);
    await broken.context.close();
    const newer = await open(fileOf("newer", { ...sample(), version: 2 }));
    assert.match(await newer.page.locator("main").innerText(), /version 1/);
    await newer.context.close();
  });

  test("rows that do not add up are marked", async () => {
    const report = sample();
    report.quality.files[0].rows += 5;
    const { page, context } = await open(fileOf("unequal", report));
    assert.match(await page.locator("tfoot .bad").innerText(), /does not match/);
    await context.close();
  });
});
