// One WebSocket of the remote protocol (docs/remote-protocol.md, Connection): opened, greeted, watched for silence.
// Knows MessagePack, the subprotocol and what refusals look like; not what envelopes mean, nor what a session is.

import { decode, encode } from '@msgpack/msgpack';
import WebSocket from 'ws';

export const SUBPROTOCOL = 'sfu.1';
const MAX_MESSAGE = 8_389_632;
const BROKEN_RULE = 1002;

/** The server did not let us in: the HTTP status, and its line of text. */
export class Refused extends Error {
  constructor(status, text) {
    super(`${status} ${text}`);
    Object.assign(this, { name: 'Refused', status, text });
  }
}

/** The other side broke a rule. */
export class ProtocolError extends Error {}

export class Wire {
  #socket;
  #handlers;
  #stream = null;
  #bytes = 0;
  #silence;
  #timer;

  /** When the last byte came, in ms of performance.now(). */
  heard = performance.now();

  /**
   * @param url ws: or wss:
   * @param options token, greeting (map), silence (s without a byte: lost), protocols (offered)
   * @param handlers greeted(map), envelope(array), breath(), called several times in `silence`, and ended(code, reason, refusal),
   *   once
   */
  constructor(url, { token, greeting, silence, protocols = [SUBPROTOCOL] }, handlers) {
    this.#handlers = handlers;
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const socket = new WebSocket(url, protocols, { headers, perMessageDeflate: false, maxPayload: MAX_MESSAGE });
    socket.on('upgrade', (response) => (this.#stream = response.socket));
    socket.on('open', () => greeting && this.send(greeting));
    socket.on('message', (data, binary) => this.#message(data, binary));
    socket.on('unexpected-response', (_, response) => this.#refused(response));
    socket.on('error', () => {}); // the close that follows says it
    socket.on('close', (code, reason) => this.#ended(code, reason.toString()));
    this.#socket = socket;
    this.watch(silence);
  }

  /** From now on the other side counts as lost after that many seconds without a byte. */
  watch(silence) {
    clearInterval(this.#timer);
    this.#silence = silence * 1000;
    this.#timer = setInterval(() => this.#tick(), this.#silence / 6);
  }

  get backlog() {
    return this.#socket.bufferedAmount;
  }

  /** Sends a value, or the bytes of one. */
  send(value) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(value instanceof Uint8Array ? value : encode(value));
  }

  sendText(text) {
    this.#socket.send(text);
  }

  close(code, reason) {
    this.#socket.close(code, reason);
  }

  /** Gives it up without a word. */
  drop() {
    this.#socket.terminate();
    this.#ended(1006, 'silence');
  }

  #tick() {
    const bytes = this.#stream?.bytesRead ?? 0;
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.heard = performance.now();
    } else if (performance.now() - this.heard > this.#silence) return this.drop();
    this.#handlers.breath?.();
  }

  #message(data, binary) {
    this.heard = performance.now();
    try {
      if (!binary) throw new ProtocolError('text');
      const value = decode(data);
      if (Array.isArray(value)) this.#handlers.envelope?.(value);
      else this.#handlers.greeted?.(value);
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof RangeError)) throw error;
      this.close(BROKEN_RULE, error.message.slice(0, 100));
    }
  }

  async #refused(response) {
    const parts = [];
    for await (const part of response) parts.push(part);
    this.#ended(1006, '', new Refused(response.statusCode, Buffer.concat(parts).toString().trim()));
    this.#socket.terminate();
  }

  #ended(code, reason, refusal = null) {
    clearInterval(this.#timer);
    const ended = this.#handlers.ended;
    this.#handlers = {};
    ended?.(code, reason, refusal);
  }
}
