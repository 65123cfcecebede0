#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The instance metadata service of a machine that is none: imds-double.py FOLDER PORT [ADDRESS]

A token for everybody, and of /latest/meta-data/PATH what the file FOLDER/PATH holds at that time; else 404.
"""
import http.server
import os
import socket
import sys

PREFIX = "/latest/meta-data/"


class Imds(http.server.BaseHTTPRequestHandler):
    def answer(self, code, body=b""):
        self.send_response(code)
        self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.answer(200, b"token")

    def do_GET(self):
        path = os.path.join(sys.argv[1], os.path.normpath(self.path.removeprefix(PREFIX)).lstrip("/."))
        if not self.path.startswith(PREFIX) or not os.path.isfile(path):
            return self.answer(404)
        with open(path, "rb") as file:
            self.answer(200, file.read())

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in "".join(sys.argv[3:]) else socket.AF_INET


Server((sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1", int(sys.argv[2])), Imds).serve_forever()
