// Settings that rest are kept by the server: a reload finds them.

const REST = 300; // milliseconds without a change

/**
 * Sends each photo's settings once they rest, one request after the other: what is kept is what came last.
 * `root` says by data-kept whether the server has everything.
 */
export function createKeeping(api, notices, root) {
  const waiting = new Map(); // of a photo, what no request carries yet
  let queue = Promise.resolve();
  let queued = 0;

  const tell = () => (root.dataset.kept = String(waiting.size + queued === 0));

  async function send(id, entry) {
    if (waiting.get(id) !== entry) return; // changed again, or closed
    waiting.delete(id);
    await api.keep(id, entry.settings).catch(notices.fail);
  }

  function enqueue(id, entry) {
    queued += 1;
    queue = queue.then(() => send(id, entry)).finally(() => {
      queued -= 1;
      tell();
    });
  }

  function drop(id) {
    clearTimeout(waiting.get(id)?.timer);
    waiting.delete(id);
    tell();
  }

  function keep(id, settings) {
    drop(id);
    const entry = { settings };
    entry.timer = setTimeout(enqueue, REST, id, entry);
    waiting.set(id, entry);
    tell();
  }

  addEventListener("pagehide", () => waiting.forEach(({ settings }, id) => api.keep(id, settings, true).catch(notices.fail)));
  tell();
  return { keep, drop };
}
