#!/usr/bin/env python3
"""How time and memory grow with the size of a shop: measures, fits exponents, draws (docs/results/scaling.md).

    scripts/scaling.py measure [--build build/release] [--rows FILE] [--seconds 60] [--threads 1] [--only events,products,...]
    scripts/scaling.py draw [--rows FILE] [--svg FILE]

Needs the targets perennial-train, perennial and bench_scaling. Each axis appends its rows to FILE (CSV, here
docs/results/scaling.csv), replacing its older ones. Times are CPU seconds of the program (user + system), which a busy machine
disturbs less than the clock. A training that does not end within --seconds is cut off, and the cost of its epoch taken from
what it did: fixed + (CPU - fixed) * targets / targets done. `fixed` comes from a run cut off after one step: start, reading,
first weights, validation on 100 occasions, writing. Standard library only.
"""
import argparse, csv, json, math, os, pathlib, resource, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = ["axis", "series", "x", "events", "cpu_s", "fixed_cpu_s", "wall_s", "peak_mb", "targets", "targets_done", "ndcg10", "ndcg10_popularity"]
EVENTS, MEAN_EVENTS, PRODUCTS, SAMPLE = 100_000, 20, 1_000, 8_192
SHORT_S = 10


def run(command):
    """Runs to its end: (last line of stdout as JSON or None, CPU seconds, wall seconds, peak MB of this process alone)."""
    start = time.monotonic()
    child = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "OMP_NUM_THREADS": "1"})
    out, error = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}: {error.strip()[-500:]}")
    lines = out.strip().splitlines()
    last = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None
    return last, usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss * 1024 / 1e6


