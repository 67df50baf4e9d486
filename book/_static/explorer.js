"use strict";
// The page "Cascade explorer": controls, numbers and figures over the arithmetic of explorer-arithmetic.js.
(() => {
  const { read, chainOf, evaluate, grid, frontier } = window.cascadeArithmetic;
  const plots = window.cascadePlots;
  const part = id => document.getElementById(`explorer-${id}`);
  const MINUS = "\u2212";
  const NAMES = { pt: "P(T)", pik: "P(IK)" };

  // What the reader has set. pik[i] is kept while reads[i] is false; prices are by model.
  const setting = { name: null, edition: null, chain: null, pt: [], pik: [], reads: [], prices: new Map() };
  let current = null; // the chain's columns
  let numbers = null; // of the present setting
  const shared = (window.cascadeExplorer = {}); // what the tests read

  // ---- small things ----------------------------------------------------------------------------------

  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  const row = (heading, ...cells) =>
    make("tr", {}, make("th", { scope: "row" }, heading), ...cells.map(c => make("td", {}, String(c))));
  const head = (...cells) => make("thead", {}, make("tr", {}, ...cells.map(c => make("th", { scope: "col" }, c))));
  const fixed = (value, digits) => value.toFixed(digits).replace("-", MINUS);
  const known = (value, text) => (Number.isNaN(value) ? "not known" : text(value));
  const percent = value => known(value, v => `${fixed(100 * v, 1)} %`);
  const signed = (value, digits) => known(value, v => (v > 0 ? "+" : "") + fixed(v, digits));
  const count = value => value.toLocaleString("en");
  const money = value => known(value, v => `$${v.toPrecision(3)}`);

  function later(call, milliseconds) {
    let timer;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(call, milliseconds);
    };
  }

  function tell(message) {
    part("message").textContent = message;
    part("message").hidden = !message;
  }

  // ---- the setting and its link ----------------------------------------------------------------------

  const thresholds = () => setting.pik.map((value, i) => (setting.reads[i] ? value : null));
  const prices = () => current.stages.map(s => setting.prices.get(s.model) || s.price);

  function link() {
    const typed = current.stages.map(s => (setting.prices.get(s.model) || []).join(":"));
    const parts = [
      `edition=${encodeURIComponent(setting.name)}`,
      `chain=${setting.chain.members.join("-")}`,
      `pt=${setting.pt.join(",")}`,
      `pik=${thresholds().map(v => (v === null ? "off" : v)).join(",")}`,
    ];
    return "#" + [...parts, ...(typed.some(Boolean) ? [`prices=${typed.join(",")}`] : [])].join("&");
  }

  // Thresholds of a chain: from the link where it has usable ones, else the paper's
  function setThresholds(given = new URLSearchParams()) {
    const inner = current.stages.slice(0, -1);
    const value = (text, otherwise) => (text && Number(text) >= 0 && Number(text) <= 1 ? Number(text) : otherwise);
    const [pt, pik] = ["pt", "pik"].map(name => (given.get(name) || "").split(","));
    setting.pt = inner.map((_, i) => value(pt[i], setting.edition.paper.pt));
    setting.pik = inner.map((_, i) => value(pik[i], setting.edition.paper.pik));
    setting.reads = inner.map((s, i) => Boolean(s.p_ik) && pik[i] !== "off");
  }

  function setPrices(given) {
    const typed = (given.get("prices") || "").split(",").map(text => text.split(":").map(parseFloat));
    current.stages.forEach(({ model }, i) => {
      if (typed[i] && typed[i].length === 2 && typed[i].every(v => v >= 0)) setting.prices.set(model, typed[i]);
    });
  }

  // ---- choosing an edition and a chain ---------------------------------------------------------------

  function load(name) {
    if (window.cascadeData && window.cascadeData[name]) return Promise.resolve(read(window.cascadeData[name]));
    const folder = document.querySelector("script[src*='explorer/editions.js']").src.replace("editions.js", "");
    return new Promise((resolve, reject) => {
      const script = make("script", { src: `${folder}${encodeURIComponent(name)}.js` });
      script.onload = () => resolve(read(window.cascadeData[name]));
      script.onerror = () => reject(new Error(`The data of the edition ${name} are missing; build the book again.`));
      document.head.append(script);
    });
  }

  async function open(given) {
    const names = window.cascadeEditions.map(e => e.name);
    const name = names.includes(given.get("edition")) ? given.get("edition") : names[0];
    try {
      if (name !== setting.name) setting.edition = await load(name);
    } catch (error) {
      return tell(error.message);
    }
    tell("");
    setting.name = name;
    setting.prices.clear();
    part("edition").value = name;
    const { chains, stages } = setting.edition;
    part("chain").replaceChildren(
      ...chains.map((c, i) => make("option", { value: i }, c.members.map(m => stages[m].model).join(" → "))),
    );
    const wanted = chains.findIndex(c => c.members.join("-") === given.get("chain"));
    openChain(wanted < 0 ? chains.length - 1 : wanted, given);
  }

  function openChain(index, given = new URLSearchParams()) {
    part("chain").value = index;
    setting.chain = setting.edition.chains[index];
    current = chainOf(setting.edition, setting.chain);
    setPrices(given);
    setThresholds(given);
    drawControls();
    drawPrices();
    update();
    drawFigures();
  }

  // ---- controls --------------------------------------------------------------------------------------

  function threshold(i, name) {
    const id = `explorer-${name}-${i}`;
    const off = name === "pik" && !setting.reads[i];
    const range = make("input", { type: "range", id, min: 0, max: 1, step: 0.01, disabled: off });
    const exact = make("input", {
      type: "number", id: `${id}-exact`, min: 0, max: 1, step: 0.001, disabled: off,
      "aria-label": `${NAMES[name]} of ${current.stages[i].model} at least, exact`,
    });
    range.value = exact.value = setting[name][i];
    range.addEventListener("input", () => {
      setting[name][i] = range.valueAsNumber;
      exact.value = range.value;
      update();
    });
    exact.addEventListener("input", () => {
      const value = exact.valueAsNumber;
      if (!(value >= 0 && value <= 1)) return; // half typed
      setting[name][i] = range.value = value;
      setting[name][i] = value; // the slider rounds
      update();
    });
    const label = make("label", { for: id }, `${NAMES[name]} ≥`);
    label.append(make("span", { class: "explorer-hidden" }, ` for ${current.stages[i].model}`));
    return make("div", { class: "explorer-threshold" }, label, range, exact);
  }

  function drawControls() {
    const last = current.stages.length - 1;
    const cards = current.stages.map((stage, i) => {
      const card = make("fieldset", { style: `--stage: ${plots.stageColour(i)}` });
      card.append(make("legend", {}, `${i + 1}. ${stage.model}`));
      if (i === last) {
        card.append(make("p", {}, "The last stage answers whatever reaches it."));
        return card;
      }
      card.append(threshold(i, "pt"), threshold(i, "pik"));
      if (!stage.p_ik) {
        card.append(make("p", {}, "P(IK) was not recorded for this model, so it is left out."));
        return card;
      }
      const use = make("input", { type: "checkbox", id: `explorer-reads-${i}` });
      use.checked = setting.reads[i];
      use.addEventListener("change", () => {
        setting.reads[i] = use.checked;
        for (const id of [`pik-${i}`, `pik-${i}-exact`]) part(id).disabled = !use.checked;
        update();
      });
      const hidden = make("span", { class: "explorer-hidden" }, ` of ${stage.model}`);
      card.append(make("label", { class: "explorer-use" }, use, make("span", {}, "read P(IK)", hidden)));
      return card;
    });
    part("stages").replaceChildren(...cards);
  }

  function drawPrices() {
    const lines = current.stages.map((stage, i) => {
      const start = setting.prices.get(stage.model) || stage.price || [];
      const boxes = ["input", "output"].map((kind, j) => {
        const box = make("input", { type: "number", min: 0, step: "any", id: `explorer-${kind}-price-${i}` });
        box.value = start[j] ?? "";
        return box;
      });
      const typed = () => {
        const values = boxes.map(b => b.valueAsNumber);
        if (values.every(v => v >= 0)) setting.prices.set(stage.model, values);
        else setting.prices.delete(stage.model);
        update();
      };
      boxes.forEach(b => b.addEventListener("input", typed));
      const labels = boxes.map((b, j) => make("label", {}, ["input ", "output "][j], b));
      return make("div", { class: "explorer-price", role: "group", "aria-label": stage.model }, stage.model, ...labels);
    });
    part("prices").querySelector("div").replaceChildren(...lines);
  }

  // ---- numbers ---------------------------------------------------------------------------------------

  function update() {
    numbers = evaluate(current, setting.pt, thresholds(), prices());
    shared.numbers = { ...numbers, models: current.stages.map(s => s.model), link: link() };
    const { accuracy, reference, interval, drop, compute } = numbers;
    const item = (name, value, more) => [make("dt", {}, name), make("dd", {}, value, make("span", {}, more))];
    const rows = [
      ["Accuracy", percent(accuracy), `95 %: ${fixed(100 * interval[0], 1)} to ${fixed(100 * interval[1], 1)} %`],
      ["Performance drop (PD)", `${signed(drop.absolute, 2)} points`, `relative: ${signed(drop.relative, 2)} %`],
      ["Compute, every pass", percent(1 - compute.everyPass.reduced), `Eq. 6: ${percent(1 - compute.paper.reduced)}`],
      ["Last model alone", percent(reference), `${count(numbers.n)} questions`],
    ];
    part("headline").replaceChildren(...rows.map(r => make("div", {}, ...item(...r))));
    drawTables();
    part("link").setAttribute("href", link());
    if (part("subjects").open) drawSubjects();
    requestFigures();
    announce();
  }

  function drawTables() {
    const { counts, passes, right, n, compute, dollars } = numbers;
    const share = (a, b) => (b ? percent(a / b) : "–");
    part("counts").replaceChildren(
      make("caption", {}, "What each stage did"),
      head("stage", "asked", "answered", "share of all", "right of these"),
      make("tbody", {}, ...current.stages.map((s, i) =>
        row(s.model, count(passes[i]), count(counts[i]), share(counts[i], n), share(right[i], counts[i])))),
    );
    const both = (heading, value, costs) => row(heading, value(costs.paper), value(costs.everyPass));
    part("costs").replaceChildren(
      make("caption", {}, "What it costs"),
      head("", "answering stage only (Eq. 6)", "every pass, P(IK) read"),
      make("tbody", {},
        both("compute, of the last model alone", c => percent(1 - c.reduced), compute),
        both("compute saved", c => percent(c.reduced), compute),
        both("dollars", c => money(c.total), dollars),
        both("dollars for the last model alone", c => money(c.reference), dollars),
        both("dollars saved", c => percent(c.reduced), dollars)),
    );
    part("missing").replaceChildren(...missing().map(text => make("li", {}, text)));
  }

  function missing() {
    const told = [];
    current.stages.forEach((s, i) => {
      if (setting.chain.sizes[i] === null) told.push(`${s.model}: its size was not recorded, so compute is not known.`);
      if (!s.prompt_tokens || !s.output_tokens) told.push(`${s.model}: tokens were not recorded, so dollars are not known.`);
      else if (!prices()[i]) told.push(`${s.model}: no listed price, so dollars are not known; type one below.`);
    });
    return told;
  }

  function drawSubjects() {
    const models = current.stages.map(s => s.model);
    const width = 2 * models.length;
    const names = models.flatMap(m => [`${m}, right`, `${m}, wrong`]);
    const rows = current.subjects.map((subject, s) =>
      row(subject.replaceAll("_", " "), ...numbers.fate.subarray(s * width, (s + 1) * width)));
    part("subjects").querySelector("table").replaceChildren(head("subject", ...names), make("tbody", {}, ...rows));
  }

  // ---- figures, and what may wait --------------------------------------------------------------------

  function point(values = numbers, accounting = part("accounting").value) {
    return { cost: 1 - values.compute[accounting].reduced, accuracy: values.accuracy };
  }

  function drawFigures() {
    if (!window.Plotly || !current) return;
    const accounting = part("accounting").value;
    const sizes = setting.chain.sizes;
    const computable = sizes.every(s => s !== null);
    part("frontier").hidden = !computable;
    if (computable) {
      current.grid ||= grid(current);
      const points = frontier(current.grid, accounting).map(p => ({ ...p, cost: p[accounting] }));
      const inner = current.stages.slice(0, -1);
      const { pt, pik } = setting.edition.paper;
      const paper = evaluate(current, inner.map(() => pt), inner.map(s => (s.p_ik ? pik : null)), prices());
      const alone = current.stages.map((s, i) => ({
        name: s.model, cost: sizes[i] / sizes[sizes.length - 1],
        accuracy: s.correct.reduce((a, b) => a + b, 0) / current.n,
      }));
      shared.frontier = points;
      plots.frontier(part("frontier"), { points, alone, paper: point(paper), current: point() });
    }
    const models = current.stages.map(s => s.model);
    plots.fate(part("fate"), { fate: numbers.fate, subjects: current.subjects, models });
    drawn = current;
    describe();
  }

  let drawn = null; // the chain that the figures show
  let requested = false;
  function requestFigures() {
    if (requested || drawn !== current) return;
    requested = true;
    requestAnimationFrame(() => {
      requested = false;
      if (drawn !== current) return;
      if (!part("frontier").hidden) plots.moveTo(part("frontier"), point());
      plots.refate(part("fate"), numbers.fate, current.subjects, current.stages.length);
      describe();
    });
  }

  function describe() {
    const { cost, accuracy } = point();
    const cheaper = (shared.frontier || []).filter(p => p.cost <= cost + 1e-12);
    const best = cheaper.length ? `${percent(cheaper[cheaper.length - 1].accuracy)} is the best that one pair of ` +
      "thresholds for all stages reaches at no more compute." : "No pair of thresholds for all stages costs so little.";
    const known = part("frontier").hidden ? "Compute is not known for this chain, so there is nothing to draw."
      : `This setting is right on ${percent(accuracy)} of the questions for ${percent(cost)} of the compute; ${best}`;
    const stays = `${percent(numbers.counts[0] / numbers.n)} of the questions stay with ${current.stages[0].model}, ` +
      `and it is right on ${percent(numbers.right[0] / (numbers.counts[0] || NaN))} of them.`;
    for (const [id, text] of [["frontier", known], ["fate", stays]]) {
      part(`${id}-caption`).textContent = text;
      part(id).setAttribute("aria-label", text);
    }
  }

  const announce = later(() => {
    const { accuracy, drop, compute } = numbers;
    part("live").textContent = `Accuracy ${percent(accuracy)}, ${signed(drop.absolute, 2)} points against the last ` +
      `model; compute ${percent(1 - compute.everyPass.reduced)} with every pass counted.`;
    history.replaceState(null, "", link());
  }, 400);

  // ---- start -----------------------------------------------------------------------------------------

  const fromAddress = () => new URLSearchParams(location.hash.slice(1));

  function start() {
    const editions = window.cascadeEditions || [];
    if (!editions.length) return tell("No edition's data were written; build the book again.");
    part("edition").replaceChildren(...editions.map(e => make("option", { value: e.name }, e.title)));
    part("edition").addEventListener("change", e => open(new URLSearchParams({ edition: e.target.value })));
    part("chain").addEventListener("change", e => openChain(Number(e.target.value)));
    part("accounting").addEventListener("change", drawFigures);
    part("reset").addEventListener("click", () => {
      setThresholds();
      drawControls();
      update();
    });
    part("subjects").addEventListener("toggle", () => part("subjects").open && drawSubjects());
    window.addEventListener("hashchange", () => fromAddress().has("edition") && open(fromAddress()));
    new MutationObserver(drawFigures).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    open(fromAddress());
  }

  start();
  document.addEventListener("DOMContentLoaded", drawFigures); // Plotly, the largest script, comes last
})();
