// Small SVG charts. Each function takes plain data and ready-made words and returns one <svg>; none knows the report.
// Sizes are real pixels of the given width, so text never shrinks. Colours are CSS values, so themes just work.
"use strict";

const Charts = (() => {
  const NS = "http://www.w3.org/2000/svg";
  const SIZE = 12; // text size in px
  const LINE = 15; // line height in px
  const GAP = 8; // least room between two labels

  // ---- elements -------------------------------------------------------------------------------------------------

  function s(tag, attrs = {}, ...children) {
    const node = document.createElementNS(NS, tag);
    for (const [key, value] of Object.entries(attrs)) {
      if (value !== null && value !== undefined) node.setAttribute(key, String(value));
    }
    for (const child of children.flat()) {
      if (child !== null && child !== undefined) node.append(child);
    }
    return node;
  }

  // Gives a shape its words: <title> for readers and printers, data-tip for the hover box.
  function tip(node, text) {
    if (!text) return node;
    node.prepend(s("title", {}, text));
    node.setAttribute("data-tip", text);
    return node;
  }

  function root(width, height, label, extra = {}) {
    return s("svg", {
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": label,
      class: "plot",
      ...extra,
    });
  }

  // ---- text -----------------------------------------------------------------------------------------------------

  const pen = document.createElement("canvas").getContext("2d");
  function textWidth(text, weight = 400, size = SIZE) {
    pen.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
    return pen.measureText(text).width;
  }

  function ellipsis(text, room) {
    if (textWidth(text) <= room) return text;
    const chars = Array.from(text);
    let low = 0,
      high = chars.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (textWidth(chars.slice(0, middle).join("") + "…") <= room) low = middle;
      else high = middle - 1;
    }
    return chars.slice(0, low).join("").trimEnd() + "…";
  }

  // Breaks at spaces, or anywhere in Chinese, into lines no wider than the room.
  function wrap(text, room) {
    const parts = text.match(/[\u2e80-\uffff]|[^\s\u2e80-\uffff]+|\s+/gu) || [];
    const lines = [];
    let line = "";
    for (const part of parts) {
      if (line && textWidth((line + part).trimEnd()) > room) {
        lines.push(line.trimEnd());
        line = part.trimStart();
      } else {
        line += part;
      }
    }
    if (line.trim()) lines.push(line.trimEnd());
    return lines.map((one) => ellipsis(one, room));
  }

  function label(x, y, text, anchor = "start", cls = "tick") {
    return s("text", { x: round(x), y: round(y), "text-anchor": anchor, class: cls }, text);
  }

  // A label cut to its room; the whole text stays reachable by pointing at it.
  function cutLabel(x, y, text, room, anchor = "start", cls = "tick name") {
    const shown = ellipsis(text, room);
    const node = label(x, y, shown, anchor, cls);
    return shown === text ? node : tip(node, text);
  }

  function axisTitle(lines, x, y, anchor, axis) {
    return s(
      "text",
      { class: "axis-title", "data-axis": axis, "text-anchor": anchor, y: round(y) },
      lines.map((line, i) => s("tspan", { x: round(x), dy: i ? LINE : 0 }, line)),
    );
  }

  // ---- scales ---------------------------------------------------------------------------------------------------

  const round = (v) => Math.round(v * 100) / 100;

  function linear(from, to, start, end) {
    const span = to - from || 1;
    return (v) => start + ((v - from) / span) * (end - start);
  }

  function stepFor(span, want, whole) {
    const raw = span / Math.max(1, want);
    const scale = 10 ** Math.floor(Math.log10(raw));
    let step = scale * [1, 2, 2.5, 5, 10].find((m) => m * scale >= raw * 0.9999);
    if (whole) step = Math.max(1, Math.ceil(step));
    return step;
  }

  function ticks(low, high, want, whole = false) {
    const step = stepFor(high - low || 1, want, whole);
    const out = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
    return { values: out, step };
  }

  // Makes both ends of a range fall on a tick.
  function niceRange(low, high, want, whole = false) {
    if (!(high > low)) high = low + (whole ? 1 : Math.abs(low) * 0.1 || 1);
    const step = stepFor(high - low, want, whole);
    return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
  }

  // Keeps every k-th label, with the smallest k that lets none touch the next one.
  function thin(items, room) {
    const steps = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 24, 30, 50, 60, 100];
    const widths = items.map((item) => textWidth(item.text));
    const box = (i) => {
      const left = Math.max(0, Math.min(items[i].at - widths[i] / 2, room - widths[i]));
      return [left, left + widths[i]];
    };
    for (const k of steps) {
      const kept = items.map((_, i) => i).filter((i) => i % k === 0);
      if (kept.every((i, n) => n === 0 || box(i)[0] >= box(kept[n - 1])[1] + GAP)) {
        return kept.map((i) => ({ ...items[i], left: box(i)[0] }));
      }
    }
    return items.length ? [{ ...items[0], left: box(0)[0] }] : [];
  }

  // ---- axes -----------------------------------------------------------------------------------------------------

  function axisX(svg, plot, scale, values, format, title, base = 0) {
    for (const v of values) {
      svg.append(
        s("line", {
          x1: round(scale(v)),
          x2: round(scale(v)),
          y1: plot.top,
          y2: plot.bottom,
          class: Math.abs(v - base) < 1e-12 ? "axis" : "grid",
        }),
      );
    }
    bottomLabels(
      svg,
      plot,
      values.map((v) => ({ at: scale(v), text: format(v) })),
      title,
    );
  }

  function bottomLabels(svg, plot, items, title) {
    for (const item of thin(items, plot.width)) svg.append(label(item.left, plot.bottom + 16, item.text));
    svg.append(axisTitle(title, (plot.left + plot.right) / 2, plot.bottom + 16 + LINE + 3, "middle", "x"));
  }

  function axisY(svg, plot, scale, values, format) {
    for (const v of values) {
      svg.append(
        s("line", { x1: plot.left, x2: plot.right, y1: round(scale(v)), y2: round(scale(v)), class: v === 0 ? "axis" : "grid" }),
      );
      svg.append(label(plot.left - 6, scale(v) + 4, format(v), "end"));
    }
  }

  const tickLabelRoom = (values, format) => Math.max(0, ...values.map((v) => textWidth(format(v))));
  const bottomRoom = (lines) => 16 + 6 + lines.length * LINE + 2;
  const topRoom = (lines) => 12 + (lines.length - 1) * LINE + 12;

  // ---- horizontal bars, with or without intervals ------------------------------------------------------------------
  // rows: [{label, value, low, high, text, tip, color, strong}]; value null draws no bar. Bars start at base.

  function bars({ width, rows, xTitle, yTitle, format, aria, whole = false, color = "var(--bar)", base = 0 }) {
    const labelWide = Math.max(textWidth(yTitle), ...rows.map((r) => textWidth(r.label)));
    const above = labelWide > width * 0.3 && width < 700;
    const left = above ? 8 : Math.ceil(Math.min(labelWide, width * 0.32)) + 12;
    const valueWide = Math.max(0, ...rows.map((r) => textWidth(r.text, 700)));
    const ends = rows.flatMap((r) => [r.value, r.low, r.high]).filter((v) => v !== null && v !== undefined);
    const want = Math.max(2, Math.floor((width - left - valueWide) / 90));
    const [start, end] = niceRange(Math.min(base, ...ends), Math.max(base, ...ends), Math.max(6, want), whole);
    const t = ticks(start - base, end - base, want, whole);
    t.values = t.values.map((v) => Number((v + base).toPrecision(12)));
    const fmt = (v) => format(v, t.step);
    const right = width - Math.max(valueWide + 12, textWidth(fmt(end)) / 2 + 2);
    const yLines = wrap(yTitle, above ? width : left - 8);
    const xLines = wrap(xTitle, Math.max(120, right - left));
    const rowHigh = above ? 40 : 28;
    const barHigh = 16;
    const top = topRoom(yLines) - 4;
    const plot = { left, right, top, bottom: top + rows.length * rowHigh + 2, width };
    const svg = root(width, plot.bottom + bottomRoom(xLines), aria, { "data-axes": "xy" });
    const x = linear(start, end, left, right);

    svg.append(axisTitle(yLines, 0, 12, "start", "y"));
    axisX(svg, plot, x, t.values, fmt, xLines, base);
    rows.forEach((row, i) => {
      const y0 = top + i * rowHigh + (above ? 20 : (rowHigh - barHigh) / 2 + 1);
      const middle = y0 + barHigh / 2;
      const group = s("g", { class: "row" });
      group.append(tip(s("rect", { x: 0, y: round(top + i * rowHigh + 1), width, height: rowHigh, class: "hit" }), row.tip));
      if (row.value !== null) {
        group.append(
          s("rect", {
            x: round(Math.min(x(base), x(row.value))),
            y: round(y0),
            width: round(Math.abs(x(row.value) - x(base))),
            height: barHigh,
            rx: 1.5,
            style: `fill:${row.color || color}`,
            class: "shape",
          }),
        );
        if (row.low !== null && row.low !== undefined && row.high !== null && row.high !== undefined) {
          group.append(whisker(x(row.low), x(row.high), middle));
        }
      }
      const tail = Math.max(x(base), x(row.value ?? base), x(row.high ?? row.value ?? base));
      group.append(label(tail + 6, middle + 4, row.text, "start", row.strong ? "value strong" : "value"));
      group.append(
        above ? cutLabel(left + 4, y0 - 5, row.label, width - left - 6) : cutLabel(left - 10, middle + 4, row.label, left - 12, "end"),
      );
      svg.append(group);
    });
    return svg;
  }

  function whisker(x1, x2, y) {
    const d = `M${round(x1)} ${y - 4}V${y + 4}M${round(x1)} ${y}H${round(x2)}M${round(x2)} ${y - 4}V${y + 4}`;
    return s("g", { class: "whisker" }, s("path", { d, class: "halo" }), s("path", { d, class: "line" }));
  }

  // ---- differences around zero ------------------------------------------------------------------------------------
  // rows: [{label, value, low, high, text, tip, clear}]

  function differences({ width, rows, xTitle, yTitle, format, aria }) {
    const above = width < 620;
    const labelWide = Math.max(textWidth(yTitle), ...rows.map((r) => textWidth(r.label)));
    const left = above ? 12 : Math.ceil(Math.min(labelWide, width * 0.4)) + 16;
    const low = Math.min(0, ...rows.map((r) => Math.min(r.value, r.low ?? r.value)));
    const high = Math.max(0, ...rows.map((r) => Math.max(r.value, r.high ?? r.value)));
    const pad = (high - low) * 0.06 || 0.01;
    const want = Math.max(2, Math.floor((width - left) / 85));
    const [from, to] = niceRange(low - pad, high + pad, Math.max(6, want));
    const t = ticks(from, to, want);
    const fmt = (v) => format(v, t.step);
    const right = width - textWidth(fmt(to)) / 2 - 4;
    const yLines = wrap(yTitle, above ? width : left);
    const xLines = wrap(xTitle, Math.max(140, right - left));
    const rowHigh = above ? 40 : 28;
    const top = topRoom(yLines) - 4;
    const plot = { left, right, top, bottom: top + rows.length * rowHigh + 2, width };
    const svg = root(width, plot.bottom + bottomRoom(xLines), aria, { "data-axes": "xy" });
    const x = linear(from, to, left, right);

    svg.append(axisTitle(yLines, 0, 12, "start", "y"));
    axisX(svg, plot, x, t.values, fmt, xLines);
    rows.forEach((row, i) => {
      const middle = top + i * rowHigh + (above ? 28 : rowHigh / 2 + 1);
      svg.append(tip(s("rect", { x: 0, y: round(top + i * rowHigh + 1), width, height: rowHigh, class: "hit" }), row.tip));
      svg.append(
        above ? cutLabel(2, middle - 13, row.label, width - 4) : cutLabel(left - 14, middle + 4, row.label, left - 16, "end"),
      );
      if (row.low !== null && row.high !== null) {
        svg.append(
          s("path", { d: `M${round(x(row.low))} ${middle}H${round(x(row.high))}`, class: row.clear ? "range clear" : "range" }),
        );
      }
      svg.append(s("circle", { cx: round(x(row.value)), cy: middle, r: 5, class: row.clear ? "dot clear" : "dot" }));
    });
    return svg;
  }

  // ---- one bar cut into parts ---------------------------------------------------------------------------------------
  // parts: [{value, color, tip}]; total may exceed the parts, the rest stays empty.

  function partsBar({ width, parts, total, xTitle, yTitle, format, aria }) {
    const sum = parts.reduce((a, p) => a + p.value, 0);
    const end = Math.max(sum, total, 1);
    const want = Math.max(2, Math.floor(width / 80));
    const t = ticks(0, end, want, true);
    const fmt = (v) => format(v, t.step);
    const xLines = wrap(xTitle, width);
    const yLines = wrap(yTitle, width);
    const top = topRoom(yLines) - 4;
    const plot = { left: 1, right: width - 1 - textWidth(fmt(t.values[t.values.length - 1])) / 4, top, bottom: top + 34, width };
    const svg = root(width, plot.bottom + bottomRoom(xLines), aria, { "data-axes": "xy" });
    const x = linear(0, end, plot.left, plot.right);
    svg.append(axisTitle(yLines, 0, 12, "start", "y"));
    axisX(svg, plot, x, t.values, fmt, xLines);
    let at = 0;
    for (const part of parts) {
      const x0 = x(at),
        x1 = x(at + part.value);
      at += part.value;
      if (part.value <= 0) continue;
      const wide = Math.max(1, x1 - x0 - (x1 - x0 > 4 ? 1 : 0));
      svg.append(
        tip(
          s("rect", {
            x: round(x0),
            y: top + 4,
            width: round(wide),
            height: 26,
            style: `fill:${part.color}`,
            class: "shape hot",
          }),
          part.tip,
        ),
      );
    }
    return svg;
  }

  // ---- layers over months --------------------------------------------------------------------------------------------
  // layers: [{color, values[]}], months: labels; with fewer than three months columns are drawn instead of areas.

  function layers({ width, months, layers: list, share, xTitle, yTitle, format, aria, tips }) {
    const totals = months.map((_, m) => list.reduce((a, l) => a + (l.values[m] || 0), 0));
    const high = share ? 100 : Math.max(1, ...totals);
    const height = Math.max(240, Math.min(340, width * 0.42));
    const [, end] = share ? [0, 100] : niceRange(0, high, 5, true);
    const t = ticks(0, end, 5, !share);
    const fmt = (v) => format(v, t.step);
    const left = Math.ceil(tickLabelRoom(t.values, fmt)) + 10;
    const xLines = wrap(xTitle, width - left);
    const yLines = wrap(yTitle, width);
    const top = topRoom(yLines);
    const plot = { left, right: width - 14, top, bottom: height - bottomRoom(xLines), width };
    const svg = root(width, height, aria, { "data-axes": "xy" });
    const y = linear(0, end, plot.bottom, plot.top);
    const few = months.length < 3;
    const slot = (plot.right - plot.left) / months.length;
    const x =
      few || months.length < 2 ? (m) => plot.left + slot * (m + 0.5) : linear(0, months.length - 1, plot.left, plot.right);

    svg.append(axisTitle(yLines, 0, 12, "start", "y"));
    axisY(svg, plot, y, t.values, fmt);
    bottomLabels(
      svg,
      plot,
      months.map((text, m) => ({ at: x(m), text })),
      xLines,
    );

    const base = months.map(() => 0);
    for (const layer of list) {
      const lower = base.slice();
      layer.values.forEach((v, m) => {
        base[m] += share ? (totals[m] ? (100 * v) / totals[m] : 0) : v;
      });
      const upper = base.slice();
      if (few) {
        const wide = Math.min(120, slot * 0.6);
        months.forEach((_, m) =>
          svg.append(
            s("rect", {
              x: round(x(m) - wide / 2),
              width: round(wide),
              y: round(y(upper[m])),
              height: round(Math.max(0, y(lower[m]) - y(upper[m]))),
              style: `fill:${layer.color}`,
              class: "band",
            }),
          ),
        );
      } else {
        const over = upper.map((v, m) => `${round(x(m))} ${round(y(v))}`).join("L");
        const under = lower
          .map((v, m) => `${round(x(m))} ${round(y(v))}`)
          .reverse()
          .join("L");
        svg.append(s("path", { d: `M${over}L${under}Z`, style: `fill:${layer.color}`, class: "band" }));
      }
    }
    const bandWide = few ? slot : (plot.right - plot.left) / Math.max(1, months.length - 1);
    months.forEach((_, m) => {
      const from = Math.max(plot.left, x(m) - bandWide / 2),
        to = Math.min(plot.right, x(m) + bandWide / 2);
      svg.append(
        tip(
          s("rect", {
            x: round(from),
            width: round(to - from),
            y: plot.top,
            height: round(plot.bottom - plot.top),
            class: "hit",
          }),
          tips[m],
        ),
      );
    });
    return svg;
  }

  // ---- lines -----------------------------------------------------------------------------------------------------------
  // series: [{color, dash, points: [{x, y}], dots}], marks: [{x, label}], guides: [{points, cls}]

  function lines({
    width,
    height,
    series,
    marks = [],
    guides = [],
    xTitle,
    yTitle,
    xFormat,
    yFormat,
    xRange,
    yRange,
    xWhole = false,
    aria,
    tipAt,
  }) {
    const all = series.flatMap((one) => one.points).filter((p) => p.y !== null);
    const span = (list, given, want, whole) => given || niceRange(Math.min(...list), Math.max(...list), want, whole);
    const [y0, y1] = span(
      all.map((p) => p.y),
      yRange,
      4,
    );
    const yTicks = ticks(y0, y1, 4);
    const yFmt = (v) => yFormat(v, yTicks.step);
    const left = Math.ceil(tickLabelRoom(yTicks.values, yFmt)) + 10;
    const xs = all.map((p) => p.x);
    let [x0, x1] = xRange || [Math.min(...xs), Math.max(...xs)];
    if (x0 === x1) {
      x0 -= 0.5;
      x1 += 0.5;
    }
    const xTicks = ticks(x0, x1, Math.max(2, Math.floor((width - left) / 70)), xWhole);
    const xFmt = (v) => xFormat(v, xTicks.step);
    const xLines = wrap(xTitle, width - left);
    const yLines = wrap(yTitle, width);
    const plot = {
      left,
      right: width - 14,
      top: topRoom(yLines) + (marks.length ? LINE : 0),
      bottom: height - bottomRoom(xLines),
      width,
    };
    const svg = root(width, height, aria, { "data-axes": "xy" });
    const x = linear(x0, x1, plot.left + (xRange ? 0 : 6), plot.right - (xRange ? 0 : 6));
    const y = linear(y0, y1, plot.bottom, plot.top);

    svg.append(axisTitle(yLines, 0, 12, "start", "y"));
    axisY(svg, plot, y, yTicks.values, yFmt);
    bottomLabels(
      svg,
      plot,
      xTicks.values.map((v) => ({ at: x(v), text: xFmt(v) })),
      xLines,
    );
    for (const guide of guides) svg.append(s("path", { d: pathOf(guide.points, x, y), class: `guide ${guide.cls}` }));
    for (const mark of marks) {
      const at = round(x(mark.x));
      svg.append(s("line", { x1: at, x2: at, y1: plot.top, y2: plot.bottom, class: "mark" }));
      const wide = textWidth(mark.label, 600) / 2;
      svg.append(label(Math.max(plot.left + wide, Math.min(at, plot.right - wide)), plot.top - 5, mark.label, "middle", "value"));
    }
    for (const one of series) {
      svg.append(
        s("path", { d: pathOf(one.points, x, y), class: "series", style: `stroke:${one.color}`, "stroke-dasharray": one.dash }),
      );
      const points = one.points.filter((p) => p.y !== null);
      if (one.dots || points.length === 1) {
        for (const p of points)
          svg.append(s("circle", { cx: round(x(p.x)), cy: round(y(p.y)), r: 2.5, style: `fill:${one.color}` }));
      }
    }
    hoverBands(
      svg,
      plot,
      x,
      [...new Set(xs)].sort((a, b) => a - b),
      tipAt,
    );
    return svg;
  }

  // A path that breaks where a value is missing.
  function pathOf(points, x, y) {
    let d = "",
      down = false;
    for (const p of points) {
      if (p.y === null || p.y === undefined) {
        down = false;
        continue;
      }
      d += `${down ? "L" : "M"}${round(x(p.x))} ${round(y(p.y))}`;
      down = true;
    }
    return d || "M0 0";
  }

  function hoverBands(svg, plot, x, values, tipAt) {
    values.forEach((v, i) => {
      const from = i ? (x(values[i - 1]) + x(v)) / 2 : plot.left;
      const to = i + 1 < values.length ? (x(v) + x(values[i + 1])) / 2 : plot.right;
      svg.append(
        tip(
          s("rect", {
            x: round(from),
            width: round(Math.max(0.5, to - from)),
            y: plot.top,
            height: round(plot.bottom - plot.top),
            class: "hit",
          }),
          tipAt(v),
        ),
      );
    });
  }

  // ---- calibration ---------------------------------------------------------------------------------------------------
  // points: [{x, y, low, high, size, tip}] in percent.

  function calibration({ width, points, color, xTitle, yTitle, format, aria }) {
    const biggest = Math.max(1, ...points.map((p) => p.size));
    const t = ticks(0, 100, width < 260 ? 2 : 4);
    const fmt = (v) => format(v, t.step);
    const left = Math.ceil(tickLabelRoom(t.values, fmt)) + 10;
    const xLines = wrap(xTitle, width - left);
    const yLines = wrap(yTitle, width);
    const top = topRoom(yLines);
    const right = width - 14;
    const bottom = top + (right - left) * 0.8;
    const plot = { left, right, top, bottom: Math.round(bottom), width };
    const svg = root(width, plot.bottom + bottomRoom(xLines), aria, { "data-axes": "xy" });
    const x = linear(0, 100, left, right),
      y = linear(0, 100, plot.bottom, top);
    svg.append(axisTitle(yLines, 0, 12, "start", "y"));
    axisY(svg, plot, y, t.values, fmt);
    bottomLabels(
      svg,
      plot,
      t.values.map((v) => ({ at: x(v), text: fmt(v) })),
      xLines,
    );
    svg.append(s("path", { d: `M${left} ${plot.bottom}L${right} ${top}`, class: "guide diagonal" }));
    svg.append(s("path", { d: pathOf(points, x, y), class: "series faint", style: `stroke:${color}` }));
    for (const p of points)
      svg.append(
        s("path", { d: `M${round(x(p.x))} ${round(y(p.low))}V${round(y(p.high))}`, class: "upright", style: `stroke:${color}` }),
      );
    for (const p of [...points].sort((a, b) => b.size - a.size)) {
      const r = Math.max(2, Math.min(9, width / 32) * Math.sqrt(p.size / biggest));
      svg.append(
        tip(
          s("circle", { cx: round(x(p.x)), cy: round(y(p.y)), r: round(r), class: "bubble hot", style: `fill:${color}` }),
          p.tip,
        ),
      );
    }
    return svg;
  }

  // ---- grid of boxes -----------------------------------------------------------------------------------------------
  // cells[row][column]: {text, share 0..1, tip}; rows from the top.

  function grid({ width, cells, rowLabels, columnLabels, xTitle, yTitle, aria }) {
    const small = width < 560;
    const left = Math.ceil(Math.min(width * 0.27, Math.max(...rowLabels.flat().map((text) => textWidth(text))))) + 10;
    const xLines = wrap(xTitle, width - left);
    const yLines = wrap(yTitle, width);
    const top = topRoom(yLines) - 2;
    const wide = (width - left) / columnLabels.length;
    const high = small ? 44 : 52;
    const bottom = top + high * cells.length;
    const svg = root(width, bottom + 8 + LINE * 2 + bottomRoom(xLines) - 14, aria, { "data-axes": "xy" });
    svg.append(axisTitle(yLines, 0, 12, "start", "y"));
    cells.forEach((row, r) => {
      const middle = top + high * r + high / 2;
      rowLabels[r].forEach((text, i) =>
        svg.append(
          cutLabel(
            left - 10,
            middle + 4 + (i - (rowLabels[r].length - 1) / 2) * LINE,
            text,
            left - 10,
            "end",
            i ? "tick" : "tick name",
          ),
        ),
      );
      row.forEach((cell, c) => {
        const box = s("rect", {
          x: round(left + wide * c),
          y: round(top + high * r),
          width: round(wide - 2),
          height: high - 2,
          rx: 3,
          class: "hot",
          style: `fill:${heat(cell.share)}`,
        });
        svg.append(tip(box, cell.tip));
        svg.append(cutLabel(left + wide * (c + 0.5) - 1, middle + 3, cell.text, wide - 4, "middle", `cell ${inkOn(cell.share)}`));
      });
    });
    columnLabels.forEach((parts, c) =>
      parts.forEach((text, i) =>
        svg.append(
          cutLabel(left + wide * (c + 0.5) - 1, bottom + 14 + i * LINE, text, wide - 4, "middle", i ? "tick" : "tick name"),
        ),
      ),
    );
    svg.append(axisTitle(xLines, left + (width - left) / 2, bottom + 14 + LINE * 2 + 4, "middle", "x"));
    return svg;
  }

  const heat = (share) =>
    `color-mix(in oklab, var(--heat-high) ${round(Math.max(0, Math.min(1, share)) * 100)}%, var(--heat-low))`;
  const inkOn = (share) => (share > 0.68 ? "ink-high" : share > 0.52 ? "ink-mid" : "ink-low");

  // ---- flows from the left to the right ---------------------------------------------------------------------------
  // nodes: [{label, color}] in order; links: [{from, to, value, tip}] with node indexes.

  function flow({ width, left: leftNodes, right: rightNodes, links, leftTitle, rightTitle, aria, format }) {
    const sums = (side, count) =>
      Array.from({ length: count }, (_, i) => links.filter((l) => l[side] === i).reduce((a, l) => a + l.value, 0));
    const from = sums("from", leftNodes.length),
      to = sums("to", rightNodes.length);
    const total = from.reduce((a, b) => a + b, 0);
    const usedLeft = from.filter((v) => v > 0).length,
      usedRight = to.filter((v) => v > 0).length;
    const pad = 20;
    const inner = Math.max(160, Math.min(300, width * 0.4));
    const words = (node, value) => `${node.label} ${format(value)}`;
    const room = (nodes, values) =>
      Math.min(width * 0.34, Math.max(0, ...nodes.map((n, i) => (values[i] > 0 ? textWidth(words(n, values[i])) : 0)))) + 8;
    const x0 = room(leftNodes, from),
      x1 = width - room(rightNodes, to);
    const titleL = wrap(leftTitle, width * 0.45),
      titleR = wrap(rightTitle, width * 0.45);
    const top = topRoom(titleL.length > titleR.length ? titleL : titleR) + 4;
    const height = top + inner + pad * Math.max(usedLeft, usedRight);
    const svg = root(width, Math.round(height), aria, { "data-axes": "xy" });
    svg.append(axisTitle(titleL, 0, 12, "start", "x"), axisTitle(titleR, width, 12, "end", "y"));
    const tall = (v) => (v / total) * inner;
    const place = (values, used) => {
      let at = top + pad / 2 + (pad * (Math.max(usedLeft, usedRight) - used)) / 2;
      return values.map((v) => {
        const y = at;
        if (v > 0) at += tall(v) + pad;
        return y;
      });
    };
    const yL = place(from, usedLeft),
      yR = place(to, usedRight);
    const outL = yL.slice(),
      outR = yR.slice();
    const bend = (x0 + x1) / 2;
    for (const link of [...links].sort((a, b) => a.from - b.from || a.to - b.to)) {
      if (link.value <= 0) continue;
      const h = tall(link.value),
        a = outL[link.from],
        b = outR[link.to];
      outL[link.from] += h;
      outR[link.to] += h;
      const d =
        `M${round(x0 + 12)} ${round(a)}C${round(bend)} ${round(a)} ${round(bend)} ${round(b)} ${round(x1 - 12)} ${round(b)}` +
        `V${round(b + h)}C${round(bend)} ${round(b + h)} ${round(bend)} ${round(a + h)} ${round(x0 + 12)} ${round(a + h)}Z`;
      svg.append(tip(s("path", { d, class: "ribbon", style: `fill:${leftNodes[link.from].color}` }), link.tip));
    }
    const draw = (nodes, values, ys, x, anchor, labelX, room) =>
      nodes.forEach((node, i) => {
        if (!(values[i] > 0)) return;
        svg.append(
          s("rect", {
            x: round(x),
            y: round(ys[i]),
            width: 12,
            height: round(Math.max(1, tall(values[i]))),
            style: `fill:${node.color}`,
            class: "shape",
          }),
        );
        svg.append(cutLabel(labelX, ys[i] + tall(values[i]) / 2 + 4, words(node, values[i]), room, anchor));
      });
    draw(leftNodes, from, yL, x0, "end", x0 - 6, x0 - 6);
    draw(rightNodes, to, yR, x1 - 12, "start", x1 + 6, width - x1 - 6);
    return svg;
  }

  return { bars, differences, partsBar, layers, lines, calibration, grid, flow, heat, inkOn, textWidth };
})();
