#!/bin/sh
# Builds wheel and source archive, repairs the wheel, and uses both in empty environments outside the checkout.
set -eu
venv=$PWD/$1
python=$venv/bin/python
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rm -rf dist wheelhouse
"$python" -m build -q --no-isolation --sdist --wheel --outdir dist .
PATH=$venv/bin:$PATH "$venv/bin/auditwheel" repair -w wheelhouse dist/*.whl >"$work/repair.log" 2>&1 ||
    { cat "$work/repair.log"; exit 1; }
wheel=$(ls wheelhouse/*.whl)
case $wheel in
    *-cp311-abi3-manylinux*) echo "wheel: $(basename "$wheel")" ;;
    *) echo "not a cp311-abi3 manylinux wheel: $wheel" >&2; exit 1 ;;
esac

cd "$work"
"$python" -m venv wheel-env
wheel-env/bin/pip install -qq --disable-pip-version-check "$here/$wheel"
wheel-env/bin/python "$here/scripts/smoke.py"
wheel-env/bin/sfu bench --fan-out 10 --size 1200 --pattern lone --suite plain,gcm --rounds 2 --seconds 0.5 --json bench.json

# The archive carries the generated C: it compiles where there is no Cython.
"$python" -m venv sdist-env
sdist-env/bin/pip install -qq --disable-pip-version-check "setuptools>=77" wheel
sdist-env/bin/pip install -qq --disable-pip-version-check --find-links "$here/wheelhouse" $("$python" - "$here" <<'PYTHON'
import sys, tomllib
print(*tomllib.load(open(sys.argv[1] + "/pyproject.toml", "rb"))["project"]["dependencies"])
PYTHON
)
SFU_BUILD=debug sdist-env/bin/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation "$here"/dist/*.tar.gz
sdist-env/bin/python "$here/scripts/smoke.py"
echo "wheel and source archive work"
