// From settings to pixels: says which frames are wished for and puts what comes where it belongs.

import { createScheduler, planFrames } from "./frames.js";
import { beforeSettings, fieldOf, withEdit } from "./settings.js";

/**
 * @param view the canvas; `stages`, `crop`, `histogram`, `light` what else shows a frame
 * @param line {quality(kind, ms)} the line under the picture
 */
export function createScreen({ store, api, ranges, view, stages, crop, histogram, light, line, notices, proxy }) {
  let holding = false; // whether the picture before editing is shown alone
  let waits = false; // whether what is shown stands in for an exact frame that is being compiled
  let pressed = 0; // when the person last moved something
  let seen = null; // of the frame that is shown: its photo, how that was taken back, and what the line says of it
  let reading = false; // whether the line says that the photo is read anew

  // The browser knows when the hand moved; what happens later is our delay.
  for (const kind of ["input", "keydown", "pointermove", "dblclick", "click"]) {
    document.addEventListener(kind, (event) => (pressed = event.timeStamp), true);
  }

  const root = document.documentElement;
  const scheduler = createScheduler({
    fetchFrame: api.frame,
    holds: view.holds,
    show,
    report(state, error) {
      root.dataset.frames = state;
      if (state !== "failed") return;
      line.quality("failed");
      notices.fail(error);
    },
  });

  async function show(frame, step, wish) {
    await view.put(frame, step);
    const ms = performance.now() - wish.time;
    if (step.role === "after" && step.view.kind === "proxy") {
      histogram.show(frame);
      light.frame(frame);
    }
    if (step.role !== "before") {
      const exact = step.quality === "exact" && frame.exact !== false;
      seen = { photo: step.photo, by: fieldOf(step.settings, "linearize"), words: [exact ? "exact" : "live", ms] };
      line.quality(...seen.words);
      line.waiting(frame.waiting ?? "");
      waits = Boolean(frame.waiting);
      root.dataset.quality = exact ? "exact" : "live";
    }
    if (step.role === "stage") line.range(frame.range);
    if (step.role === "after" && step.quality === "exact") stages.refresh();
    const { role, quality, view: shown } = step;
    document.dispatchEvent(new CustomEvent("modisp:frame", { detail: { role, quality, kind: shown.kind, ms, time: wish.time, exact: frame.exact, timings: frame.timings } }));
  }

  /** Asks for all that is to be seen now. */
  function wish() {
    const photo = store.photo();
    root.dataset.frames = photo && !photo.error ? "busy" : "idle";
    if (!photo || photo.error || !photo.size || root.dataset.ready !== "true") return scheduler.stop();
    const anew = seen?.photo === photo.id && seen.by !== fieldOf(store.settings(), "linearize");
    if (anew) line.quality("reading");
    else if (reading && seen.photo === photo.id) line.quality(...seen.words);
    reading = anew;
    const stage = stages.image();
    const settings = crop.active() ? withEdit(store.settings(), "crop", null, ranges) : store.settings();
    const before = view.split() !== null || holding ? beforeSettings(photo, settings, ranges) : null;
    const scene = JSON.stringify([photo.id, fieldOf(settings, "linearize"), crop.active(), stage]);
    if (!stage && view.has("stage")) view.clear("stage");
    if (!before && view.has("before")) view.clear("before");
    return scheduler.want({
      scene, time: pressed || performance.now(),
      steps: planFrames({ photo: photo.id, settings, before, proxy, region: stage ? null : view.region(), stage }),
    });
  }

  return {
    wish,
    stop: scheduler.stop,
    waits: () => waits,
    hold(on) {
      if (on === holding || (on && !store.photo())) return;
      holding = on;
      view.showBefore(on);
      wish();
    },
  };
}
