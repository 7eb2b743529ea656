#!/bin/sh
# Installs what the interoperability tests need beside Python packages, where that is allowed, and says what is missing.
#
# From Debian: Chromium, GStreamer, FFmpeg (as root; SUDO=sudo otherwise). From npm: mediasoup-client and esbuild,
# which build the test page and the conference's page. Exit status 0 if everything is there at the end.

cd "$(dirname "$0")/../.." || exit 1

packages="chromium ffmpeg gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good
    gstreamer1.0-plugins-bad"

have() { command -v "$1" >/dev/null 2>&1; }

peers_installed() {
    have chromium && have ffmpeg && have gst-launch-1.0 &&
        for element in opusenc vp8enc rtpvp8pay srtpenc; do
            gst-inspect-1.0 --exists "$element" || return 1
        done
}

if ! peers_installed && have apt-get; then
    echo "Installing from Debian:" $packages
    # shellcheck disable=SC2086
    ${SUDO:-} apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive ${SUDO:-} apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

for folder in tests/interop examples/conference; do
    if have npm; then
        echo "Building the page of $folder"
        (cd "$folder" && npm ci --silent --no-audit --no-fund && npm run --silent build -- --log-level=warning)
    fi
done

missing=""
for program in chromium ffmpeg gst-launch-1.0; do
    have "$program" || missing="$missing $program"
done
for page in tests/interop/page/dist/client.js examples/conference/static/main.js; do
    [ -s "$page" ] || missing="$missing $page"
done
if [ -n "$missing" ]; then
    echo "Missing, so the tests that need them will be skipped:$missing" >&2
    exit 1
fi
echo "All peers are there."
