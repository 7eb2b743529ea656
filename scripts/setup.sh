#!/bin/sh
# Makes the virtual environment $1 with everything that builds, checks and tests the project.
set -eu
venv=$1
python=${PYTHON:-python3}

have_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
have_headers() { "$python" -c 'import os, sysconfig; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null; }

# A bare Debian has Python without these two.
if ! have_venv || ! have_headers || ! command -v gcc >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv python3-dev gcc libc6-dev
    else
        echo "please install: python3-venv python3-dev gcc libc6-dev" >&2
        exit 1
    fi
fi

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check "setuptools>=77" wheel "cython>=3.1,<4"
# The extensions are compiled by `make build`; here only what pyproject.toml names, and the `sfu` command.
SFU_ONLY=none "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-build-isolation \
    -e ".[examples,test,dev]"
