// Writes a finished page: node make-page.mjs [report.json] > page.html; without a file, the sample.
import { readFileSync } from "node:fs";
import { page, sample } from "./page.mjs";

const [path] = process.argv.slice(2);
process.stdout.write(page(path ? JSON.parse(readFileSync(path, "utf8")) : sample()));
