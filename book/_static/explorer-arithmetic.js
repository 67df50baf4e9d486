"use strict";
// Thresholds over recorded traces: what cclib.cascade, cclib.cost and cclib.stats compute, on typed arrays.
// Nothing of the page and no plot in here. What was not recorded is NaN in sums, as in cclib.
window.cascadeArithmetic = (() => {
  const COLUMNS = ["p_t", "p_ik", "correct", "prompt_tokens", "output_tokens", "probe"];
  const Z = 1.959963984540054; // of a 95 % interval
  const STEPS = 50; // of the grid of thresholds that the frontier is found on

  // base64 of float64 values
  function decode(text) {
    return text === null ? null : new Float64Array(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
  }

  // An edition's data with its columns decoded
  function read(raw) {
    const stages = raw.stages.map(stage => {
      const columns = COLUMNS.map(name => [name, decode(stage[name])]);
      return { ...stage, ...Object.fromEntries(columns) };
    });
    return { ...raw, stages, subject: Uint16Array.from(decode(raw.subject)) };
  }

  // One chain of an edition: its stages' columns, and (n,) FLOPs of each stage's pass, Eq. 6
  function chainOf(edition, chain) {
    const stages = chain.members.map(i => edition.stages[i]);
    const pass = chain.sizes.map(size => new Float64Array(edition.n).fill(size === null ? NaN : 2 * size));
    return { n: edition.n, subjects: edition.subjects, subject: edition.subject, stages, pass };
  }

  // Whether a stage that is not the last answers a question that reaches it; pik is null where it is left out
  const keeps = (stage, q, pt, pik) => stage.p_t[q] >= pt && (pik === null || stage.p_ik[q] >= pik);

  // (n,) the stage that answers each question
  function answering({ n, stages }, pt, pik) {
    const last = stages.length - 1;
    const stage = new Uint8Array(n);
    for (let q = 0; q < n; q++) {
      let i = 0;
      while (i < last && !keeps(stages[i], q, pt[i], pik[i])) i++;
      stage[q] = i;
    }
    return stage;
  }

  // (k,) cost of each stage from its (n,) costs a question; every pass made, or only the one that answered
  function charge(stage, costs, everyPass) {
    const total = new Float64Array(costs.length);
    for (let q = 0; q < stage.length; q++) {
      for (let i = everyPass ? 0 : stage[q]; i <= stage[q]; i++) total[i] += costs[i][q];
    }
    return total;
  }

  // Both accountings of (n,) costs a question, against all questions sent to the last stage.
  // reading: (n,) what a pass costs with P(IK) read, counted where every pass is.
  function bothAccountings(stage, costs, reading = costs) {
    const reference = sum(costs[costs.length - 1]);
    const account = stages => {
      const total = sum(stages);
      return { stages: Array.from(stages), total, reference, reduced: reference ? 1 - total / reference : NaN };
    };
    return { paper: account(charge(stage, costs, false)), everyPass: account(charge(stage, reading, true)) };
  }

  const sum = values => values.reduce((a, b) => a + b, 0);
  const plus = (a, b) => a.map((value, q) => value + b[q]);

  // (k,) arrays: each stage's pass with the reading of P(IK), where a threshold asks for it
  function withReading({ stages, pass }, pik) {
    return pass.map((costs, i) => (i < pik.length && pik[i] !== null ? plus(costs, stages[i].probe) : costs));
  }

  // (k,) arrays of dollars a question; prices[i] is [input, output] in dollars a million tokens, or null
  function dollarsPerQuestion({ n, stages }, prices) {
    return stages.map(({ prompt_tokens, output_tokens }, i) => {
      if (!prices[i] || !prompt_tokens || !output_tokens) return new Float64Array(n).fill(NaN);
      return prompt_tokens.map((tokens, q) => (tokens * prices[i][0] + output_tokens[q] * prices[i][1]) / 1e6);
    });
  }

  // Wilson's 95 % interval of a share, from its count
  function wilson(count, n) {
    const share = count / n;
    const scale = 1 + (Z * Z) / n;
    const centre = (share + (Z * Z) / (2 * n)) / scale;
    const half = (Z * Math.sqrt((share * (1 - share)) / n + (Z * Z) / (4 * n * n))) / scale;
    return [centre - half, centre + half];
  }

  // All that the page shows of a chain at (k - 1,) thresholds and (k,) prices
  function evaluate(chain, pt, pik, prices) {
    const { n, stages, subject, subjects } = chain;
    const k = stages.length;
    const stage = answering(chain, pt, pik);
    const right = new Array(k).fill(0);
    const counts = new Array(k).fill(0);
    const fate = new Float64Array(subjects.length * 2 * k); // by subject, stage, and right (0) or wrong (1)
    for (let q = 0; q < n; q++) {
      const i = stage[q];
      const wrong = stages[i].correct[q] ? 0 : 1;
      counts[i]++;
      right[i] += 1 - wrong;
      fate[(subject[q] * k + i) * 2 + wrong]++;
    }
    const accuracy = sum(right) / n;
    const reference = sum(stages[k - 1].correct) / n;
    const points = 100 * (accuracy - reference);
    return {
      n, accuracy, reference, counts, right, fate,
      interval: wilson(sum(right), n),
      drop: { absolute: points, relative: reference ? points / reference : NaN },
      passes: counts.map((_, i) => sum(counts.slice(i))),
      compute: bothAccountings(stage, chain.pass, withReading(chain, pik)),
      dollars: bothAccountings(stage, dollarsPerQuestion(chain, prices)),
    };
  }

  // Accuracy and compute, as a share of the last stage's, at every pair of thresholds, the same at all stages;
  // P(IK) is left out, or read at the stages that have it.
  function grid(chain) {
    const { n, stages, pass } = chain;
    const last = stages.length - 1;
    const reference = sum(pass[last]);
    const levels = Array.from({ length: STEPS + 1 }, (_, i) => i / STEPS);
    const piks = stages.slice(0, last).some(s => s.p_ik) ? [null, ...levels.slice(1)] : [null];
    const points = [];
    for (const pik of piks) {
      const own = stages.slice(0, last).map(s => (s.p_ik ? pik : null));
      const reading = withReading(chain, own);
      for (const pt of levels) {
        let [right, paper, everyPass] = [0, 0, 0];
        for (let q = 0; q < n; q++) {
          let i = 0;
          for (; i < last && !keeps(stages[i], q, pt, own[i]); i++) everyPass += reading[i][q];
          everyPass += reading[i][q];
          paper += pass[i][q];
          right += stages[i].correct[q];
        }
        points.push({ pt, pik, accuracy: right / n, paper: paper / reference, everyPass: everyPass / reference });
      }
    }
    return points;
  }

  // The points that no other beats: cheapest first, each more accurate than all cheaper ones
  function frontier(points, accounting) {
    const sorted = [...points].sort((a, b) => a[accounting] - b[accounting] || b.accuracy - a.accuracy);
    let best = -Infinity;
    return sorted.filter(p => p.accuracy > best && ((best = p.accuracy), true));
  }

  // The accuracy at a cost on the corners [cost, accuracy] of random mixing; NaN where no model costs so little
  function mixedAt(hull, cost) {
    const next = hull.findIndex(([x]) => x >= cost);
    if (next < 0) return hull[hull.length - 1][1];
    const [x, y] = hull[next];
    if (next === 0) return cost > x - 1e-9 ? y : NaN; // the same cost may be summed in another order
    const [x0, y0] = hull[next - 1];
    return y0 + ((y - y0) * (cost - x0)) / (x - x0);
  }

  return { read, chainOf, evaluate, grid, frontier, mixedAt };
})();
