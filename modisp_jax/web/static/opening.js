// Opening photos: the file dialog, a folder, drag and drop. Files are sent one after the other.

/** All files of a drop, those in folders too, in order of path. */
export async function filesOf(items) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  const read = (reader) => new Promise((done, fail) => reader.readEntries(done, fail));
  async function walk(entry) {
    if (entry.isFile) {
      found.push({ path: entry.fullPath, file: await new Promise((done, fail) => entry.file(done, fail)) });
      return;
    }
    const reader = entry.createReader();
    for (let batch = await read(reader); batch.length; batch = await read(reader)) for (const one of batch) await walk(one);
  }
  for (const entry of entries) await walk(entry);
  return found.sort((a, b) => (a.path < b.path ? -1 : 1)).map(({ file }) => file);
}

export function createOpening({ files, folder, drop }, store, api, { notices, transfer }) {
  let queue = Promise.resolve();

  async function send(list) {
    // A folder has more than photos; what the system hides is none.
    const photos = list.filter((file) => !file.name.startsWith("."));
    const styles = photos.filter((file) => /\.json$/i.test(file.name));
    if (styles.length) transfer.load(styles);
    const networks = photos.filter((file) => /\.safetensors$/i.test(file.name));
    for (const { name } of networks) notices.failFile(name, `styles of your own are given at the start: modisp edit --style ${name}`);
    const wanted = photos.filter((file) => !styles.includes(file) && !networks.includes(file));
    let shown = false; // the first that can be read is shown
    for (const [n, file] of wanted.entries()) {
      notices.say(`Opening ${file.name}${wanted.length > 1 ? ` (${n + 1} of ${wanted.length})` : ""} ...`);
      store.emit("opening", { name: file.name, number: n + 1, count: wanted.length });
      try {
        const photo = await api.upload(file);
        if (photo.note) notices.notify(`${photo.name}: ${photo.note}`);
        if (photo.error) notices.failFile(photo.name, photo.error);
        store.add([photo]);
        if (!photo.error && !shown) store.show(photo.id);
        shown ||= !photo.error;
      } catch (error) {
        notices.failFile(file.name, error.message);
      }
    }
    store.emit("opening", null);
    notices.say(`${store.photos().length} photos are open`);
  }

  /** Sends files after those that are on their way. */
  const open = (list) => (queue = queue.then(() => send(list)));

  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      open([...input.files].sort((a, b) => (a.webkitRelativePath < b.webkitRelativePath ? -1 : 1)));
      input.value = "";
    });
  }
  const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    drop.hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.hidden = true;
  });
  document.addEventListener("drop", async (event) => {
    drop.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    try {
      open(await filesOf(event.dataTransfer.items));
    } catch (error) {
      notices.fail(error);
    }
  });
  return { open, ask: () => files.click(), askFolder: () => folder.click() };
}
