"use strict";
// The page "Cascade explorer": controls, numbers and figures over the arithmetic of explorer-arithmetic.js.
(() => {
  const { read, chainOf, evaluate, grid, frontier, mixedAt } = window.cascadeArithmetic;
  const plots = window.cascadePlots;
  const { make, percent, signed, ...show } = window.cascadeNumbers;
  const part = id => document.getElementById(`explorer-${id}`);
  const NAMES = { pt: "P(T)", pik: "P(IK)" };

  // What the reader has set. pik[i] is kept while reads[i] is false; prices are by model.
  const setting = { name: null, edition: null, chain: null, pt: [], pik: [], reads: [], prices: new Map() };
  let current = null; // the chain's columns
  let numbers = null; // of the present setting
  const shared = (window.cascadeExplorer = {}); // what the tests read

  // ---- small things ----------------------------------------------------------------------------------

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
  const models = () => current.stages.map(s => s.model);
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

  function chosen() { // the edition whose chapters the sidebar lists
    try { return localStorage.getItem("edition"); } catch { return null; }
  }

  async function open(given) {
    const names = window.cascadeEditions.map(e => e.name);
    const name = [given.get("edition"), chosen(), names[0]].find(n => names.includes(n));
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
    drawPromise();
    drawPrices();
    update();
    drawFigures();
  }

  // ---- controls --------------------------------------------------------------------------------------

  // A finger that lands on a slider and scrolls the page moves the slider too: it goes back to where it was
  function keepWhereTheFingerScrolls(range, get, restore) {
    let [before, scrolls] = [0, false];
    range.addEventListener("pointerdown", () => ([before, scrolls] = [get(), false]));
    range.addEventListener("pointercancel", () => {
      scrolls = true;
      restore(before);
    });
    range.addEventListener("input", () => scrolls && restore(before)); // it may follow the finger further
    for (const end of ["touchend", "touchcancel"]) range.addEventListener(end, () => setTimeout(() => (scrolls = false)));
  }

  function threshold(i, name) {
    const id = `explorer-${name}-${i}`;
    const off = name === "pik" && !setting.reads[i];
    const range = make("input", { type: "range", id, min: 0, max: 1, step: 0.01, disabled: off });
    const exact = make("input", {
      type: "number", id: `${id}-exact`, min: 0, max: 1, step: 0.001, disabled: off,
      "aria-label": `${NAMES[name]} of ${current.stages[i].model} at least, exact`,
    });
    range.value = exact.value = setting[name][i];
    const set = value => {
      setting[name][i] = value;
      update();
    };
    range.addEventListener("input", () => set(Number((exact.value = range.value))));
    exact.addEventListener("input", () => {
      const value = exact.valueAsNumber;
      if (!(value >= 0 && value <= 1)) return; // half typed
      range.value = value;
      set(value); // the slider rounds
    });
    keepWhereTheFingerScrolls(range, () => setting[name][i], value => {
      range.value = exact.value = value;
      set(value);
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

  // The thresholds that are proven for the chain, on a button that loads them, or why there are none
  function drawPromise() {
    const { proven } = setting.chain;
    part("proven").hidden = !(proven && proven.pt);
    part("promise").textContent = proven ? show.promise(proven) : "";
  }

  function loadProven() {
    setting.pt = [...setting.chain.proven.pt];
    setting.reads = setting.reads.map(() => false);
    drawControls();
    update();
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
    shared.numbers = { ...numbers, models: models(), link: link() };
    show.headline(part("headline"), numbers);
    show.stages(part("counts"), numbers, models());
    show.costs(part("costs"), numbers);
    show.missing(part("missing"), current.stages, setting.chain.sizes, prices());
    part("link").setAttribute("href", link());
    if (part("subjects").open) drawSubjects();
    requestFigures();
    announce();
  }

  function drawSubjects() {
    show.subjects(part("subjects").querySelector("table"), numbers, current.subjects, models());
  }

  // ---- figures, and what may wait --------------------------------------------------------------------

  function point(values = numbers, accounting = part("accounting").value) {
    return { cost: 1 - values.compute[accounting].reduced, accuracy: values.accuracy };
  }

  function drawFigures() {
    if (!window.Plotly || !current) return;
    const accounting = part("accounting").value;
    const computable = setting.chain.mixing !== null;
    part("frontier").hidden = !computable;
    if (computable) {
      current.grid ||= grid(current);
      const costed = p => ({ ...p, cost: p[accounting] });
      const points = frontier(current.grid, accounting).map(costed);
      const inner = current.stages.slice(0, -1);
      const { pt, pik } = setting.edition.paper;
      const paper = evaluate(current, inner.map(() => pt), inner.map(s => (s.p_ik ? pik : null)), prices());
      const { alone, hull } = setting.chain.mixing;
      shared.frontier = points;
      plots.frontier(part("frontier"), {
        points, alone: alone.map(([i, cost, accuracy]) => ({ name: setting.edition.stages[i].model, cost, accuracy })),
        mixing: hull, paper: point(paper), current: point(), all: current.grid.map(costed),
      });
    }
    plots.fate(part("fate"), { fate: numbers.fate, subjects: current.subjects, models: models() });
    drawn = current;
    describe();
  }

  let drawn = null; // the chain that the figures show
  let [moving, barring] = [false, false];
  function requestFigures() {
    if (drawn !== current) return; // they are about to be drawn anew
    if (!moving) {
      moving = true;
      requestAnimationFrame(() => {
        moving = false;
        if (drawn === current && !part("frontier").hidden) plots.moveTo(part("frontier"), point());
        describe();
      });
    }
    if (!barring) {
      barring = true; // bars take the longest, so they follow in steps
      setTimeout(() => {
        barring = false;
        if (drawn === current) plots.refate(part("fate"), numbers.fate, current.subjects, models().length);
      }, 60);
    }
  }

  function describe() {
    const cheaper = (shared.frontier || []).filter(p => p.cost <= point().cost + 1e-12);
    const known = part("frontier").hidden ? "Compute is not known for this chain, so there is nothing to draw."
      : show.besideFrontier(point(), cheaper[cheaper.length - 1], mixedAt(setting.chain.mixing.hull, point().cost));
    const stays = show.staying(numbers, models()[0]);
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
    part("proven").addEventListener("click", loadProven);
    part("subjects").addEventListener("toggle", () => part("subjects").open && drawSubjects());
    window.addEventListener("hashchange", () => fromAddress().has("edition") && open(fromAddress()));
    window.addEventListener("resize", later(drawFigures, 200)); // narrow figures have shorter titles
    new MutationObserver(drawFigures).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    open(fromAddress());
  }

  start();
  document.addEventListener("DOMContentLoaded", drawFigures); // Plotly, the largest script, comes last
})();
