#!/usr/bin/env bash
# Trains the restorers that ship, and writes them in half precision; four hours on one core.
#
#     examples/restore/train.sh PICTURES FOLDER    trains from a folder of pictures, in runs below FOLDER
#
# If it is stopped, run it again to resume.
set -euo pipefail
pictures="${1:?usage: train.sh PICTURES FOLDER}" folder="${2:?usage: train.sh PICTURES FOLDER}"
here="$(cd "$(dirname "$0")" && pwd)"

# train RUN STEPS OPTIONS...
train() {
    local run="$folder/$1" resume=()
    grep -qs '"ended": "complete"' "$run/run.json" && return
    [ -d "$run/checkpoints" ] && resume=(--resume)
    stylekit train --out "$run" --steps "$2" --checkpoint-every 200 "${@:3}" "${resume[@]}"
}

# restorer RUN PRESET SIZE STEPS OPTIONS...
restorer() {
    train "$1" "$4" --plugin restore --preset "$2" --content "$pictures" --size "$3" --batch-size 8 "${@:5}"
}

restorer x2 x2 96 2600 --seed 1
restorer x2-more x2 96 4500 --seed 2 --init "$folder/x2"
restorer x4 x4 96 2500 --seed 1
restorer denoise denoise 64 1600 --seed 1
restorer denoise-more denoise 64 4500 --seed 2 --init "$folder/denoise"
restorer jpeg jpeg 64 6000 --seed 1
whole="{name: folders, content: '$pictures', crop: [1.1, 1.5]}"
train colorize 6000 --plugin colorize --data "$whole" --size 96 --batch-size 16 --seed 1
for name in x2 x4 denoise jpeg colorize; do
    last="$folder/$name-more" file="$folder/stylekit-restore-$name"
    [ -d "$last" ] || last="$folder/$name"
    python "$here/../half_precision.py" "$last" "$file.safetensors"
    [ "$name" = colorize ] || stylekit export "$file.safetensors" -o "$file.onnx" --weights 16
done
