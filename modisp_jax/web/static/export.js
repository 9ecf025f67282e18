// The export dialog: format and quality, which photos, progress, what failed, the files.

import { download } from "./api.js";
import { select, slider, toggle } from "./controls.js";
import { button, el, fill } from "./dom.js";

const FORMATS = { jpg: "JPEG", png: "PNG", tiff: "TIFF" };
const CODECS = { curve: "Curve (a JPEG of the raw)", lossless: "Lossless (bit for bit, three times the size)", adapter: "Adapter (published network)" };
const POLL = 250;

export function createExport(dialog, store, state, api, { notices }) {
  const { formats = ["jpg", "png", "tiff"], codecs = ["curve", "lossless"], folder } = state.export ?? {};
  const order = { quality: 95, raw_quality: 97 };
  const number = (name, title, tip, neutral) => {
    const control = slider(
      { name: `export.${name}`, title, tip, low: 1, high: 100, neutral, step: 1, unit: "" },
      { input: (value) => (order[name] = value), commit: showCommand, reset: () => { order[name] = neutral; control.set(neutral); } },
    );
    return control;
  };

  const format = select({ title: "Format", name: "export.format", tip: "JPEG for looking at, PNG and TIFF without loss.", options: formats.map((value) => ({ value, title: FORMATS[value] ?? value })) }, adapt);
  const quality = number("quality", "Quality", "Quality of the JPEG, 1 to 100.", 95);
  const bits = select({ title: "Bits a channel", name: "export.bits", tip: "16 bits for further editing.", options: [{ value: "8", title: "8" }, { value: "16", title: "16" }] });
  const embed = toggle({ title: "Keep the raw inside", name: "export.embed_raw", tip: "The JPEG carries its raw and all settings: opened here again, everything can be changed." }, adapt);
  const codec = select({ title: "Raw as", name: "export.raw_codec", tip: "How the raw is stored in the JPEG.", options: codecs.map((value) => ({ value, title: CODECS[value] ?? value })) }, adapt);
  const rawQuality = number("raw_quality", "Raw quality", "Quality of the raw in it, 1 to 100.", 97);
  const which = select({
    title: "Photos", name: "export.which", tip: "Which photos are exported, each with its own settings.",
    options: [{ value: "this", title: "this photo" }, { value: "selected", title: "selected photos" }, { value: "all", title: "all photos" }],
  }, adapt);
  const note = el("p", { class: "note" });
  const command = el("code", { class: "command", tabindex: "0", "aria-label": "The same on the command line" });
  const same = el("div", { class: "same", hidden: true }, el("span", { class: "note", text: "The same on the command line:" }), command);
  const bar = el("progress", { max: "1", value: "0", "aria-label": "Progress of the export" });
  const doing = el("p", { class: "note", role: "status", "data-name": "export.status" });
  const progress = el("div", { class: "progress", hidden: true }, bar, doing);
  const results = el("ul", { class: "results", "aria-label": "Exported files" });
  const start = button({ text: "Export", class: "primary", "data-name": "export.start", press: run });
  const cancel = button({ text: "Cancel", "data-name": "export.cancel", tip: "Stops after the photo at work.", press: () => (job ? stop() : dialog.close()) });
  let job = null;

  fill(
    dialog,
    el("h2", { text: "Export", id: "export-title" }),
    el("div", { class: "form" }, which.element, format.element, quality.element, bits.element, embed.element, codec.element, rawQuality.element),
    note, same, progress, results,
    el("div", { class: "buttons" }, cancel, start),
  );
  dialog.setAttribute("aria-labelledby", "export-title");
  quality.set(95);
  rawQuality.set(97);

  function photosOf() {
    const photos = { this: [store.photo()], selected: store.selected(), all: store.photos() }[which.value()];
    return photos.filter((photo) => photo && !photo.error);
  }

  /** Shows what the format has and leaves away what it has not. */
  function adapt() {
    const isJpeg = format.value() === "jpg";
    quality.element.hidden = embed.element.hidden = !isJpeg;
    bits.element.hidden = isJpeg;
    const carries = isJpeg && embed.element.querySelector("input").checked;
    codec.element.hidden = !carries;
    rawQuality.element.hidden = !carries || codec.value() === "lossless";
    const count = photosOf().length;
    note.textContent = `${count} photo${count === 1 ? "" : "s"}, full size, ${folder ? `into ${folder}` : "beside the photos"}. No file is replaced.`;
    start.disabled = count === 0 || job !== null;
    showCommand();
  }

  function orderOf() {
    const isJpeg = format.value() === "jpg";
    const carries = isJpeg && embed.element.querySelector("input").checked;
    return {
      format: format.value(), quality: order.quality, bits: isJpeg ? null : Number(bits.value()), embed_raw: carries,
      raw_codec: codec.value(), raw_quality: order.raw_quality,
    };
  }

  /** What to type for the same file, where the server says it; of one photo. */
  async function showCommand() {
    const [photo, other] = photosOf();
    const wanted = photo && !other ? await api.command(photo.id, store.settingsOf(photo.id), orderOf()).catch(() => null) : null;
    same.hidden = !wanted?.command;
    const words = (wanted?.command ?? "").split(" "); // a line ends between options, not within one
    fill(command, ...words.flatMap((word) => [el("span", { text: word }), " "]));
  }

  async function run() {
    const photos = photosOf().map((photo) => ({ id: photo.id, settings: store.isKnown(photo.id) ? store.settingsOf(photo.id) : null }));
    fill(results);
    bar.value = 0;
    progress.hidden = false;
    doing.textContent = "Starting ...";
    try {
      const answer = await api.startExport({ photos, ...orderOf() });
      job = answer.job;
      adapt();
      await follow(answer.job);
    } catch (error) {
      doing.textContent = error.message;
      notices.fail(error);
    } finally {
      job = null;
      cancel.lastChild.textContent = "Close";
      adapt();
    }
  }

  async function follow(id) {
    for (;;) {
      const report = await api.exportJob(id);
      list(id, report);
      const { done, total, current } = report;
      bar.value = total ? done / total : 0;
      if (report.state !== "running" && report.state !== "waiting") {
        const words = report.state === "cancelled" ? "Cancelled" : "Done";
        const failed = report.failed.length ? `, ${report.failed.length} failed` : "";
        doing.textContent = `${words}: ${report.files.length} of ${total} exported${failed}.`;
        bar.value = 1;
        return;
      }
      doing.textContent = `${done} of ${total} done${current ? `, at work: ${current}` : ""}`;
      await new Promise((resolve) => setTimeout(resolve, POLL));
    }
  }

  function list(id, { files, failed }) {
    if (results.children.length === files.length + failed.length) return;
    const saved = files.map((file, n) =>
      el("li", {}, el("span", { text: file.path ?? file.name }), button({
        text: "Download", class: "small", label: `Download ${file.name}`,
        press: async () => {
          try {
            download(await api.exportFile(id, n), file.name);
          } catch (error) {
            notices.fail(error);
          }
        },
      })),
    );
    const broken = failed.map((one) => {
      const name = store.photos().find((photo) => photo.id === one.photo)?.name ?? one.photo;
      return el("li", { class: "failed", text: notices.wordsOf(name, one.error) });
    });
    fill(results, ...saved, ...broken);
  }

  async function stop() {
    doing.textContent = "Cancelling after the photo at work ...";
    try {
      await api.cancelExport(job);
    } catch (error) {
      notices.fail(error);
    }
  }

  return {
    open() {
      if (!store.photos().length) return notices.notify("There is no photo to export: open one first.");
      if (!job) {
        progress.hidden = true;
        fill(results);
        cancel.lastChild.textContent = "Cancel";
        which.set(store.selected().length > 1 ? "selected" : "this");
      }
      adapt();
      return dialog.showModal();
    },
    adapt,
  };
}
