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

/** Parts a list of files: photos by their names' endings, style files, networks, and what is nothing of it. */
export function sortFiles(list, suffixes) {
  const found = { photos: [], styles: [], networks: [], others: [] };
  const endings = [["styles", [".json"]], ["networks", [".safetensors"]], ["photos", suffixes]];
  for (const file of list) {
    if (file.name.startsWith(".")) continue; // what the system hides
    const name = file.name.toLowerCase();
    const [kind] = endings.find(([, ends]) => ends.some((end) => name.endsWith(end))) ?? ["others"];
    found[kind].push(file);
  }
  return found;
}

/** A few names in words: "a.txt", "a.txt, b.txt and 3 more". */
export const someOf = (names, most = 3) =>
  names.slice(0, most).join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");

/** @param suffixes endings of photos' names, in small letters with their dot */
export function createOpening({ files, folder, drop }, store, api, { notices, transfer, suffixes }) {
  let queue = Promise.resolve();

  async function send(list) {
    const { photos: wanted, styles, networks, others } = sortFiles(list, suffixes);
    if (styles.length) transfer.load(styles);
    for (const { name } of networks) notices.failFile(name, `styles of your own are given at the start: modisp edit --style ${name}`);
    if (others.length) notices.notify(`No photos, left out: ${someOf(others.map((file) => file.name))}.`);
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
    if (wanted.length) notices.say(`${store.photos().length} photos are open`);
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
