// The exact 95% interval of a share (Clopper and Pearson), as in the report.

/** ln Γ(x) for x > 0 (Lanczos, g = 7, n = 9; relative error below 1e-13). */
function logGamma(x) {
  const c = [0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7];
  const z = x - 1;
  const sum = c.slice(1).reduce((total, value, index) => total + value / (z + index + 1), c[0]);
  const t = z + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(sum);
}

/** The regularized incomplete beta function (continued fraction, Numerical Recipes 6.4). */
function betaShare(x, a, b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - betaShare(1 - x, b, a);
  const tiny = 1e-300;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  const kept = (value) => (Math.abs(value) < tiny ? tiny : value);
  let c = 1;
  let d = 1 / kept(1 - ((a + b) * x) / (a + 1));
  let sum = d;
  for (let m = 1; m < 1000; m++) {
    for (const term of [
      (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)),
      (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1)),
    ]) {
      d = 1 / kept(1 + term * d);
      c = kept(1 + term / c);
      sum *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-12) break;
  }
  return front * sum;
}

function betaQuantile(share, a, b) {
  let [low, high] = [0, 1];
  for (let step = 0; step < 50; step++) {
    const middle = (low + high) / 2;
    if (betaShare(middle, a, b) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** @returns {[number, number]} the interval of `correct` of `n` images, each 0-1 */
export function exactInterval(correct, n) {
  return [
    correct === 0 ? 0 : betaQuantile(0.025, correct, n - correct + 1),
    correct === n ? 1 : betaQuantile(0.975, correct + 1, n - correct),
  ];
}
