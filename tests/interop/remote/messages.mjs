// The numbers and tables of docs/messages.md that the scenario uses, and what it needs of RTP (RFC 3550).

export const WORKER = { DUMP: 0, CREATE_ROUTER: 4, CLOSE_ROUTER: 6, FOLLOW_PEERS: 260, DESCRIBE_ROUTER: 261 };
export const ROUTER = { DUMP: 8, CREATE_PLAINTRANSPORT: 11, CREATE_DIRECTTRANSPORT: 13, CLOSE_TRANSPORT: 14 };
export const TRANSPORT = { DUMP: 18, GET_STATS: 19, PRODUCE: 25, CONSUME: 27, CLOSE_PRODUCER: 30 };
export const PLAINTRANSPORT = { CONNECT: 34 };
export const PRODUCER = { DUMP: 37, GET_STATS: 38, PAUSE: 39, RESUME: 40 };
export const CONSUMER = { DUMP: 42, PAUSE: 44, RESUME: 45 };

export const EVENT = {
  WORKER_CLOSE: 0,
  TRANSPORT_SEND_RTCP: 1,
  PRODUCER_SEND: 2,
  PLAINTRANSPORT_TUPLE: 11,
  PRODUCER_SCORE: 14,
  CONSUMER_PRODUCER_PAUSE: 17,
  CONSUMER_PRODUCER_RESUME: 18,
  CONSUMER_PRODUCER_CLOSE: 19,
  CONSUMER_RTP: 21,
  CONSUMER_SCORE: 22,
  PEER_DONE: 262,
};
export const [AUDIO, SIMPLE, UDP] = [0, 0, 1];

export const OPUS = { mimeType: 'audio/opus', clockRate: 48000, channels: 2 };
export const PRODUCED = { ssrc: 11111111, payloadType: 111 };
export const CONSUMABLE = { ssrc: 22222222, payloadType: 100 };

const parameters = ({ ssrc, payloadType }) => ({
  codecs: [{ ...OPUS, payloadType }],
  headerExtensions: [],
  encodings: [{ ssrc }],
  rtcp: { cname: 'javascript' },
});

/** Body of TRANSPORT_PRODUCE for one stream of Opus. */
export const produce = (producerId) => ({
  producerId,
  kind: AUDIO,
  rtpParameters: parameters(PRODUCED),
  rtpMapping: {
    codecs: [{ payloadType: PRODUCED.payloadType, mappedPayloadType: CONSUMABLE.payloadType }],
    encodings: [{ ssrc: PRODUCED.ssrc, mappedSsrc: CONSUMABLE.ssrc }],
  },
});

/** Body of TRANSPORT_CONSUME for what `produce` makes; the consumer sends with the SSRC given. */
export const consume = (consumerId, producerId, ssrc) => ({
  consumerId,
  producerId,
  kind: AUDIO,
  rtpParameters: parameters({ ssrc, payloadType: CONSUMABLE.payloadType }),
  type: SIMPLE,
  consumableRtpEncodings: [{ ssrc: CONSUMABLE.ssrc }],
});

const listenInfo = { protocol: UDP, ip: '127.0.0.1', exposeInternalIp: false, portRange: {}, flags: {} };

/** Options of a plain transport on a port of its own. */
export const plain = (comedia) => ({ base: {}, listenInfo, rtcpMux: true, comedia, enableSrtp: false });

/** An RTP packet of the producer. */
export function rtp(sequenceNumber, payload) {
  const header = Buffer.alloc(12);
  header[0] = 0x80;
  header[1] = PRODUCED.payloadType;
  header.writeUInt16BE(sequenceNumber, 2);
  header.writeUInt32BE(sequenceNumber * 960, 4);
  header.writeUInt32BE(PRODUCED.ssrc, 8);
  return Buffer.concat([header, payload]);
}

/** What is in a packet without extensions: payloadType, sequenceNumber, ssrc, payload. */
export function parseRtp(bytes) {
  const packet = Buffer.from(bytes);
  return {
    payloadType: packet[1] & 0x7f,
    sequenceNumber: packet.readUInt16BE(2),
    ssrc: packet.readUInt32BE(8),
    payload: packet.subarray(12 + 4 * (packet[0] & 0x0f)),
  };
}
