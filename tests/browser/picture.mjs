// Makes the picture of the README: node picture.mjs report.json picture.png [en|zh] [shop name]
// The header, the key figures and three charts of the report, light theme, 1400 px wide.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { page as build } from "./page.mjs";

const [data, picture, lang = "en", name] = process.argv.slice(2);
if (!data || !picture) {
  console.error("usage: node picture.mjs report.json picture.png [en|zh] [shop name]");
  process.exit(2);
}
const report = JSON.parse(readFileSync(data, "utf8"));
if (name) report.shop.name = name;

const folder = mkdtempSync(join(tmpdir(), "perennial-picture-"));
const file = join(folder, "report.html");
writeFileSync(file, build(report));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"],
});
try {
  const page = await browser.newPage({ viewport: { width: 1120, height: 900 }, deviceScaleFactor: 1.25, colorScheme: "light" });
  await page.goto(`${pathToFileURL(file).href}?lang=${lang}`);
  await page.waitForSelector("main");
  await page.evaluate(choose);
  await page.waitForTimeout(300); // the charts redraw for their new width
  await page.screenshot({ path: picture, fullPage: true });
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}

// Leaves what the picture shows, with the mix of stages and the next-purchase test beside each other.
function choose() {
  const find = (selector) => document.querySelector(selector);
  const style = document.createElement("style");
  style.textContent = `
    nav, .short, .explain, details, .switches, .panel > .sub, section > .sub { display: none !important; }
    section { padding-bottom: 14px; }
    .beside { display: grid; grid-template-columns: 1fr 1fr; gap: 18px; align-items: stretch; }
    .beside section { min-width: 0; }
    .beside .panel { border: 0; margin: 0; padding: 0; }
    .beside h3, .beside h2 { font-size: 17px; margin-bottom: 8px; }`;
  document.head.append(style);
  const [now, , months] = document.querySelectorAll("#lifecycle .panel");
  const mix = document.createElement("section");
  mix.append(months);
  const next = find("#next");
  next.querySelectorAll("h4, .scroll, .live > .sub").forEach((one) => one.remove());
  document.querySelectorAll("#lifecycle .panel").forEach((one) => {
    if (one !== now) one.remove();
  });
  const beside = document.createElement("div");
  beside.className = "beside";
  beside.append(mix, next);
  const kept = [find("#overview"), find("#lifecycle"), beside];
  find("main").replaceChildren(...kept);
}
