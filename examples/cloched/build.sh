#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the control plane's sealed image, build/cloched.tar, and prints its path. CONFIG names another cloched.yaml, FILES more files for /etc/cloche (space-separated); further words go to
# `cloche build`: --sign KEY.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
work=$build/cloched-image
rm -rf "$work"
mkdir -p "$work/files/usr/bin" "$work/files/etc/cloche" "$work/files/data"
cp "$build/bin/cloched" "$work/files/usr/bin/"
cp "${CONFIG:-examples/cloched/cloched.yaml}" "$work/files/etc/cloche/cloched.yaml"
for file in ${FILES:-}; do
    cp "$file" "$work/files/etc/cloche/"
done
folder=$(/usr/bin/python3 tools/testimage.py cloched)
cp "$folder.tar" "$work/rootfs.tar"
tar -r -f "$work/rootfs.tar" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1700000000 -C "$work/files" ./usr ./etc ./data
"$build/bin/cloche" build -f examples/cloched/cloche.yaml "$@" "$work/rootfs.tar" -o "$build/cloched.tar" >&2
rm -rf "$work"
echo "$build/cloched.tar"
