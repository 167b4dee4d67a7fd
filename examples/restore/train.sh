#!/usr/bin/env bash
# Trains the restorers that ship, and writes them in half precision; two hours on one core.
#
#     examples/restore/train.sh PICTURES FOLDER    trains from a folder of pictures, in runs below FOLDER
#
# If it is stopped, run it again to resume.
set -euo pipefail
pictures="${1:?usage: train.sh PICTURES FOLDER}" folder="${2:?usage: train.sh PICTURES FOLDER}"
here="$(cd "$(dirname "$0")" && pwd)"

# train RUN PRESET SIZE STEPS OPTIONS...
train() {
    local run="$folder/$1" resume=()
    grep -qs '"ended": "complete"' "$run/run.json" && return
    [ -d "$run/checkpoints" ] && resume=(--resume)
    stylekit train --plugin restore --preset "$2" --content "$pictures" --out "$run" --size "$3" --batch-size 8 --steps "$4" \
        --checkpoint-every 200 "${@:5}" "${resume[@]}"
}

train x2 x2 96 2600 --seed 1
train x2-more x2 96 4500 --seed 2 --init "$folder/x2"
train x4 x4 96 2500 --seed 1
train denoise denoise 64 1600 --seed 1
train denoise-more denoise 64 4500 --seed 2 --init "$folder/denoise"
for name in x2 x4 denoise; do
    last="$folder/$name-more"
    [ -d "$last" ] || last="$folder/$name"
    python "$here/../half_precision.py" "$last" "$folder/stylekit-restore-$name.safetensors"
    stylekit export "$folder/stylekit-restore-$name.safetensors" -o "$folder/stylekit-restore-$name.onnx" --weights 16
done
