// The other side of the FlatBuffers tests: mediasoup's npm library.
//
//   node flatbuffers_peer.cjs NODE_MODULES samples   writes five messages, one JSON line each
//   node flatbuffers_peer.cjs NODE_MODULES           per line of base64 (a size-prefixed buffer): what the library
//                                                    reads in it, and what it writes for that
//
// 64-bit integers are shown as strings.

'use strict';

const path = require('node:path');
const readline = require('node:readline');

const modules = path.resolve(process.argv[2]);
const load = name => require(path.join(modules, 'mediasoup/node/lib/fbs', name));
const flatbuffers = require(path.join(modules, 'flatbuffers'));
const message = load('message');

function show(value) {
	return JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? String(item) : item));
}

function write(object) {
	const builder = new flatbuffers.Builder(64);

	builder.finishSizePrefixed(object.pack(builder));

	return Buffer.from(builder.asUint8Array());
}

function read(buffer) {
	return message.Message.getSizePrefixedRootAsMessage(new flatbuffers.ByteBuffer(new Uint8Array(buffer))).unpack();
}

function samples() {
	const request = load('request');
	const response = load('response');
	const router = load('router');
	const rtp = load('rtp-parameters');
	const transport = load('transport');
	const webrtc = load('web-rtc-transport');
	const worker = load('worker');
	const { ConsumerLayersT } = load('consumer');
	const { SctpState } = load('sctp-association');

	const ask = (id, method, handlerId, bodyType, body) =>
		new message.MessageT(message.Body.Request, new request.RequestT(id, method, handlerId, bodyType, body));
	const answer = (id, bodyType, body) =>
		new message.MessageT(message.Body.Response, new response.ResponseT(id, true, bodyType, body, null, null));

	const workerDump = answer(
		1,
		response.Body.Worker_DumpResponse,
		new worker.DumpResponseT(
			4711,
			['server-1'],
			['router-1', 'router-2'],
			new worker.ChannelMessageHandlersT(['router-1', 'router-2', 'transport-ü'], ['transport-ü'])
		)
	);

	const createWebRtcTransport = ask(
		2,
		request.Method.ROUTER_CREATE_WEBRTCTRANSPORT,
		'router-1',
		request.Body.Router_CreateWebRtcTransportRequest,
		new router.CreateWebRtcTransportRequestT(
			'transport-1',
			new webrtc.WebRtcTransportOptionsT(
				new transport.OptionsT(false, 1000000n, true, 262144, 262145, 262146, 2000000, 5242880, 1, true),
				webrtc.Listen.ListenIndividual,
				new webrtc.ListenIndividualT([
					new transport.ListenInfoT(
						transport.Protocol.UDP, '0.0.0.0', 'media.example.com', true, 0,
						new transport.PortRangeT(40000, 49999), new transport.SocketFlagsT(false, true), 1 << 20, 1 << 21
					),
					new transport.ListenInfoT(
						transport.Protocol.TCP, '::1', null, false, 44444,
						new transport.PortRangeT(0, 0), new transport.SocketFlagsT(true, false), 0, 0
					),
				]),
				true, false, true, false, 20
			)
		)
	);

	const parameters = (ssrc, pt) =>
		new rtp.RtpParametersT(
			'0',
			[
				new rtp.RtpCodecParametersT(
					'video/H264', pt, 90000, 0,
					[
						new rtp.ParameterT('packetization-mode', rtp.Value.Integer32, new rtp.Integer32T(1)),
						new rtp.ParameterT('profile-level-id', rtp.Value.String, new rtp.StringT('42e01f')),
						new rtp.ParameterT('flag', rtp.Value.Boolean, new rtp.BooleanT(1)),
						new rtp.ParameterT('ratio', rtp.Value.Double, new rtp.DoubleT(-0.125)),
						new rtp.ParameterT('list', rtp.Value.Integer32Array, new rtp.Integer32ArrayT([-1, 2, 2147483647])),
					],
					[new rtp.RtcpFeedbackT('nack', null), new rtp.RtcpFeedbackT('nack', 'pli')]
				),
				new rtp.RtpCodecParametersT(
					'video/rtx', pt + 1, 90000, 0,
					[new rtp.ParameterT('apt', rtp.Value.Integer32, new rtp.Integer32T(pt))], []
				),
			],
			[
				new rtp.RtpHeaderExtensionParametersT(rtp.RtpHeaderExtensionUri.Mid, 1, false, []),
				new rtp.RtpHeaderExtensionParametersT(rtp.RtpHeaderExtensionUri.TransportWideCcDraft01, 5, false, []),
				new rtp.RtpHeaderExtensionParametersT(rtp.RtpHeaderExtensionUri.MediasoupPacketId, 12, true, []),
			],
			[
				new rtp.RtpEncodingParametersT(ssrc, null, null, new rtp.RtxT(ssrc + 1), false, 'L1T3', 900000n),
				new rtp.RtpEncodingParametersT(null, 'r1', pt, null, true, null, null),
			],
			new rtp.RtcpParametersT('cname-1', false),
			'stream track'
		);

	const produce = ask(
		3,
		request.Method.TRANSPORT_PRODUCE,
		'transport-1',
		request.Body.Transport_ProduceRequest,
		new transport.ProduceRequestT(
			'producer-1', rtp.MediaKind.VIDEO, parameters(4294967294, 102),
			new rtp.RtpMappingT(
				[new rtp.CodecMappingT(102, 101), new rtp.CodecMappingT(103, 102)],
				[new rtp.EncodingMappingT(null, 4294967294, 111111), new rtp.EncodingMappingT('r1', null, 222222)]
			),
			true, 500, false
		)
	);

	const consume = ask(
		4,
		request.Method.TRANSPORT_CONSUME,
		'transport-2',
		request.Body.Transport_ConsumeRequest,
		new transport.ConsumeRequestT(
			'consumer-1', 'producer-1', rtp.MediaKind.VIDEO, parameters(333333, 101), rtp.Type.SIMULCAST,
			[new rtp.RtpEncodingParametersT(111111, null, null, null, false, 'L1T3', 900000n)],
			true, new ConsumerLayersT(2, null), true
		)
	);

	const transportStats = answer(
		5,
		response.Body.WebRtcTransport_GetStatsResponse,
		new webrtc.GetStatsResponseT(
			new transport.StatsT(
				'transport-1', 18446744073709551615n, SctpState.CONNECTED, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n, 11n,
				12n, 13n, 14n, 15n, null, 16n, 0n, null, 0.25, null
			),
			webrtc.IceRole.CONTROLLED,
			webrtc.IceState.COMPLETED,
			new transport.TupleT('192.0.2.1', 40001, '198.51.100.7', 51234, transport.Protocol.TCP),
			webrtc.DtlsState.CONNECTED
		)
	);

	return { workerDump, createWebRtcTransport, produce, consume, transportStats };
}

if (process.argv[3] === 'samples') {
	for (const [name, object] of Object.entries(samples())) {
		const buffer = write(object);

		console.log(show({ name, base64: buffer.toString('base64'), content: read(buffer) }));
	}
} else {
	readline.createInterface({ input: process.stdin }).on('line', line => {
		const content = read(Buffer.from(line, 'base64'));

		console.log(show({ content, base64: write(content).toString('base64') }));
	});
}
