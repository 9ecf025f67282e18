// Requests to the server that sent this page, each with the token of its address. Errors are one line in words.

/** An answer that is no success. `stale`: a newer request has overtaken this one. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
    this.stale = status === 409 && message === "stale";
  }
}

export function createApi(token, fetcher = (...request) => fetch(...request)) {
  const client = crypto.randomUUID();

  async function request(path, { method = "GET", body, signal, keepalive = false } = {}) {
    const json = body !== undefined && !(body instanceof Blob) && typeof body !== "string";
    const headers = { "X-Modisp-Token": token };
    if (json) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetcher(`/api/${path}`, { method, headers, signal, keepalive, body: json ? JSON.stringify(body) : body });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "The server does not answer. Is modisp edit still running?");
    }
    if (!answer.ok) throw new ApiError(answer.status, await reason(answer));
    return answer;
  }

  async function reason(answer) {
    const text = await answer.text();
    try {
      const { error, detail } = JSON.parse(text);
      return String(error ?? detail);
    } catch {
      return text || `The server answers ${answer.status} without a reason.`;
    }
  }

  const json = async (path, options) => (await request(path, options)).json();
  const photo = (id) => `photos/${encodeURIComponent(id)}`;

  return {
    state: () => json("state"),
    progress: () => json("progress"),
    photo: (id) => json(photo(id)),
    upload: (file) => json(`photos?name=${encodeURIComponent(file.name)}`, { method: "POST", body: file }),
    close: (id) => request(photo(id), { method: "DELETE" }),
    thumbnail: async (id) => (await request(`${photo(id)}/thumbnail`)).blob(),
    keep: (id, settings, keepalive) => json(`${photo(id)}/settings`, { method: "POST", body: { settings }, keepalive }),
    pick: (id, settings, x, y) => json(`${photo(id)}/pick`, { method: "POST", body: { settings, x, y } }),
    command: (id, settings, order) => json(`${photo(id)}/command`, { method: "POST", body: { settings, ...order } }),
    stages: (id, settings) => json(`${photo(id)}/stages`, { method: "POST", body: { settings } }),
    writeStyle: async (settings, description) =>
      (await request("style/write", { method: "POST", body: { settings, description } })).text(),
    readStyle: (text) => json("style/read", { method: "POST", body: text }),
    startExport: (order) => json("export", { method: "POST", body: order }),
    exportJob: (job) => json(`export/${job}`),
    cancelExport: (job) => request(`export/${job}`, { method: "DELETE" }),
    exportFile: async (job, number) => (await request(`export/${job}/files/${number}`)).blob(),

    /** A frame: what the server says of it, and its picture as a bitmap. */
    async frame(step, seq, signal) {
      const { settings, view, quality, encoding } = step;
      const body = { seq, client, settings, view, quality, encoding };
      const answer = await request(`${photo(step.photo)}/frame`, { method: "POST", body, signal });
      const { head, picture } = parseFrame(await answer.arrayBuffer());
      // The values as they were sent: they are sRGB, and so is the canvas.
      const bitmap = await createImageBitmap(picture, { colorSpaceConversion: "none" });
      return { ...head, bitmap };
    },
  };
}

/** Splits an answer: length of the JSON as little-endian uint32, the JSON, the picture's bytes. */
export function parseFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { head, picture: new Blob([new Uint8Array(buffer, 4 + length)], { type: head.mime }) };
}

/** Hands a blob to the person as a file. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
