#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the hotel's sealed image: build/hotel/image.tar (and build/hotel/ca.pem for curl).
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
work=$build/hotel
mkdir -p "$work/files/opt/hotel" "$work/files/data"
# A key in an image is readable by everyone who has the image: good enough to try TLS, not for guests.
openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout "$work/key.pem" -out "$work/ca.pem" 2>/dev/null
cat "$work/key.pem" "$work/ca.pem" > "$work/files/opt/hotel/tls.pem"
cp examples/hotel/hotel.py "$work/files/opt/hotel/"
folder=$(/usr/bin/python3 tools/testimage.py demo)
cp "$folder.tar" "$work/rootfs.tar"
tar -r -f "$work/rootfs.tar" --sort=name --owner=0 --group=0 --numeric-owner -C "$work/files" ./opt ./data
"$build/bin/cloche" build -f examples/hotel/cloche.yaml "$work/rootfs.tar" -o "$work/image.tar"
echo "$work/image.tar"
