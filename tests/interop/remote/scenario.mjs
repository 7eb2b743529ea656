// What a client in another language does with a server: `node scenario.mjs URL TOKEN` prints a report, one JSON map.
//
// The server's operator has added three methods: `add(n)` notes that it was carried out, `cut(seconds)` and
// `freeze(seconds)` break the network between us while they are carried out, and the operator then tells us `news`.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { RemoteClient } from './client.mjs';
import {
  CONSUMER, EVENT, OPUS, PLAINTRANSPORT, PRODUCER, ROUTER, TRANSPORT, WORKER, consume, parseRtp, plain, produce, rtp,
} from './messages.mjs';
import { Wire } from './wire.mjs';

const [url, token] = process.argv.slice(2);

/** Asks until it holds; throws what it was after some seconds. */
async function until(probe, what) {
  for (let tries = 0; tries < 400; tries++) {
    const seen = await probe();
    if (seen) return seen;
    await sleep(20);
  }
  throw new Error(`never: ${what}`);
}

/** What becomes of a connection: `act` has the wire once it is greeted. */
function ending(options, act = () => {}) {
  return new Promise((resolve) => {
    const settings = { token, greeting: { client: 'rules' }, silence: 5, ...options };
    const wire = new Wire(url, settings, {
      greeted: (greeting) => act(wire, greeting),
      ended: (code, reason, refusal) => resolve(refusal ? { status: refusal.status, text: refusal.text } : { code, reason }),
    });
  });
}

/** What is refused, and with which words. */
async function rules() {
  const greetings = [];
  const closing = (resume) => ending({ greeting: { ...(resume && { resume }) } }, (wire, greeting) => {
    greetings.push(greeting);
    wire.close(1000, '');
  });
  const report = {
    wrongToken: await ending({ token: 'wrong' }),
    noToken: await ending({ token: undefined }),
    unknownVersion: await ending({ protocols: ['sfu.99'] }),
    text: await ending({}, (wire) => wire.sendText('hello')),
    gap: await ending({}, (wire) => wire.send([2, 0, []])),
    tooMuchReceived: await ending({}, (wire) => wire.send([0, 7, []])),
    badResume: await ending({ greeting: { resume: 'me' } }),
    takenOver: await ending({}, (wire, { session }) => closing({ session, received: 0 })),
    closed: await closing(),
  };
  await closing({ session: greetings.at(-1).session, received: 0 });
  return { ...report, resumed: greetings.map(({ resumed }) => resumed) };
}

/** A room: a direct transport that produces, one that consumes, plain ones both ways; all of it asked at once. */
async function room(client) {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();

  const before = client.counts.envelopes;
  const worker = client.createWorker({ logLevel: 'warn' });
  const heard = { score: [], packets: [], fromPlain: [], events: [] };
  worker.listen('microphone', (event, body) => event === EVENT.PRODUCER_SCORE && heard.score.push(body.scores));
  worker.listen('direct-ear', (event, body) => {
    if (event === EVENT.CONSUMER_RTP) heard.packets.push(parseRtp(body.data));
    else if (event !== EVENT.CONSUMER_SCORE) heard.events.push(event);
  });
  worker.listen('in', (event, body) => event === EVENT.PLAINTRANSPORT_TUPLE && (heard.tuple = body.tuple));
  worker.listen('phone', (event, body) => event === EVENT.PRODUCER_SCORE && (heard.phoneScore = body.scores));
  socket.on('message', (packet) => heard.fromPlain.push(parseRtp(packet)));

  const answers = await Promise.all([
    worker.ready,
    worker.request(WORKER.CREATE_ROUTER, '', { routerId: 'room' }),
    worker.request(ROUTER.CREATE_DIRECTTRANSPORT, 'room', { transportId: 'mouth', options: { base: { direct: true } } }),
    worker.request(ROUTER.CREATE_DIRECTTRANSPORT, 'room', { transportId: 'ear', options: { base: { direct: true } } }),
    worker.request(ROUTER.CREATE_PLAINTRANSPORT, 'room', { transportId: 'in', options: plain(true) }),
    worker.request(ROUTER.CREATE_PLAINTRANSPORT, 'room', { transportId: 'out', options: plain(false) }),
    worker.request(PLAINTRANSPORT.CONNECT, 'out', { ip: '127.0.0.1', port }),
    worker.request(TRANSPORT.PRODUCE, 'mouth', produce('microphone')),
    worker.request(TRANSPORT.PRODUCE, 'in', produce('phone')),
    worker.request(TRANSPORT.CONSUME, 'ear', consume('direct-ear', 'microphone', 33333333)),
    worker.request(TRANSPORT.CONSUME, 'out', consume('plain-ear', 'phone', 44444444)),
  ]);
  const envelopes = client.counts.envelopes - before;
  const [{ place }, , , , plainIn, , connected, produced, , consumed] = answers;
  return { worker, socket, heard, plainIn, report: { envelopes, place, connected, produced, consumed, port } };
}

