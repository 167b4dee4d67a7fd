#!/usr/bin/env bash
# Trains a model of any-style on freely licensed pictures and on textures that stylekit draws.
#
#     examples/any/train.sh PICTURES FOLDER        links pictures into FOLDER/pictures, trains in FOLDER/small and FOLDER/large
#
# PICTURES has a manifest: see prepare.py. Needs the extra vgg. If it is stopped, run it again to resume.
set -euo pipefail
pictures="${1:?usage: train.sh PICTURES FOLDER}" folder="${2:?usage: train.sh PICTURES FOLDER}"
here="$(cd "$(dirname "$0")" && pwd)"
if [ ! -d "$folder/pictures" ]; then
    rm -rf "$folder/preparing"
    python "$here/prepare.py" "$pictures" "$folder/preparing"
    for kind in clouds stripes cells leaves strokes blocks; do
        stylekit data draw textures "$folder/preparing/style/drawn-$kind" --key style --count 24 --size 320 --seed 1 \
            --set "kinds=[$kind]"
    done
    mv "$folder/preparing" "$folder/pictures"
fi

# train NAME SIZE LARGEST_CROP BATCH STEPS OPTIONS...
train() {
    local run="$folder/$1" data
    data="{name: folders, content: $folder/pictures/content, style: $folder/pictures/style, crop: [1.0, $3], by_folder: true}"
    local resume=()
    grep -qs '"ended": "complete"' "$run/run.json" && return
    [ -d "$run/checkpoints" ] && resume=(--resume)
    stylekit train --plugin any-style --data "$data" --out "$run" --size "$2" --batch-size "$4" --steps "$5" --seed 1 \
        --checkpoint-every 250 --sample-every 250 "${@:6}" "${resume[@]}"
}

train small 160 2.8 4 6000
train large 256 1.75 3 1500 --init "$folder/small" --set lr=6e-4
