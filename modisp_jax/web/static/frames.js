// Which frames are asked for, and when. Knows neither the page nor the network: both are handed in, so that the laws
// can be tested: one live request in flight, the newest wish wins, a frame of an older wish never comes last.

/**
 * A scheduler of wishes. A wish is {scene, time, steps}; a step {role, view, quality, encoding, settings, photo, rest}.
 * The steps of the newest wish are taken in order; one with `rest` waits until there was no newer wish for `idle` ms.
 *
 * @param fetchFrame (step, seq, signal) => promise of a frame; rejects with an error, {stale: true} where overtaken.
 * @param show (frame, step, wish) draws a frame; may be a promise.
 * @param holds (step) => whether what the step would bring is on the screen already.
 * @param report (state, error) with state "busy", "idle" or "failed".
 */
export function createScheduler({ fetchFrame, show, holds = () => false, report = () => {}, idle = 120, timers = window }) {
  let wish = null;
  let flight = null;
  let timer = null;
  let seq = 0;

  /** The newest wish. What is in flight is awaited where it is quick, else left to itself. */
  function want(next) {
    wish = { ...next, at: 0, rested: false };
    timers.clearTimeout(timer);
    timer = null;
    if (flight && (flight.step.rest || flight.wish.scene !== wish.scene)) drop();
    if (!flight) advance();
  }

  function drop() {
    flight.controller.abort();
    flight = null;
  }

  /** No wish any more: nothing that is under way will be shown. */
  function stop() {
    wish = null;
    timers.clearTimeout(timer);
    if (flight) drop();
  }

  function advance() {
    const mine = wish;
    while (mine && mine.at < mine.steps.length && holds(mine.steps[mine.at])) mine.at += 1;
    if (!mine || mine.at >= mine.steps.length) return report("idle");
    const step = mine.steps[mine.at];
    if (step.rest && !mine.rested) {
      timer = timers.setTimeout(() => {
        timer = null;
        mine.rested = true;
        advance();
      }, idle);
      return undefined;
    }
    return take(step, mine);
  }

  async function take(step, mine) {
    const me = { step, wish: mine, controller: new AbortController() };
    flight = me;
    report("busy");
    try {
      const frame = await fetchFrame(step, ++seq, me.controller.signal);
      // While a newer wish of the same scene waits, this frame may still be seen: it follows the finger. Of another
      // scene, or of none, the flight has been dropped.
      if (flight === me) await show(frame, step, mine);
    } catch (error) {
      if (flight !== me) return;
      if (!error.stale && error.name !== "AbortError") {
        flight = null;
        if (wish !== mine) return advance();
        mine.at = mine.steps.length; // what failed is not asked for again before the next wish
        return report("failed", error);
      }
    }
    if (flight !== me) return;
    flight = null;
    if (wish === mine) mine.at += 1;
    advance();
  }

  return { want, stop, busy: () => flight !== null || timer !== null };
}

/** What decides a frame, as text: two steps of one key bring the same picture. */
export const frameKey = (step) => JSON.stringify([step.photo, step.settings, step.view]);

const STEP = {
  live: { quality: "live", encoding: "jpeg", rest: false },
  exact: { quality: "exact", encoding: "png", rest: true },
};

/**
 * The steps by which a wish is fulfilled: something at once, the exact picture after a rest.
 *
 * @param photo id; `settings` and `before` (null: not shown) of the two halves; `proxy` its long side
 * @param region what of the picture is seen at 1:1 ({top, left, height, width}), or null where the proxy suffices
 * @param stage name of an intermediate that is shown instead, or null
 */
export function planFrames({ photo, settings, before, proxy, region, stage }) {
  const step = (role, kind, view, own) => ({ role, view, photo, settings: own, ...STEP[kind] });
  if (stage) {
    const view = { kind: "stage", name: stage };
    return [step("stage", "live", view, settings), step("stage", "exact", view, settings)];
  }
  const whole = { kind: "proxy", long_side: proxy };
  const part = region && { kind: "crop", ...region };
  const steps = part ? [step("after", "live", part, settings)] : [];
  steps.push(step("after", "live", whole, settings));
  if (before) {
    steps.push({ ...step("before", "live", whole, before), rest: true });
    if (part) steps.push({ ...step("before", "live", part, before), rest: true });
  }
  steps.push(step("after", "exact", part ?? whole, settings));
  if (before) steps.push(step("before", "exact", part ?? whole, before));
  return steps;
}
