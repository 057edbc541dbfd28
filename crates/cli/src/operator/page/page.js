"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const count = new Intl.NumberFormat("en");
  const MOST_BARS = 8;
  const MOST_SERIES = 6;
  const MOST_STEPS = 96;

  /** An element with text or children. Text is never parsed as markup. */
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children.map((child) => (typeof child === "object" ? child : String(child))));
    return element;
  }

  /** Text that may break after its separators, because ids, ARNs and codes are long. */
  const breakable = (text) =>
    text.split(/(?<=[_:/.|-])(?=[\p{L}\p{N}{])/u).flatMap((part, index) => (index ? [make("wbr"), part] : [part]));

  const moment = (at, seconds = false) =>
    new Date(at).toISOString().replace("T", " ").slice(0, seconds ? 19 : 16);

  function facts() {
    const list = make("dl", { class: "card facts" });
    for (const [name, value] of data.facts) {
      const figure = make("dd", value.length > 11 ? { class: "long" } : {}, value);
      list.append(make("div", {}, make("dt", {}, name), figure));
    }
    return list;
  }

  function notes() {
    const list = make("ul");
    for (const note of data.notes) {
      const pieces = note.split("`").map((piece, index) => (index % 2 ? make("code", {}, piece) : piece));
      list.append(make("li", {}, ...pieces));
    }
    return make("section", { class: "card notes", "aria-label": "What to do" }, make("h2", {}, "What to do"), list);
  }

  function bars({ title, bars: all }) {
    const most = Math.max(1, ...all.map((bar) => bar[1]));
    const total = Math.max(1, all.reduce((sum, bar) => sum + bar[1], 0));
    const list = (some) =>
      make("ul", { class: "bars" }, ...some.map(([name, value]) => {
        const share = make("small", {}, ` ${percent(value / total)}`);
        const line = make("div", {}, make("span", {}, ...breakable(name)), make("b", {}, count.format(value), share));
        const bar = make("i", { "aria-hidden": "true" });
        bar.style.setProperty("--share", `${(100 * value) / most}%`);
        if (value === 0) bar.style.setProperty("visibility", "hidden");
        return make("li", {}, line, bar);
      }));
    const figure = make("figure", { class: "card" }, make("figcaption", {}, make("h2", {}, title)));
    figure.append(all.length ? list(all.slice(0, MOST_BARS)) : make("p", { class: "readout" }, "None."));
    if (all.length > MOST_BARS) {
      const rest = all.slice(MOST_BARS);
      const more = make("details", { class: "more" }, make("summary", {}, `${count.format(rest.length)} more`));
      more.append(list(rest));
      figure.append(more);
    }
    return figure;
  }

  const percent = (share) => (share > 0 && share < 0.01 ? "<1%" : `${Math.round(100 * share)}%`);

  /** The series, largest first. Series beyond the number of colours are combined. */
  function distinct(series) {
    const sum = (points) => points.reduce((total, point) => total + point[1], 0);
    const sorted = series.map(([name, points]) => ({ name, points, sum: sum(points) })).sort((a, b) => b.sum - a.sum);
    if (sorted.length <= MOST_SERIES) return sorted;
    const rest = sorted.splice(MOST_SERIES);
    const points = rest.flatMap((it) => it.points);
    return [...sorted, { name: `${rest.length} others`, points, sum: sum(points) }];
  }

  function timeLine({ title, series, step }) {
    const all = distinct(series);
    const readout = make("span", { class: "readout" });
    const caption = make("figcaption", {}, make("h2", {}, title), readout);
    const figure = make("figure", { class: "card wide" }, caption);
    const times = all.flatMap((it) => it.points.map((point) => point[0]));
    if (!times.length) {
      figure.append(make("p", { class: "readout" }, "None."));
      return figure;
    }
    let [first, last] = [Infinity, -Infinity];
    for (const at of times) [first, last] = [Math.min(first, at), Math.max(last, at)];
    while ((last - first) / step >= MOST_STEPS) step *= 2;
    first = Math.floor(first / step) * step;
    const steps = Math.floor((last - first) / step) + 1;
    const columns = Array.from({ length: steps }, () => all.map(() => 0));
    all.forEach((it, index) => {
      for (const [at, value] of it.points) columns[Math.floor((at - first) / step)][index] += value;
    });
    const heights = columns.map((column) => column.reduce((sum, value) => sum + value, 0));
    const most = Math.max(1, ...heights);
    const plot = make("div", { class: "plot", role: "img", "aria-label": `${title}: the figures are in the table below` });
    const body = make("tbody");
    columns.forEach((column, at) => {
      const when = moment(first + at * step);
      const bar = make("span");
      column.forEach((value, index) => {
        if (!value) return;
        const part = make("i", { class: `c${index}` });
        part.style.height = `${(100 * value) / most}%`;
        bar.append(part);
      });
      const named = all.map((it, index) => [it.name, column[index]]).filter((pair) => pair[1]);
      const said = named.map(([name, value]) => `${name} ${count.format(value)}`).join(", ");
      bar.addEventListener("pointerenter", () => (readout.textContent = `${when} UTC: ${said || "none"}`));
      plot.append(bar);
      if (heights[at]) {
        const cells = column.map((value) => make("td", { class: "number" }, count.format(value)));
        body.append(make("tr", {}, make("th", { scope: "row" }, when), ...cells));
      }
    });
    plot.addEventListener("pointerleave", () => (readout.textContent = ""));
    const scale = make("div", { class: "scale", "aria-hidden": "true" }, make("span", {}, count.format(most)), make("span", {}, "0"));
    const ends = make("div", { class: "ends", "aria-hidden": "true" }, make("span", {}, `${moment(first)} UTC`));
    ends.append(make("span", {}, `${moment(first + steps * step)} UTC`));
    figure.append(make("div", { class: "line" }, scale, plot, ends));
    const legend = all.map((it, index) =>
      make("li", {}, make("i", { class: `c${index}`, "aria-hidden": "true" }), make("span", {}, it.name), make("b", {}, count.format(it.sum))));
    figure.append(make("ul", { class: "legend" }, ...legend));
    const heads = ["Time (UTC)", ...all.map((it) => it.name)].map((name, index) =>
      make("th", index ? { scope: "col", class: "number" } : { scope: "col" }, name));
    const figures = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
    const more = make("details", { class: "more" }, make("summary", {}, "As a table"));
    more.append(make("div", { class: "figures", tabindex: "0", role: "region", "aria-label": title }, figures));
    figure.append(more);
    return figure;
  }

  const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;
  const NUMBER = /^-?[\d,]+(\.\d+)?%?$/;
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  /** Empty cells are last in both directions; numbers are sorted by value, other cells in natural order. */
  function compare(a, b, kind) {
    if (!a || !b) return 0;
    if (kind === "number") return parseFloat(a.replaceAll(",", "")) - parseFloat(b.replaceAll(",", ""));
    if (kind === "time") return a < b ? -1 : a > b ? 1 : 0;
    return collator.compare(a, b);
  }

  function table({ columns, rows, notes, leftOut, details }) {
    const kinds = columns.map((_, index) => {
      const cells = rows.map((row) => row[index]).filter(Boolean);
      if (!cells.length) return "text";
      if (cells.every((cell) => NUMBER.test(cell))) return "number";
      return cells.every((cell) => TIME.test(cell)) ? "time" : "text";
    });
    const entries = rows.map((cells, index) => {
      const detail = details[index];
      const below = notes[index] ?? [];
      const row = make("tr", { class: detail || below.length ? "row opens" : "row", role: "row" });
      cells.forEach((cell, at) => {
        const shown = {
          time: () => [cell.replace("T", " ").replace(/(\.\d+)?Z$/, "")],
          number: () => [cell],
          text: () => breakable(cell),
        }[kinds[at]]();
        row.append(make("td", { class: kinds[at], role: "cell", "data-name": columns[at] }, make("span", {}, ...shown)));
      });
      const elements = [row];
      if (below.length) {
        const lines = below.map(([name, value]) => make("p", {}, make("b", {}, `${name}: `), ...breakable(value)));
        const cell = make("td", { colspan: columns.length, role: "cell" }, ...lines);
        elements.push(make("tr", { class: detail ? "detail opens" : "detail", role: "row" }, cell));
      }
      if (detail) {
        const more = make("details", {}, make("summary", {}, "Payload"), make("pre", {}, detail));
        elements.push(make("tr", { class: "detail", role: "row" }, make("td", { colspan: columns.length, role: "cell" }, more)));
      }
      return { cells, elements, text: [...cells, ...below.flat(), detail ?? ""].join("\n").toLowerCase() };
    });

    const body = make("tbody", { role: "rowgroup" });
    body.append(...entries.flatMap((entry) => entry.elements));
    const heads = columns.map((name, index) => {
      const button = make("button", { type: "button" }, name);
      const head = make("th", { scope: "col", role: "columnheader", class: kinds[index] }, button);
      button.addEventListener("click", () => sort(index));
      return head;
    });
    function sort(index) {
      const descending = heads[index].getAttribute("aria-sort") === "ascending";
      for (const head of heads) head.removeAttribute("aria-sort");
      heads[index].setAttribute("aria-sort", descending ? "descending" : "ascending");
      entries.sort((a, b) => {
        const [one, other] = [a.cells[index], b.cells[index]];
        const empty = Number(!one) - Number(!other);
        return empty || (descending ? -1 : 1) * compare(one, other, kinds[index]);
      });
      body.append(...entries.flatMap((entry) => entry.elements));
    }

    const search = make("input", { type: "search", id: "search", autocomplete: "off", spellcheck: "false", placeholder: "type, code, target, id …" });
    const shown = make("output", { for: "search" });
    const nothing = make("p", { class: "said", hidden: "" }, "Nothing matches.");
    function filter() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let matches = 0;
      for (const entry of entries) {
        const fits = words.every((word) => entry.text.includes(word));
        for (const element of entry.elements) element.hidden = !fits;
        if (fits) matches += 1;
      }
      shown.textContent = `${count.format(matches)} of ${count.format(entries.length)}`;
      nothing.hidden = matches > 0;
    }
    function fromAddress() {
      search.value = new URLSearchParams(location.hash.slice(1)).get("search") ?? "";
      filter();
    }
    search.addEventListener("input", () => {
      filter();
      const wanted = new URLSearchParams({ search: search.value });
      history.replaceState(null, "", search.value ? `#${wanted}` : "#");
    });
    addEventListener("hashchange", fromAddress);

    const head = make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...heads));
    const tools = make("div", { class: "tools", role: "search" }, make("label", { for: "search" }, "Search"), search, shown);
    const grid = make("table", { role: "table", "aria-label": "Rows; the heading of the sorted column shows the direction" }, head, body);
    const section = make("section", { class: "card rows", "aria-label": "Table" }, tools, make("div", { class: "scroll" }, grid), nothing);
    if (leftOut) {
      section.append(make("p", { class: "said" }, `${count.format(leftOut)} more are not in this page: narrow the selection to see them.`));
    }
    fromAddress();
    return section;
  }

  const page = document.getElementById("page");
  const made = make("time", { datetime: new Date(data.generatedAt).toISOString() }, `${moment(data.generatedAt, true)} UTC`);
  page.append(make("header", {}, make("h1", {}, data.title), make("p", {}, "As of ", made)));
  if (data.facts.length) page.append(facts());
  if (data.notes.length) page.append(notes());
  if (data.charts.length) {
    const charts = data.charts.map((chart) => (chart.bars ? bars(chart) : timeLine(chart)));
    page.append(make("section", { class: "charts", "aria-label": "Charts" }, ...charts));
  }
  if (data.table) page.append(table(data.table));
})();