class Bench:
    def __init__(self, options, scratch):
        self.options, self.scratch = options, pathlib.Path(scratch)
        self.build = pathlib.Path(options.build)
        self.bench = self.build / "src/model/bench_scaling"

    def train(self, axis, series, x, customers, mean_events, products, *flags):
        data = self.scratch / "data"
        shop, *_ = run([self.bench, "data", "--out", data, "--customers", customers, "--mean-events", mean_events, "--products", products])

        def train(seconds):
            _, cpu, wall, peak = run([self.build / "perennial-train", "--data", data, "--out", self.scratch / "out", "--epochs-limit", 1, "--seconds-limit", seconds,
                                      "--threads", self.options.threads, "--validation-units-limit", 100, "--checkpoint-seconds", 0, *flags])
            return json.loads((self.scratch / "out/run.json").read_text()), cpu, wall, peak
        def best(seconds):  # of three where they are short: starting libtorch takes 0.55 to 0.7 s
            runs = [train(seconds)]
            while len(runs) < 3 and runs[0][2] < SHORT_S:
                runs.append(train(seconds))
            return min(runs, key=lambda one: one[1])
        short, fixed, _, _ = best(1e-6)
        done, cpu, wall, peak = best(self.options.seconds)
        rest = cpu - fixed
        if done["stopped_by_time"]:
            rest *= done["train_targets"] / max(done["targets_done"] - short["targets_done"], 1)
        return {"axis": axis, "series": series, "x": x, "events": shop["events"], "cpu_s": round(fixed + rest, 3), "fixed_cpu_s": round(fixed, 3), "wall_s": round(wall, 1),
                "peak_mb": round(peak, 1), "targets": done["train_targets"], "targets_done": done["targets_done"], "ndcg10": round(done["valid_ndcg10"], 4),
                "ndcg10_popularity": shop["ndcg10_popularity"]}

    def events(self):
        for events in (10**4, 10**5, 10**6, 10**7):
            yield self.train("events", "full", events, events // MEAN_EVENTS, MEAN_EVENTS, PRODUCTS)

    def customers(self):
        for customers in (1_000, 3_000, 10_000, 33_000):
            yield self.train("customers", "full", customers, customers, max(3, round(EVENTS / customers)), PRODUCTS)

    def products(self):
        for products in (10**3, 10**4, 10**5):
            yield self.train("products", "full", products, EVENTS // MEAN_EVENTS, MEAN_EVENTS, products, "--negatives", 0)
        for products in (10**4, 10**5, 300_000, 10**6):
            yield self.train("products", "sample", products, EVENTS // MEAN_EVENTS, MEAN_EVENTS, products, "--negatives", SAMPLE)

    def history(self):
        for limit in (10, 50, 200, 1000):
            yield self.train("history", "full", limit, EVENTS // 2000, 2000, PRODUCTS, "--history-limit", limit)

    def serve(self, axis, x, unit, *flags):
        got, *_ = run([self.bench, "serve", *flags])
        return {"axis": axis, "series": "serve", "x": x, "cpu_s": got[unit] / 1e6, "peak_mb": got["resident_mb"] if axis == "serve_products" else round(got["session_bytes"] / 1e6, 4)}

    def serve_products(self):
        for products in (10**3, 10**4, 10**5, 10**6):
            yield self.serve("serve_products", products, "request_us", "--products", products)

    def serve_history(self):
        for limit in (10, 50, 200, 1000):
            yield self.serve("serve_history", limit, "request_us", "--history-limit", limit, "--events", 2 * limit)

    def serve_events(self):
        for events in (100, 1_000, 10_000):
            yield self.serve("serve_events", events, "request_us", "--events", events, "--products", 1_000)

    def rebuild(self):
        for events in (100, 1_000, 10_000):
            yield self.serve("rebuild", events, "rebuild_us", "--events", events, "--products", 1_000)

    def imports(self):
        for customers in (200, 2_000, 20_000):
            shop, made = self.scratch / f"shop{customers}", self.scratch / f"made{customers}"
            run([self.build / "perennial", "simulate", "--out", made, "--customers", customers, "--days", 200])
            with open(made / "events.jsonl", "rb") as lines:
                events = sum(1 for _ in lines)
            _, cpu, wall, peak = run([self.build / "perennial", "import", "--shop", shop, made / "events.jsonl"])
            yield {"axis": "imports", "series": "import", "x": events, "events": events, "cpu_s": round(cpu, 3), "wall_s": round(wall, 1), "peak_mb": round(peak, 1)}


AXES = ["events", "customers", "products", "history", "serve_products", "serve_history", "serve_events", "rebuild", "imports"]


def read_rows(path):
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def value(row, column):
    return float(row["cpu_s"]) - float(row["fixed_cpu_s"]) if column == "steps_s" else float(row[column])


def measure(options):
    for axis in options.only.split(",") if options.only else AXES:
        with tempfile.TemporaryDirectory() as scratch:
            new = []
            for row in getattr(Bench(options, scratch), axis)():
                print({key: value for key, value in row.items() if value != ""}, flush=True)
                new.append(row)
        rows = [row for row in read_rows(options.rows) if row["axis"] != axis] + new
        rows.sort(key=lambda row: AXES.index(row["axis"]))
        with open(options.rows, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def fit(points):
    """Least squares of log y on log x: (exponent, its standard error, log10 of y at x = 1)."""
    xs, ys = [math.log10(x) for x, _ in points], [math.log10(y) for _, y in points]
    n, mx, my = len(points), sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - mx) ** 2 for x in xs)
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / spread
    start = my - slope * mx
    rest = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys))
    return slope, math.sqrt(rest / (n - 2) / spread) if n > 2 else math.nan, start


# axis, what stands below, column, factor, what stands above
TRAINING = [("events", "events, 1,000 products"), ("customers", "customers, 100,000 events"), ("products", "products, 100,000 events"), ("history", "history limit, 100,000 events")]
PANELS = [(axis, below, "steps_s", 1, "steps of an epoch, CPU s") for axis, below in TRAINING] + \
         [(axis, below, "peak_mb", 1, "training, peak MB") for axis, below in TRAINING] + [
    ("events", "events, 1,000 products", "fixed_cpu_s", 1, "beside the steps, CPU s"), ("products", "products, 100,000 events", "fixed_cpu_s", 1, "beside the steps, CPU s"),
    ("imports", "events", "cpu_s", 1, "import, CPU s"), ("imports", "events", "peak_mb", 1, "import, peak MB"),
    ("serve_products", "products", "cpu_s", 1e6, "one request, CPU µs"), ("serve_history", "history limit", "cpu_s", 1e6, "one request, CPU µs"),
    ("serve_events", "events of the customer", "cpu_s", 1e6, "one request, CPU µs"), ("rebuild", "events of the customer", "cpu_s", 1e6, "session rebuilt, CPU µs"),
]
COLOURS = {"full": "#1f5fa8", "sample": "#c8541b", "serve": "#2b7a4b", "import": "#6b4a9c"}
WIDTH, HEIGHT, LEFT, BELOW, ABOVE, RIGHT, PER_LINE = 270, 220, 52, 40, 26, 14, 4


def tick(value):
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def summary(points):
    """The exponent of all points with its standard error, and that between the last two: a floor bends the first, not the second."""
    slope, error, _ = fit(points)
    return f"{slope:.2f} ± {error:.2g}, last {round(fit(points[-2:])[0], 2) + 0.0:.2f}"


def panel(rows, axis, below, column, factor, beside):
    series = {}
    for row in rows:
        if row["axis"] == axis:
            series.setdefault(row["series"], []).append((float(row["x"]), value(row, column) * factor))
    if not series:
        return ""
    low_x, high_x = (math.log10(side(x for points in series.values() for x, _ in points)) for side in (min, max))
    all_y = [y for points in series.values() for _, y in points]
    low_y, high_y = math.floor(math.log10(min(all_y)) * 2) / 2, math.ceil(math.log10(max(all_y)) * 2) / 2
    if high_y - low_y < 1:
        high_y = low_y + 1
    high_y += (0.1 + 0.12 * len(series)) * (high_y - low_y)  # room for the labels
    at_x = lambda x: LEFT + 8 + (math.log10(x) - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT - 16)
    at_y = lambda y: HEIGHT - BELOW - 6 - (math.log10(y) - low_y) / (high_y - low_y) * (HEIGHT - ABOVE - BELOW - 12)
    out = [f'<text x="{LEFT}" y="15" class="head">{beside}</text>',
           f'<rect x="{LEFT}" y="{ABOVE}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - ABOVE - BELOW}" fill="none" stroke="#999"/>',
           f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{below}</text>']
    for x in sorted({x for points in series.values() for x, _ in points}):
        if x in (3_000, 33_000, 300_000):
            continue  # no room for a label
        out.append(f'<line x1="{at_x(x):.1f}" y1="{ABOVE}" x2="{at_x(x):.1f}" y2="{HEIGHT - BELOW}" class="grid"/>'
                   f'<text x="{at_x(x):.1f}" y="{HEIGHT - BELOW + 14}" text-anchor="middle">{tick(x)}</text>')
    for power in range(math.ceil(low_y - 1e-9), math.floor(high_y + 1e-9) + 1):
        y = at_y(10.0**power)
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="grid"/><text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick(10.0**power)}</text>')
    for place, (name, points) in enumerate(series.items()):
        points = sorted(points)
        slope, _, start = fit(points)
        ends = [(x, min(max(10 ** (start + slope * math.log10(x)), 10**low_y), 10**high_y)) for x in (points[0][0], points[-1][0])]
        colour = COLOURS[name]
        out.append(f'<line x1="{at_x(ends[0][0]):.1f}" y1="{at_y(ends[0][1]):.1f}" x2="{at_x(ends[1][0]):.1f}" y2="{at_y(ends[1][1]):.1f}" stroke="{colour}" stroke-dasharray="4 3"/>')
        out += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        label = f"{name}: " if len(series) > 1 else ""
        out.append(f'<text x="{LEFT + 7}" y="{ABOVE + 14 + 14 * place}" fill="{colour}" class="head">{label}{summary(points)}</text>')
    return "".join(out)


def draw(options):
    rows = read_rows(options.rows)
    panels = [panel(rows, *one) for one in PANELS]
    lines = (len(panels) + PER_LINE - 1) // PER_LINE
    size = f"{PER_LINE * WIDTH + 10} {lines * HEIGHT + 10}"
    body = "\n".join(f'<g transform="translate({i % PER_LINE * WIDTH},{i // PER_LINE * HEIGHT + 5})">{one}</g>' for i, one in enumerate(panels))
    options.svg.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="11">\n'
                           "<style>.grid{stroke:#e3e3e3}.head{font-weight:bold}</style>\n"
                           f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n')
    for axis, below, column, factor, beside in PANELS:
        for name in dict.fromkeys(row["series"] for row in rows if row["axis"] == axis):
            points = [(float(row["x"]), value(row, column) * factor) for row in rows if row["axis"] == axis and row["series"] == name]
            print(f"| {beside} | {below} | {name} | {summary(points)} | " + ", ".join(f"{tick(x)}: {y:.3g}" for x, y in points) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "draw"])
    parser.add_argument("--build", default=ROOT / "build/release")
    parser.add_argument("--rows", type=pathlib.Path, default=ROOT / "docs/results/scaling.csv")
    parser.add_argument("--svg", type=pathlib.Path, default=ROOT / "docs/pictures/scaling.svg")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", help="some axes of " + ",".join(AXES))
    options = parser.parse_args()
    measure(options) if options.what == "measure" else draw(options)


if __name__ == "__main__":
    main()
