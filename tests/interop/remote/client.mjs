// A client of the remote protocol, written from docs/remote-protocol.md and docs/messages.md alone.
// Owns a session: what is numbered, kept and repeated; the requests without answer; the workers. Lives on node's event loop.

import { encode } from '@msgpack/msgpack';
import { ProtocolError, Wire } from './wire.mjs';

const [REQUEST, ANSWER, NOTIFICATION, LOG] = [1, 2, 3, 4];
const SERVER = { CREATE_WORKER: 1, GET_STATS: 2, CALL: 3 };
const [WORKER_ENDED, WORKER_ADDED, TOLD] = [1, 2, 3];
const MAY_GET_LOST = new Set([1, 2]); // TRANSPORT_SEND_RTCP, PRODUCER_SEND
const SESSION_IS_OVER = new Set([1000, 1001, 1002, 1007, 1009, 4000, 4001]);
const TELL_AFTER = 32;
const MEDIA_BACKLOG = 1 << 20;

/** A request was refused: `error` is the class that the server names. */
export class RequestError extends Error {
  constructor(error, reason) {
    super(`${error}: ${reason}`);
    Object.assign(this, { name: 'RequestError', error, reason });
  }
}

export class SessionEnded extends Error {
  constructor(code, reason) {
    super(`${code} ${reason}`);
    Object.assign(this, { name: 'SessionEnded', code, reason });
  }
}

export class RemoteClient {
  #url;
  #options;
  #wire = null;
  #connected = false;
  #sent = 0; // number of our last envelope
  #received = 0; // number of the server's last envelope
  #untold = 0; // envelopes that came since we last said so
  #kept = []; // [number, bytes], until they arrived
  #frames = []; // of this turn
  #calls = new Map(); // "worker/id" -> [resolve, reject]
  #lastId = 0;
  #lastWorker = -1;
  #workers = new Map();
  #retry = 50;
  #heard = performance.now();
  #ready;
  #closing = false;
  #over;

  greeting = null;
  /** Connections and tries that failed, resumptions, envelopes sent and sent again, packets dropped. */
  counts = { failed: 0, resumed: 0, envelopes: 0, repeated: 0, dropped: 0 };
  /** Called with (method, arguments) for what the operator tells. */
  told = () => {};
  /** Called with (worker number, text). */
  log = () => {};

  /**
   * Resolves with a greeted client; rejects with Refused or SessionEnded. `options.added` is called with each worker
   * that another client of the session has.
   */
  static open(url, options = {}) {
    const client = new RemoteClient(url, options);
    return new Promise((resolve, reject) => {
      client.#ready = { resolve, reject };
      client.#connect();
    });
  }

