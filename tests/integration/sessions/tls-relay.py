#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TLS in front of the control plane: prints its port, relays to PORT, and makes the endpoints that
DiscoverPollEndpoint answers https. Usage: tls-relay.py PORT CERTIFICATE KEY"""
import re
import socket
import ssl
import sys
import threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)


def https(data):
    n = data.count(b'"http://')
    data = data.replace(b'"http://', b'"https://')
    return re.sub(rb"(?i)content-length: (\d+)",
                  lambda m: b"Content-Length: %d" % (int(m[1]) + n), data)


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(https(data) if b"telemetryEndpoint" in data else data)
    except OSError:
        pass
    for s in (source, sink):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(client):
    try:
        tls = context.wrap_socket(client, server_side=True)
    except OSError:
        return
    plain = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    threading.Thread(target=pump, args=(tls, plain), daemon=True).start()
    pump(plain, tls)


while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
