// Work that is asked for more often than it is worth doing.

/** A way to ask for `work` at any rate: it runs at most once in `every` milliseconds and never beside itself, and whoever asks has it run after that, never only before. */
export function steadily(every, work) {
  let begunAt = -Infinity;
  let isDue = false;
  let running;
  const run = async () => {
    while (isDue) {
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, begunAt + every - performance.now())));
      [isDue, begunAt] = [false, performance.now()];
      await work();
    }
    running = undefined;
  };
  return () => {
    isDue = true;
    running ??= run();
  };
}
