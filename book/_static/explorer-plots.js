"use strict";
// The explorer's two figures, drawn by Plotly in the colours of the page's theme.
window.cascadePlots = (() => {
  // Okabe and Ito's colours, in the order of the book's other figures
  const COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"];
  const CONFIG = { displayModeBar: false, responsive: true };
  const CURRENT = 4; // place of the trace of the current setting
  const stageColour = i => COLOURS[i % COLOURS.length];
  const percent = { ticksuffix: " %" };
  const narrow = div => div.clientWidth < 500;

  function layout(div, more) {
    const style = getComputedStyle(document.documentElement);
    const colour = name => style.getPropertyValue(`--pst-color-${name}`).trim();
    const axis = { gridcolor: colour("border"), zeroline: false, fixedrange: true, automargin: true };
    return {
      font: { color: colour("text-base"), family: getComputedStyle(document.body).fontFamily, size: 13 },
      paper_bgcolor: "rgba(0, 0, 0, 0)",
      plot_bgcolor: "rgba(0, 0, 0, 0)",
      hoverlabel: { bgcolor: colour("surface"), font: { color: colour("text-base") } },
      dragmode: false, // a finger on the figure scrolls the page
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      ...more,
      xaxis: { ...axis, ...more.xaxis },
      yaxis: { ...axis, ...more.yaxis },
    };
  }

  const place = ({ cost, accuracy }) => ({ x: [100 * cost], y: [100 * accuracy] });

  // From the least to the greatest of some shares, in per cent, with room for markers at both ends
  function range(shares, from = Math.min(...shares)) {
    const [low, high] = [100 * from, 100 * Math.max(...shares)];
    return [low === 0 ? 0 : low - 0.06 * (high - low), high + 0.06 * (high - low)];
  }

  // points: of the frontier, with pt and pik; alone, current and paper: {name, cost, accuracy}; all: of the grid;
  // mixing: corners [cost, accuracy]
  function frontier(div, { points, alone, mixing, current, paper, all }) {
    const text = getComputedStyle(document.documentElement).getPropertyValue("--pst-color-text-base").trim();
    const hover = "compute %{x:.1f} %, accuracy %{y:.1f} %<extra></extra>";
    const seen = [...all, ...alone.filter(m => m.cost <= 1)]; // not what is larger than the chain's last model
    const xs = values => values.map(v => 100 * v.cost);
    const ys = values => values.map(v => 100 * v.accuracy);
    const traces = [
      { name: "best pairs of thresholds", x: xs(points), y: ys(points), mode: "lines+markers", line: { color: COLOURS[0] },
        marker: { size: 4 }, text: points.map(p => `P(T) ≥ ${p.pt}` + (p.pik === null ? "" : `, P(IK) ≥ ${p.pik}`)),
        hovertemplate: `%{text}<br>${hover}` },
      { name: "random mixing", x: mixing.map(([x]) => 100 * x), y: mixing.map(([, y]) => 100 * y), mode: "lines", line: { color: text, dash: "dash", width: 1 },
        hoverinfo: "skip" },
      { name: "a model alone", x: xs(alone), y: ys(alone), mode: "markers+text", text: alone.map(m => m.name),
        marker: { symbol: "square", size: 9, color: text }, cliponaxis: false, hovertemplate: `%{text}<br>${hover}`,
        textposition: alone.map((m, i) => (i === 0 ? "bottom right" : m.cost >= 1 ? "bottom center" : "middle left")) },
      { name: "the paper's thresholds", ...place(paper), mode: "markers", hovertemplate: hover,
        marker: { symbol: "circle-open", size: 13, color: COLOURS[5], line: { width: 2 } } },
      { name: "this setting", ...place(current), mode: "markers", hovertemplate: hover,
        marker: { symbol: "diamond", size: 13, color: COLOURS[5], line: { color: text, width: 1 } } },
    ];
    return Plotly.react(div, traces, layout(div, {
      height: 430,
      margin: { l: 10, r: 20, t: 10, b: 10 },
      xaxis: { ...percent, title: { text: narrow(div) ? "compute, % of the last model" : "compute, % of the last model alone" },
        range: range(seen.map(p => p.cost), 0) },
      yaxis: { ...percent, title: { text: narrow(div) ? "accuracy" : "accuracy, % of the test questions" },
        range: range(seen.map(p => p.accuracy)) },
    }), CONFIG);
  }

  function moveTo(div, current) {
    const { x, y } = place(current);
    const still = { frame: { duration: 0, redraw: false }, transition: { duration: 0 }, mode: "immediate" };
    return Plotly.animate(div, { data: [{ x, y }], traces: [CURRENT] }, still); // a tenth of a restyle's time
  }

  // (subjects x k x 2) counts as one row of bars a stage and outcome, in per cent of each subject's questions
  function bars(fate, subjects, k) {
    const totals = subjects.map((_, s) => fate.subarray(s * 2 * k, (s + 1) * 2 * k).reduce((a, b) => a + b, 0));
    const rows = Array.from({ length: 2 * k }, (_, c) => subjects.map((_, s) => fate[s * 2 * k + c]));
    return {
      x: rows.map(row => row.map((count, s) => (100 * count) / totals[s])),
      customdata: rows.map(row => row.map((count, s) => [count, totals[s]])),
    };
  }

  function fate(div, { fate, subjects, models }) {
    const k = models.length;
    const { x, customdata } = bars(fate, subjects, k);
    const names = subjects.map(s => s.replaceAll("_", " "));
    const traces = x.map((row, c) => {
      const [i, wrong] = [c >> 1, c % 2];
      return {
        name: `${models[i]}, ${wrong ? "wrong" : "right"}`, type: "bar", orientation: "h", x: row, y: names,
        customdata: customdata[c],
        marker: { color: stageColour(i), line: { color: stageColour(i), width: 1 },
          pattern: wrong ? { shape: "/", solidity: 0.25, size: 6, fillmode: "replace", bgcolor: "rgba(0, 0, 0, 0)" } : {} },
        hovertemplate: "%{customdata[0]} of %{customdata[1]}<extra>%{fullData.name}</extra>",
      };
    });
    const small = narrow(div);
    return Plotly.react(div, traces, layout(div, {
      barmode: "stack", bargap: 0.25, hovermode: "closest",
      height: 110 + 18 * subjects.length + (small ? 24 * k : 0),
      margin: { l: 10, r: 30, t: 10, b: 10 },
      legend: { orientation: "h", y: 1, yanchor: "bottom", x: small ? -0.6 : 0, traceorder: "normal" },
      xaxis: { range: [0, 100], tickvals: [0, 25, 50, 75, 100], tickangle: 0,
        title: { text: small ? "% of questions" : "% of the subject's questions" } },
      yaxis: { autorange: "reversed", tickfont: { size: small ? 10 : 12 }, dtick: 1, showgrid: false },
    }), CONFIG);
  }

  function refate(div, counts, subjects, k) {
    return Plotly.restyle(div, bars(counts, subjects, k));
  }

  return { frontier, moveTo, fate, refate, stageColour };
})();
