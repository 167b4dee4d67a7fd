#!/usr/bin/env bash
# Trains the bundled model, stylekit-small, on images that stylekit generates. Needs no network access and no data.
#
#     examples/small/train.sh FOLDER        generates images in FOLDER/drawn, trains in FOLDER/run
#
# If it is stopped, run it again to resume.
set -euo pipefail
folder="${1:?usage: train.sh FOLDER}"
steps="${STEPS:-2700}"
if [ ! -d "$folder/drawn" ]; then
    rm -rf "$folder/drawing"
    draw() { stylekit data draw "$1" "$folder/drawing/$2" --size 256 --seed 1 "${@:3}"; }
    draw scenes content/scenes --key content --count 3000
    draw textures content/textures --key content --count 2000
    draw textures style/textures --key style --count 4000
    for manner in strokes dots outlined watercolour; do
        draw scenes "style/$manner" --key style --count 400 --set "style=$manner"
    done
    mv "$folder/drawing" "$folder/drawn"
fi
resume=()
[ -d "$folder/run/checkpoints" ] && resume=(--resume)
stylekit train --plugin descent --content "$folder/drawn/content" --style "$folder/drawn/style" --out "$folder/run" \
    --size 160 --batch-size 4 --steps "$steps" --seed 1 "${resume[@]}"
