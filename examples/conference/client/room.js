// One visit to a room: what this page sends and receives. It ends when its WebSocket does; a new visit starts afresh.

import { Device } from "mediasoup-client";

import { Signalling } from "./signalling.js";

export class Room extends EventTarget {
  #signalling;
  #device;
  #sending;
  #receiving;
  #producers = new Map(); // kind -> Producer
  #consumers = new Map(); // id -> promise of a Consumer; its appData tells whose it is

  // Enters the room and begins to send `tracks`, if there are any; resolves when the others can see this page.
  static async enter({ url, name, tracks, receives = true, ...listeners }) {
    const room = new Room();
    for (const [event, listener] of Object.entries(listeners)) room.addEventListener(event, listener);
    room.#signalling = new Signalling(url);
    room.#signalling.addEventListener("notification", ({ detail }) => room.#onNotification(detail));
    room.#signalling.addEventListener("close", ({ detail }) => room.#onClose(detail.reason));
    await room.#signalling.opened();
    try {
      await room.#join(name, tracks, receives);
    } catch (error) {
      room.leave();
      throw error;
    }
    return room;
  }

  leave() {
    this.#signalling.close();
  }

  // Stops sending a kind without giving up the device; what is not sent is paused on the server too.
  async setEnabled(kind, enabled) {
    const producer = this.#producers.get(kind);
    if (!producer || producer.paused === !enabled) return;
    if (enabled) producer.resume();
    else producer.pause();
    await this.#request(enabled ? "resumeProducer" : "pauseProducer", { producerId: producer.id });
  }

  #request(method, data) {
    return this.#signalling.request(method, data);
  }

  #emit(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail }));
  }

  async #join(name, tracks, receives) {
    this.#device = await Device.factory();
    await this.#device.load({ routerRtpCapabilities: await this.#request("getRouterRtpCapabilities") });
    if (tracks.length) this.#sending = await this.#createTransport("createSendTransport");
    if (receives) this.#receiving = await this.#createTransport("createRecvTransport");
    const rtpCapabilities = this.#device.recvRtpCapabilities;
    const { peers } = await this.#request("join", { name, rtpCapabilities });
    for (const peer of peers) this.#onPeer(peer);
    for (const track of tracks) {
      if (!this.#device.canProduce(track.kind)) continue;
      this.#producers.set(track.kind, await this.#sending.produce({ track, stopTracks: false }));
    }
  }

  async #createTransport(create) {
    const transport = this.#device[create](await this.#request("createTransport"));
    transport.on("connect", ({ dtlsParameters }, done, failed) => {
      this.#request("connectTransport", { transportId: transport.id, dtlsParameters }).then(done, failed);
    });
    transport.on("produce", ({ kind, rtpParameters }, done, failed) => {
      this.#request("produce", { transportId: transport.id, kind, rtpParameters }).then(done, failed);
    });
    transport.on("connectionstatechange", (state) => {
      if (state === "disconnected" || state === "failed") this.#restartIce(transport).catch(() => this.leave());
    });
    return transport;
  }

  // The network changed under a call that signalling survived.
  async #restartIce(transport) {
    const iceParameters = await this.#request("restartIce", { transportId: transport.id });
    await transport.restartIce({ iceParameters });
  }

  #onPeer({ id, name, producers }) {
    this.#emit("peerjoined", { peerId: id, name });
    for (const producer of producers) this.#consume(id, producer.id);
  }

  async #consume(peerId, producerId) {
    try {
      const request = { transportId: this.#receiving.id, producerId };
      const { producerPaused, ...parameters } = await this.#request("consume", request);
      const created = this.#receiving.consume({ ...parameters, appData: { peerId } });
      this.#consumers.set(parameters.id, created); // before the next message can be about it
      const consumer = await created;
      this.#emit("track", { peerId, track: consumer.track });
      if (producerPaused) this.#emit("paused", { peerId, kind: consumer.kind });
      await this.#request("resumeConsumer", { consumerId: consumer.id });
    } catch (error) {
      // Its owner may have left meanwhile: the room goes on without it.
      console.warn(`cannot receive from ${peerId}: ${error.message}`);
    }
  }

  async #onNotification({ method, data }) {
    if (method === "peerJoined") this.#onPeer(data.peer);
    else if (method === "newProducer") this.#consume(data.peerId, data.producer.id);
    else if (method === "peerLeft") this.#emit("peerleft", { peerId: data.peerId });
    else {
      const consumer = await this.#consumers.get(data.consumerId)?.catch(() => null);
      if (consumer) this.#onConsumerChange(method, consumer);
    }
  }

  #onConsumerChange(method, consumer) {
    const { kind, track, appData } = consumer;
    const { peerId } = appData;
    if (method === "consumerPaused") this.#emit("paused", { peerId, kind });
    else if (method === "consumerResumed") this.#emit("resumed", { peerId, kind });
    else if (method === "consumerClosed") {
      consumer.close();
      this.#consumers.delete(consumer.id);
      this.#emit("trackended", { peerId, kind, track });
    }
  }

  #onClose(reason) {
    this.#sending?.close();
    this.#receiving?.close();
    this.#emit("left", { reason });
  }
}
