#!/usr/bin/env bash
# Trains the model that ships, stylekit-small, on pictures that stylekit draws itself: needs no network and no data.
#
#     examples/small/train.sh FOLDER        draws into FOLDER/drawn, trains in FOLDER/run
#
# Run again, it goes on where it was stopped.
set -euo pipefail
here="${1:?a folder to draw and train in}"
steps="${STEPS:-2700}"
if [ ! -d "$here/drawn" ]; then
    rm -rf "$here/drawing"
    draw() { stylekit data draw "$1" "$here/drawing/$2" --size 256 --seed 1 "${@:3}"; }
    draw scenes content/scenes --key content --count 3000
    draw textures content/textures --key content --count 2000
    draw textures style/textures --key style --count 4000
    for manner in strokes dots outlined watercolour; do
        draw scenes "style/$manner" --key style --count 400 --set "style=$manner"
    done
    mv "$here/drawing" "$here/drawn"
fi
resume=()
[ -d "$here/run/checkpoints" ] && resume=(--resume)
stylekit train --plugin descent --content "$here/drawn/content" --style "$here/drawn/style" --out "$here/run" \
    --size 160 --batch-size 4 --steps "$steps" --seed 1 "${resume[@]}"