  constructor(url, options) {
    this.#url = url;
    this.#options = { client: 'javascript', silence: 1.5, ...options };
    /** Resolves with a SessionEnded when everything is over. */
    this.ended = new Promise((resolve) => (this.#over = resolve));
  }

  /** Asks a worker (0: the server); resolves with the body of the answer, however many connections that takes. */
  request(worker, method, handlerId = '', body = {}) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#calls.set(`${worker}/${id}`, [resolve, reject]);
      this.#send(worker, [REQUEST, id, method, handlerId, body]);
    });
  }

  notify(worker, event, handlerId = '', body = {}) {
    const frame = [NOTIFICATION, event, handlerId, body];
    if (worker === 0 || !MAY_GET_LOST.has(event)) return this.#send(worker, frame);
    this.#flush(); // what was said before it goes before it
    if (!this.#connected || this.#wire.backlog > MEDIA_BACKLOG) this.counts.dropped++;
    else this.#say(encode([0, this.#received, [[worker, frame]]]));
  }

  /** A worker that can be asked at once; `ready` resolves with it when the server has made it. */
  createWorker(settings = {}) {
    const number = (this.#lastWorker += 2);
    const made = new RemoteWorker(this, number);
    this.#workers.set(number, made);
    made.ready = this.request(0, SERVER.CREATE_WORKER, '', { worker: number, settings }).then(
      ({ place }) => Object.assign(made, { place }),
      (error) => {
        this.#gone(number, error);
        throw error;
      },
    );
    return made;
  }

  getStats() {
    return this.request(0, SERVER.GET_STATS);
  }

  call(method, ...args) {
    return this.request(0, SERVER.CALL, '', { method, arguments: args });
  }

  /** Ends the session; resolves with the SessionEnded. */
  close() {
    this.#flush();
    this.#closing = true;
    if (this.#connected) this.#wire.close(1000, '');
    else this.#end(new SessionEnded(1000, 'while cut off'));
    return this.ended;
  }

  #connect() {
    const { token, name, client, silence } = this.#options;
    const greeting = { client, silence, ...(name && { name }) };
    if (this.greeting) greeting.resume = { session: this.greeting.session, received: this.#received };
    const wire = new Wire(this.#url, { token, greeting, silence }, {
      greeted: (answer) => this.#greeted(answer),
      envelope: (envelope) => this.#envelope(envelope),
      breath: () => this.#connected && this.#tell(),
      ended: (code, reason, refusal) => this.#lost(wire, code, reason, refusal),
    });
    this.#wire = wire;
  }

  #greeted(answer) {
    if (this.greeting) {
      if (!answer.resumed) {
        this.#wire.close(1000, '');
        return this.#end(new SessionEnded(0, 'the session is lost'));
      }
      this.counts.resumed++;
    }
    this.greeting = answer;
    this.#connected = true;
    this.#retry = 50;
    this.#wire.watch(answer.silence);
    this.#forget(answer.received);
    for (const [, bytes] of this.#kept) {
      this.#say(bytes);
      this.counts.repeated++;
    }
    this.#ready.resolve(this);
  }

  #lost(wire, code, reason, refusal) {
    this.#heard = Math.max(this.#heard, wire.heard);
    this.#connected = false;
    if (refusal) return this.#end(refusal);
    if (SESSION_IS_OVER.has(code) || !this.greeting) return this.#end(new SessionEnded(code, reason));
    if (performance.now() - this.#heard > this.greeting.grace * 1000) return this.#end(new SessionEnded(0, 'out of reach'));
    this.counts.failed++;
    setTimeout(() => this.#closing || this.#connect(), this.#retry);
    this.#retry = Math.min(this.#retry * 2, 800);
  }

  #end(error) {
    this.#ready.reject(error);
    for (const [, reject] of this.#calls.values()) reject(error);
    this.#calls.clear();
    this.#over(error);
  }

  #send(worker, frame) {
    if (!this.#frames.length) queueMicrotask(() => this.#flush());
    this.#frames.push([worker, frame]);
  }

  #flush() {
    if (!this.#frames.length) return;
    const bytes = encode([++this.#sent, this.#received, this.#frames]);
    this.#frames = [];
    this.#kept.push([this.#sent, bytes]);
    this.counts.envelopes++;
    if (this.#connected) this.#say(bytes);
  }

  #say(bytes) {
    this.#untold = 0;
    this.#wire.send(bytes);
  }

  #tell() {
    this.#say(encode([0, this.#received, []]));
  }

  #forget(received) {
    if (received > this.#sent) throw new ProtocolError('got what was not sent');
    while (this.#kept.length && this.#kept[0][0] <= received) this.#kept.shift();
  }

  #envelope([number, received, frames]) {
    this.#forget(received);
    if (number !== 0) {
      if (number !== this.#received + 1) throw new ProtocolError(`envelope ${number} after ${this.#received}`);
      this.#received = number;
      if (++this.#untold >= TELL_AFTER) this.#tell();
    }
    for (const [worker, frame] of frames) this.#frame(worker, frame);
  }

  #frame(worker, [kind, ...rest]) {
    if (kind === ANSWER) this.#answer(worker, ...rest);
    else if (kind === LOG) this.log(worker, rest[0]);
    else if (kind !== NOTIFICATION) throw new ProtocolError(`frame ${kind}`);
    else if (worker === 0) this.#news(...rest);
    else this.#workers.get(worker)?.hear(...rest);
  }

  #answer(worker, id, accepted, error, reason, body) {
    const key = `${worker}/${id}`;
    const [resolve, reject] = this.#calls.get(key) ?? [];
    if (!resolve) throw new ProtocolError(`answer to ${key}, which is not asked`);
    this.#calls.delete(key);
    if (accepted) resolve(body);
    else reject(new RequestError(error, reason));
  }

  #news(event, _, body) {
    if (event === TOLD) this.told(body.method, body.arguments);
    if (event === WORKER_ADDED) {
      const worker = Object.assign(new RemoteWorker(this, body.worker), body);
      this.#workers.set(body.worker, worker);
      this.#options.added?.(worker);
    }
    if (event !== WORKER_ENDED) return;
    const { worker, error, reason } = body;
    this.#workers.get(worker)?.end(error ?? null);
    this.#gone(worker, new RequestError(error ?? 'WorkerClosedError', reason ?? 'closed'));
  }

  /** Nobody answers what that worker was asked. */
  #gone(worker, why) {
    this.#workers.delete(worker);
    for (const [key, [, reject]] of this.#calls) {
      if (key.startsWith(`${worker}/`) && this.#calls.delete(key)) reject(why);
    }
  }
}

/** A worker of the server, and who listens to its objects. */
export class RemoteWorker {
  #client;
  #listeners = new Map();

  constructor(client, number) {
    this.#client = client;
    this.number = number;
    /** Resolves when the worker has ended, with the class of the error or null. */
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  request(method, handlerId = '', body = {}) {
    return this.#client.request(this.number, method, handlerId, body);
  }

  notify(event, handlerId = '', body = {}) {
    this.#client.notify(this.number, event, handlerId, body);
  }

  /** `listener(event, body)` hears what the object tells: to be set before the object is asked for. */
  listen(handlerId, listener) {
    this.#listeners.set(handlerId, listener);
  }

  hear(event, handlerId, body) {
    this.#listeners.get(handlerId)?.(event, body);
  }
}
