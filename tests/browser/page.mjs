// Builds a finished report page from the template and a report object, the way the C++ side does.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { dirname, join } from "node:path";

const folder = join(dirname(fileURLToPath(import.meta.url)), "../../web/report");
const read = (name) => readFileSync(join(folder, name), "utf8");

export const sample = () => JSON.parse(read("sample.json"));
export const part = read;
export const scripts = ["strings.js", "charts.js", "kit.js", "customers.js", "models.js", "report.js"];

export function page(report) {
  let html = read("report.html");
  const put = (marker, text) => {
    if (html.split(marker).length !== 2) throw new Error(`the template must hold ${marker} once`);
    html = html.replace(marker, () => text);
  };
  for (const name of ["report.css", ...scripts]) put(`/*{{${name}}}*/`, read(name));
  put("{{report.json}}", JSON.stringify(report).replaceAll("<", "\\u003c")); // last: data may hold anything
  return html;
}
