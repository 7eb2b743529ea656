// One participant of a test call: mediasoup-client, driven from Python through `window.participant`.
//
// Signalling needs no server: Python exposes `signalConnect` and `signalProduce` in the page and calls the
// methods below.

import { Device } from "mediasoup-client";

const BrowserConnection = window.RTCPeerConnection;

// mediasoup-client offers "actpass" for what it receives, whatever role it was told that the server has, and Chromium
// then chooses to be the DTLS client. This offer leaves it the server's part only.
class DtlsServerConnection extends BrowserConnection {
  setRemoteDescription({ type, sdp }) {
    return super.setRemoteDescription({ type, sdp: sdp.replaceAll("a=setup:actpass", "a=setup:active") });
  }
}

class Participant {
  constructor() {
    this.device = null;
    this.transports = new Map();
    this.producers = new Map();
    this.consumers = new Map(); // id -> { consumer, element, firstFrame }
  }

  async load(routerRtpCapabilities) {
    this.device = await Device.factory();
    await this.device.load({ routerRtpCapabilities });
    return this.device.recvRtpCapabilities;
  }

  createTransport(direction, options) {
    const create = direction === "send" ? "createSendTransport" : "createRecvTransport";
    window.RTCPeerConnection = options.dtlsParameters.role === "client" ? DtlsServerConnection : BrowserConnection;
    const transport = this.device[create](options);
    transport.on("connect", ({ dtlsParameters }, done, failed) => {
      window.signalConnect(transport.id, dtlsParameters).then(done, failed);
    });
    transport.on("produce", ({ kind, rtpParameters }, done, failed) => {
      window.signalProduce(transport.id, kind, rtpParameters).then((id) => done({ id }), failed);
    });
    this.transports.set(transport.id, transport);
  }

  async publish(transportId, kind, { constraints = true, encodings, codecOptions } = {}) {
    const media = await navigator.mediaDevices.getUserMedia({ [kind]: constraints });
    const [track] = media.getTracks();
    const producer = await this.transports.get(transportId).produce({ track, encodings, codecOptions });
    this.producers.set(producer.id, producer);
    return producer.id;
  }

  async subscribe(transportId, parameters) {
    const consumer = await this.transports.get(transportId).consume(parameters);
    const element = document.createElement(consumer.kind);
    element.muted = consumer.kind === "video";
    element.autoplay = true;
    element.playsInline = true;
    element.srcObject = new MediaStream([consumer.track]);
    document.body.append(element);
    this.consumers.set(consumer.id, { consumer, element, firstFrame: firstFrame(element) });
  }

  async firstFrame(consumerId) {
    return this.consumers.get(consumerId).firstFrame;
  }

  async restartIce(transportId, iceParameters) {
    await this.transports.get(transportId).restartIce({ iceParameters });
  }

  pauseProducer(producerId) {
    this.producers.get(producerId).pause();
  }

  resumeProducer(producerId) {
    this.producers.get(producerId).resume();
  }

  closeConsumer(consumerId) {
    const { consumer, element } = this.consumers.get(consumerId);
    consumer.close();
    element.remove();
    this.consumers.delete(consumerId);
  }

  connectionState(transportId) {
    return this.transports.get(transportId).connectionState;
  }

  // Statistics are W3C dictionaries; Python picks what it needs.

  async transportStats(transportId) {
    return [...(await this.transports.get(transportId).getStats()).values()];
  }

  async producerStats(producerId) {
    return [...(await this.producers.get(producerId).getStats()).values()];
  }

  async consumerStats(consumerId) {
    return [...(await this.consumers.get(consumerId).consumer.getStats()).values()];
  }

  // The picture now: its size and how much its pixels differ (0 for a blank one).
  picture(consumerId) {
    const { element } = this.consumers.get(consumerId);
    const canvas = new OffscreenCanvas(64, 48);
    const context = canvas.getContext("2d");
    context.drawImage(element, 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const greens = [...data].filter((_, index) => index % 4 === 1);
    const mean = greens.reduce((sum, value) => sum + value, 0) / greens.length;
    const variance = greens.reduce((sum, value) => sum + (value - mean) ** 2, 0) / greens.length;
    return { width: element.videoWidth, height: element.videoHeight, deviation: Math.sqrt(variance) };
  }
}

// Resolves when the element shows (video) or plays (audio) its first frame.
function firstFrame(element) {
  return new Promise((resolve) => {
    if (element instanceof HTMLVideoElement) element.requestVideoFrameCallback(() => resolve());
    else element.addEventListener("timeupdate", () => resolve(), { once: true });
  });
}

window.participant = new Participant();