/** RTP as binary through the direct transport, and as UDP through the plain ones. */
async function media({ worker, socket, heard, plainIn }) {
  let number = 1000;
  const payloads = Array.from({ length: 50 }, (_, i) => Buffer.alloc(100 + i, i));
  for (const payload of payloads) worker.notify(EVENT.PRODUCER_SEND, 'microphone', { data: rtp(number++, payload) });
  await until(() => heard.packets.length >= 50 && heard.score.length, 'packets and a score of the direct producer');

  const speak = () => socket.send(rtp(number++, Buffer.from('hello')), plainIn.tuple.localPort, '127.0.0.1');
  await until(() => speak() || (heard.tuple && heard.phoneScore && heard.fromPlain.length > 5), 'plain RTP came through');
  const numbers = heard.packets.map(({ sequenceNumber }) => sequenceNumber);
  const stats = await worker.request(PRODUCER.GET_STATS, 'microphone');
  return {
    speak,
    report: {
      payloadsKept: payloads.every((payload, i) => payload.equals(heard.packets[i].payload)),
      consecutive: numbers.every((each, i) => i === 0 || each === ((numbers[i - 1] + 1) & 0xffff)),
      direct: { ssrc: heard.packets[0].ssrc, payloadType: heard.packets[0].payloadType, count: heard.packets.length },
      plain: { ssrc: heard.fromPlain[0].ssrc, payloadType: heard.fromPlain[0].payloadType },
      score: heard.score[0],
      tuple: heard.tuple,
      packetsCounted: stats.stats[0].data.base.data.packetsLost === 0 && stats.stats[0].data.packetCount,
    },
  };
}

/** A hundred requests without waiting, in one envelope; and refusals among good ones. */
async function pipeline(client, { worker }) {
  const before = client.counts.envelopes;
  const names = Array.from({ length: 100 }, (_, i) => `room ${i}`);
  await Promise.all(names.map((routerId) => worker.request(WORKER.CREATE_ROUTER, '', { routerId })));
  const envelopes = client.counts.envelopes - before;
  const refused = await Promise.allSettled([
    worker.request(ROUTER.DUMP, 'nowhere'),
    worker.request(WORKER.CREATE_ROUTER, '', { routerId: 5 }),
    worker.request(9999),
    client.call('nothing'),
    client.createWorker({ logLevel: 'loud' }).ready,
  ]);
  const { routerIds, pid } = await worker.request(WORKER.DUMP);
  await Promise.all(names.map((routerId) => worker.request(WORKER.CLOSE_ROUTER, '', { routerId })));
  const left = (await worker.request(WORKER.DUMP)).routerIds;
  const inOrder = routerIds.filter((each) => each !== 'room').join() === names.join();
  return { envelopes, inOrder, pid, left, refused: refused.map(({ reason }) => reason.error) };
}

/** The connection is reset under requests: they have been carried out, and nobody has told us. */
async function cut(client, { worker, heard }, speak) {
  heard.events.length = 0;
  const packets = heard.fromPlain.length;
  const news = [];
  const { resumed, failed } = client.counts;
  client.told = (method, [n]) => news.push([method, n]);
  const lost = [
    client.call('add', 1),
    worker.request(PRODUCER.PAUSE, 'microphone'),
    worker.request(PRODUCER.RESUME, 'microphone'),
    worker.request(TRANSPORT.CLOSE_PRODUCER, 'mouth', { producerId: 'microphone' }),
    client.call('cut', 0.6),
    client.call('add', 2),
  ];
  await until(() => client.counts.failed > failed, 'the cut was noticed');
  const asked = [3, 4, 5].map((n) => client.call('add', n)); // goes on asking while cut off
  while (client.counts.resumed === resumed) {
    speak();
    await sleep(20);
  }
  const throughTheCut = heard.fromPlain.length - packets;
  const answers = await Promise.all([...lost, ...asked]);
  await until(() => news.length >= 20 && heard.events.length >= 3, 'what was missed');
  return { answers, news, events: heard.events, throughTheCut };
}

