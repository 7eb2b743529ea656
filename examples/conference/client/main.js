// The page: a form, a tile for each person, three buttons; and the way back into the room when the connection is lost.

import { Room } from "./room.js";

const element = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const lobby = element("lobby");
const tiles = new Map(); // peer id -> tile

lobby.room.value = query.get("room") ?? "lobby";
lobby.name.value = query.get("name") ?? "";

// Known to this tab only: coming back with it replaces what is left of the last visit.
sessionStorage.token ??= [...crypto.getRandomValues(new Uint32Array(4))].join("-");

let room = null;
let wanted = false; // to be in the room
let media = null;

lobby.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    media = await openDevices();
  } catch (error) {
    return say(`Neither camera nor microphone: ${error.message}`);
  }
  lobby.hidden = true;
  element("call").hidden = false;
  const own = tile("self", `${lobby.name.value} (you)`);
  own.querySelector("video").muted = true;
  for (const track of media.getTracks()) stream("self").addTrack(track);
  wanted = true;
  await enter();
});

element("leave").addEventListener("click", () => {
  wanted = false;
  room?.leave();
  for (const track of media.getTracks()) track.stop();
  for (const peerId of [...tiles.keys()]) removeTile(peerId);
  element("call").hidden = true;
  lobby.hidden = false;
  say("");
});

for (const [id, kind] of [["microphone", "audio"], ["camera", "video"]]) {
  const button = element(id);
  button.addEventListener("click", () => {
    button.ariaPressed = String(button.ariaPressed !== "true");
    mark("self", kind, button.ariaPressed === "true");
    applyButtons();
  });
}

async function openDevices() {
  const video = { width: { ideal: 640 }, height: { ideal: 480 } };
  for (const constraints of [{ audio: true, video }, { audio: true }, { video }]) {
    try {
      return await navigator.mediaDevices.getUserMedia(constraints);
    } catch (error) {
      if (constraints.video && !constraints.audio) throw error;
    }
  }
}

// Enters the room, again and again while the server cannot be reached.
async function enter(attempt = 0) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const parameters = new URLSearchParams({ room: lobby.room.value, token: sessionStorage.token });
  try {
    room = await Room.enter({
      url: `${scheme}://${location.host}/ws?${parameters}`,
      name: lobby.name.value,
      tracks: media.getTracks(),
      peerjoined: ({ detail }) => tile(detail.peerId, detail.name),
      peerleft: ({ detail }) => removeTile(detail.peerId),
      track: ({ detail }) => stream(detail.peerId)?.addTrack(detail.track),
      trackended: ({ detail }) => stream(detail.peerId)?.removeTrack(detail.track),
      paused: ({ detail }) => mark(detail.peerId, detail.kind, false),
      resumed: ({ detail }) => mark(detail.peerId, detail.kind, true),
      left: ({ detail }) => onLeft(attempt, detail.reason),
    });
    if (!wanted) return room.leave();
    attempt = 0;
    say("");
    applyButtons();
  } catch (error) {
    say(`${error.message}, trying again`);
  }
}

function onLeft(attempt, reason) {
  room = null;
  for (const peerId of [...tiles.keys()]) if (peerId !== "self") removeTile(peerId);
  if (!wanted) return;
  if (reason === "replaced") return say("This room was opened in another tab.");
  say("Connection lost, trying again");
  setTimeout(() => wanted && enter(attempt + 1), Math.min(10_000, 500 * 2 ** attempt));
}

function applyButtons() {
  for (const [id, kind] of [["microphone", "audio"], ["camera", "video"]]) {
    room?.setEnabled(kind, element(id).ariaPressed === "true").catch((error) => say(error.message));
  }
}

function tile(peerId, name) {
  const figure = document.createElement("figure");
  figure.className = "tile";
  figure.dataset.name = name;
  const video = document.createElement("video");
  Object.assign(video, { autoplay: true, playsInline: true, srcObject: new MediaStream() });
  const caption = document.createElement("figcaption");
  caption.textContent = name;
  figure.append(video, caption);
  element("tiles").append(figure);
  tiles.set(peerId, figure);
  return figure;
}

function stream(peerId) {
  return tiles.get(peerId)?.querySelector("video").srcObject;
}

function removeTile(peerId) {
  tiles.get(peerId)?.remove();
  tiles.delete(peerId);
}

function mark(peerId, kind, running) {
  tiles.get(peerId)?.classList.toggle(kind === "audio" ? "muted" : "paused", !running);
}

function say(text) {
  element("status").textContent = text;
}
