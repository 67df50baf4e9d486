"use strict";
// The explorer's numbers as text and tables.
window.cascadeNumbers = (() => {
  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  const fixed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");
  const known = (value, text) => (Number.isNaN(value) ? "not known" : text(value));
  const percent = value => known(value, v => `${fixed(100 * v, 1)}\u00a0%`); // on one line
  const signed = (value, digits) => known(value, v => (v > 0 ? "+" : "") + fixed(v, digits));
  const count = value => value.toLocaleString("en");
  const money = value => known(value, v => `$${v.toPrecision(3)}`);
  const share = (a, b) => (b ? percent(a / b) : "\u2013");

  const row = (heading, ...cells) =>
    make("tr", {}, make("th", { scope: "row" }, heading), ...cells.map(c => make("td", {}, String(c))));
  const table = (caption, heads, rows) => [
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...heads.map(h => make("th", { scope: "col" }, h)))),
    make("tbody", {}, ...rows),
  ];

  function headline(list, { n, accuracy, reference, interval, drop, compute }) {
    const rows = [
      ["Accuracy", percent(accuracy), `95 %: ${fixed(100 * interval[0], 1)} to ${percent(interval[1])}`],
      ["PD, points", signed(drop.absolute, 2), `relative: ${signed(drop.relative, 2)} %`],
      ["Compute, all passes", percent(1 - compute.everyPass.reduced), `Eq. 6: ${percent(1 - compute.paper.reduced)}`],
      ["Last model alone", percent(reference), `of ${count(n)} questions`],
    ];
    list.replaceChildren(...rows.map(([name, value, more]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, value, make("span", {}, more)))));
  }

  function stages(element, { counts, passes, right, n }, models) {
    const rows = models.map((model, i) =>
      row(model, count(passes[i]), `${count(counts[i])} (${share(counts[i], n)})`, share(right[i], counts[i])));
    element.replaceChildren(...table("What each stage did", ["stage", "asked", "answered", "right of these"], rows));
  }

  function costs(element, { compute, dollars }) {
    const both = (heading, value, { paper, everyPass }) => row(heading, value(paper), value(everyPass));
    const rows = [
      both("compute", c => percent(1 - c.reduced), compute),
      both("compute saved", c => percent(c.reduced), compute),
      both("dollars", c => money(c.total), dollars),
    ];
    if (!Number.isNaN(dollars.paper.reference)) {
      rows.push(both("dollars, last model alone", c => money(c.reference), dollars));
      rows.push(both("dollars saved", c => percent(c.reduced), dollars));
    }
    const heads = ["", "answering stage (Eq. 6)", "every pass, P(IK) read"];
    element.replaceChildren(...table("What it costs; compute in per cent of the last model alone", heads, rows));
  }

  function subjects(element, { fate }, subjects, models) {
    const width = 2 * models.length;
    const rows = subjects.map((subject, s) =>
      row(subject.replaceAll("_", " "), ...fate.subarray(s * width, (s + 1) * width)));
    const heads = ["subject", ...models.flatMap(m => [`${m}, right`, `${m}, wrong`])];
    for (const { cells } of rows) heads.slice(1).forEach((head, i) => { cells[i + 1].dataset.label = head; });
    element.replaceChildren(...table("Questions by who answered them, and how", heads, rows));
  }

  function missing(element, stages, sizes, prices) {
    const without = has => stages.filter((s, i) => !has(s, i)).map(s => s.model).join(", ");
    const told = [
      [without((_, i) => sizes[i] !== null), "sizes were not recorded, so compute is not known."],
      [without(s => s.prompt_tokens && s.output_tokens), "tokens were not recorded, so dollars are not known."],
      [without((_, i) => prices[i]), "no listed price, so dollars are not known; type prices below."],
    ];
    const lines = told.filter(([who]) => who).map(([who, what]) => make("li", {}, `${who}: ${what}`));
    element.replaceChildren(...lines);
  }

  function besideFrontier({ cost, accuracy }, best, mixed) {
    const above = 100 * (accuracy - mixed);
    return `This setting is right on ${percent(accuracy)} of the questions for ${percent(cost)} of the compute. ` +
      (Number.isNaN(mixed) ? "No model alone costs so little. "
        : `Random mixing of models reaches ${percent(mixed)} there: the setting is ${signed(above, 2)} points above it. `) +
      (best ? `${percent(best.accuracy)} is the best that one pair of thresholds for all stages reaches at no more compute.`
        : "No pair of thresholds for all stages costs so little.");
  }

  function staying({ counts, right, n }, model) {
    return counts[0] ? `${percent(counts[0] / n)} of the questions stay with ${model}, and it is right on ` +
      `${percent(right[0] / counts[0])} of them.` : `No question stays with ${model}.`;
  }

  function promise({ pt, maxDrop, probability, saved, questions, reason }) {
    if (reason) return `No thresholds on P(T) are offered for this chain: ${reason}.`;
    const rule = pt.map(v => v.toFixed(3)).join(", ");
    const [points, sure] = [fixed(100 * maxDrop, 1), fixed(100 * probability, 0)];
    return `Proven on ${count(questions)} validation questions: P(T) \u2265 ${rule} without P(IK) loses at most ` +
      `${points} points with probability ${sure} %. There it saves ${percent(saved)} of the compute, every pass counted.`;
  }

  return { make, percent, signed, headline, stages, costs, subjects, missing, besideFrontier, staying, promise };
})();
