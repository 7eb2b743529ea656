// Requests, answers and notifications over one WebSocket (the messages are described in server.py).

export class Signalling extends EventTarget {
  #socket;
  #waiting = new Map(); // request id -> { resolve, reject }
  #lastId = 0;

  constructor(url) {
    super();
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    this.#socket.onclose = ({ reason }) => this.#closed(reason);
  }

  opened() {
    return new Promise((resolve, reject) => {
      this.#socket.addEventListener("open", resolve, { once: true });
      this.#socket.addEventListener("close", () => reject(new Error("the server cannot be reached")), { once: true });
    });
  }

  request(method, data = {}) {
    return new Promise((resolve, reject) => {
      if (this.#socket.readyState !== WebSocket.OPEN) return reject(new Error("not connected"));
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ id, method, data }));
    });
  }

  close() {
    this.#socket.close();
  }

  #receive({ id, method, data, error }) {
    if (method) return this.dispatchEvent(new CustomEvent("notification", { detail: { method, data } }));
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(data);
  }

  #closed(reason) {
    for (const { reject } of this.#waiting.values()) reject(new Error("connection lost"));
    this.#waiting.clear();
    this.dispatchEvent(new CustomEvent("close", { detail: { reason } }));
  }
}
