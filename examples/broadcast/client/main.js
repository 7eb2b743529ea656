// The page: the stage (`?stage`, sends camera and microphone) or a seat in the audience.

import { Room } from "../../conference/client/room.js";

const element = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
const onStage = query.has("stage");
const video = element("picture");
const audience = new Set();

// Known to this tab only: coming back with it replaces what is left of the last visit.
sessionStorage.token ??= [...crypto.getRandomValues(new Uint32Array(4))].join("-");

element("start").addEventListener("click", start);
if (!onStage) start();

async function start() {
  element("start").hidden = true;
  video.srcObject = new MediaStream();
  let tracks = [];
  if (onStage) {
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: { ideal: 640 } } });
    tracks = media.getTracks();
    for (const track of tracks) video.srcObject.addTrack(track);
  }
  await enter(tracks);
}

// Enters, again and again while the server cannot be reached.
async function enter(tracks, attempt = 0) {
  const parameters = new URLSearchParams({ token: sessionStorage.token, ...(onStage && { stage: "" }) });
  const onLeft = ({ detail }) => {
    audience.clear();
    if (detail.reason === "replaced") return say("The stage was taken by another page.");
    say("Connection lost, trying again");
    setTimeout(() => enter(tracks, attempt + 1), Math.min(10_000, 500 * 2 ** attempt));
  };
  try {
    await Room.enter({
      url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws?${parameters}`,
      name: onStage ? "stage" : "viewer",
      tracks,
      receives: !onStage,
      peerjoined: ({ detail }) => count(audience.add(detail.peerId)),
      peerleft: ({ detail }) => count(audience.delete(detail.peerId)),
      track: ({ detail }) => video.srcObject.addTrack(detail.track),
      trackended: ({ detail }) => video.srcObject.removeTrack(detail.track),
      left: onLeft,
    });
    attempt = 0;
    count();
  } catch (error) {
    say(`${error.message}, trying again`);
  }
}

function count() {
  say(onStage ? `${audience.size} watching here` : "");
}

function say(text) {
  element("status").textContent = text;
}