/** Two clients of one session: one makes things and knows nothing of peers, the other is told and uses them. */
async function sharing() {
  const open = (options) => RemoteClient.open(url, { token, name: 'duo', ...options });
  const maker = await open();
  const worker = maker.createWorker();
  await worker.ready;
  await worker.request(WORKER.CREATE_ROUTER, '', { routerId: 'room' });
  await worker.request(WORKER.DESCRIBE_ROUTER, '', { routerId: 'room', rtpCapabilities: { codecs: [OPUS] } });
  const direct = (id) => [ROUTER.CREATE_DIRECTTRANSPORT, 'room', { transportId: id, options: { base: { direct: true } } }];
  await worker.request(...direct('mouth'));
  await worker.request(TRANSPORT.PRODUCE, 'mouth', produce('microphone'));
  await worker.request(PRODUCER.PAUSE, 'microphone');

  let theirs;
  const user = await open({ added: (each) => (theirs = each) });
  await until(() => theirs, 'the worker of the other one');
  const done = [];
  const follow = (id) => theirs.listen(id, (event, { method, body, answer }) => {
    if (event === EVENT.PEER_DONE) done.push([method, id, Object.values(body)[0] ?? null, answer ?? null]);
  });
  ['', 'room', 'mouth', 'microphone'].forEach(follow);
  await theirs.request(WORKER.FOLLOW_PEERS);
  const late = done.splice(0).map(([method, id]) => [method, id]);
  await worker.request(PRODUCER.RESUME, 'microphone');
  await theirs.request(...direct('ear'));
  const packets = [];
  theirs.listen('heard', (event, body) => event === EVENT.CONSUMER_RTP && packets.push(parseRtp(body.data).ssrc));
  await theirs.request(TRANSPORT.CONSUME, 'ear', consume('heard', 'microphone', 55555555));
  let number = 0;
  const speak = () => worker.notify(EVENT.PRODUCER_SEND, 'microphone', { data: rtp(number++, Buffer.from('hello')) });
  await until(() => speak() || packets.length > 5, 'packets of the other one');
  await worker.request(TRANSPORT.CLOSE_PRODUCER, 'mouth', { producerId: 'microphone' });
  await until(() => done.length >= 2, 'the end of the producer');
  await theirs.request(TRANSPORT.CLOSE_PRODUCER, 'mouth', { producerId: 'microphone' }); // it is closed: no matter
  const announced = theirs.place.extensions.filter((each) => each >= 260 && each < 270);
  await maker.close();
  const { routerIds } = await theirs.request(WORKER.DUMP);
  await user.close();
  return { announced, late, done: done.map(([method, id]) => [method, id]), ssrc: packets[0], routerIds };
}

/** Nothing passes any more and nobody says so. What is sent meanwhile is stuck on the way, and not lost for good. */
async function freeze(client) {
  const resumed = client.counts.resumed;
  const frozen = client.call('freeze', 1.5);
  await sleep(200);
  const stuck = [6, 7, 8].map((n) => client.call('add', n));
  const answers = await Promise.all([frozen, ...stuck]);
  return { answers, resumed: client.counts.resumed - resumed };
}

async function main() {
  const report = { rules: await rules() };
  const client = await RemoteClient.open(url, { token, silence: 1 });
  report.greeting = { ...client.greeting, session: typeof client.greeting.session };
  const made = await room(client);
  report.room = made.report;
  const { speak, report: sent } = await media(made);
  report.media = sent;
  report.pipeline = await pipeline(client, made);
  report.cut = await cut(client, made, speak);
  report.freeze = await freeze(client);
  report.sharing = await sharing();
  report.stats = Object.keys(await client.getStats()).sort();
  const dump = await made.worker.request(ROUTER.DUMP, 'room');
  report.after = { transports: dump.transportIds.sort(), producers: dump.mapProducerIdConsumerIds.map(({ key }) => key) };
  made.worker.notify(EVENT.WORKER_CLOSE);
  report.workerEnded = await made.worker.ended;
  const { code } = await client.close();
  made.socket.close();
  console.log(JSON.stringify({ ...report, closed: code, counts: client.counts }));
}

await main();
