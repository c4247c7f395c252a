#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the hotel's sealed images: build/hotel/image.tar (with build/hotel/ca.pem for curl), and with "attested" as argument
# build/hotel/attested.tar, for `cloche attest proxy`; with "server", SERVER_URL and SERVER_CA build/hotel/served.tar. Prints the image's path.
# With "rootfs" it seals nothing and prints the root file system, for `cloche build -f examples/hotel/server.yaml ROOTFS -o IMAGE --push APP`.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
kind=${1:-tls}
work=$build/hotel/$kind
mkdir -p "$work/files/opt/hotel" "$work/files/data"
cp examples/hotel/hotel.py "$work/files/opt/hotel/"
if [ "$kind" = attested ]; then
    # The key is made inside the enclave: none is in the image.
    cp "$build/bin/cloche-attest" "$work/files/opt/hotel/"
    config=examples/hotel/attested.yaml
    image=$build/hotel/attested.tar
elif [ "$kind" = server ]; then
    config=examples/hotel/server.yaml
    image=$build/hotel/served.tar
elif [ "$kind" = rootfs ]; then
    image=
else
    # A key in an image is readable by everyone who has the image: good enough to try TLS, not for guests.
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$work/key.pem" -out "$build/hotel/ca.pem" 2>/dev/null
    cat "$work/key.pem" "$build/hotel/ca.pem" > "$work/files/opt/hotel/tls.pem"
    config=examples/hotel/cloche.yaml
    image=$build/hotel/image.tar
fi
folder=$(/usr/bin/python3 tools/testimage.py demo)
cp "$folder.tar" "$work/rootfs.tar"
tar -r -f "$work/rootfs.tar" --sort=name --owner=0 --group=0 --numeric-owner -C "$work/files" ./opt ./data
if [ -z "$image" ]; then
    echo "$work/rootfs.tar"
    exit
fi
set -- -f "$config"
if [ "$kind" = server ]; then
    set -- "$@" --server "$SERVER_URL" --server-ca "$SERVER_CA"
fi
"$build/bin/cloche" build "$@" "$work/rootfs.tar" -o "$image"
echo "$image"
