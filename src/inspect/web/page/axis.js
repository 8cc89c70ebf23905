// From times to places. A call has its moments close together and long quiet stretches between
// them: by default each stretch gets room by the logarithm of its length, so that no moment hides
// another. The other way is true to scale.

const SHORTEST_MS = 20;

const STEPS = [
  10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000,
  1_800_000, 3_600_000, 7_200_000, 21_600_000, 86_400_000, 604_800_000,
];

/** A function from ms to a place between `left` and `right`, and ticks that are at least `apart`. */
export function axis(moments, left, right, apart, toScale) {
  const times = [...new Set(moments)].sort((one, other) => one - other);
  const first = times[0];
  const last = times.at(-1);
  if (times.length < 2) return { place: () => left, ticks: [{ at: first, x: left }] };
  const place = toScale ? even(first, last, left, right) : byMoments(times, left, right);
  return { place, ticks: (toScale ? evenTicks : momentTicks)(times, place, apart, right - left) };
}

function even(first, last, left, right) {
  return (at) => left + ((at - first) / (last - first)) * (right - left);
}

function byMoments(times, left, right) {
  const sums = [0];
  for (let index = 1; index < times.length; index += 1) {
    sums.push(sums[index - 1] + Math.log2(1 + (times[index] - times[index - 1]) / SHORTEST_MS) + 0.2);
  }
  const total = sums.at(-1);
  const x = (sum) => left + (sum / total) * (right - left);
  return (at) => {
    if (at <= times[0]) return left;
    let low = 0;
    let high = times.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] <= at) low = middle;
      else high = middle;
    }
    const share = Math.min(1, (at - times[low]) / (times[high] - times[low]));
    return x(sums[low] + share * (sums[high] - sums[low]));
  };
}

function momentTicks(times, place, apart) {
  const ticks = [];
  for (const at of times) {
    const x = place(at);
    if (ticks.length === 0 || x - ticks.at(-1).x >= apart) ticks.push({ at, x });
  }
  return ticks;
}

function evenTicks(times, place, apart, width) {
  const first = times[0];
  const length = times.at(-1) - first;
  const step = STEPS.find((candidate) => (candidate / length) * width >= apart) ?? STEPS.at(-1);
  const ticks = [];
  for (let at = first; at <= times.at(-1) && ticks.length < 100; at += step) ticks.push({ at, x: place(at) });
  return ticks;
}
