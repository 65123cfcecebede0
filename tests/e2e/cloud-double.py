# SPDX-License-Identifier: Apache-2.0
"""A metadata service and a control plane that is not well: cloud-double.py [ADDRESS:]PORT MOOD-FILE

The file's word is read at each request: no-role, role, spot (metadata: an instance without and with a role,
and one that is to be taken away), nonsense (200 and no JSON), error (500). What is asked goes to standard error, a line for each.
"""
import http.server
import json
import socket
import sys

IDENTITY = {"instanceId": "i-0123456789abcdef0", "instanceType": "m5.large", "region": "us-west-2",
            "accountId": "123456789012", "availabilityZone": "us-west-2a", "imageId": "ami-1",
            "architecture": "x86_64", "privateIp": "10.0.0.1", "version": "2017-09-30"}
KEYS = {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIABOOT", "SecretAccessKey": "secret",
        "Token": "t", "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-01-01T00:00:00Z"}
ROLE = "/latest/meta-data/iam/security-credentials/"


def metadata(path, mood):
    pages = {"/latest/meta-data/instance-id": IDENTITY["instanceId"],
             "/latest/dynamic/instance-identity/document": json.dumps(IDENTITY),
             "/latest/dynamic/instance-identity/signature": "c2lnbmF0dXJl"}
    if mood in ("role", "spot"):
        pages[ROLE] = "host-role"
        pages[ROLE + "host-role"] = json.dumps(KEYS)
    if mood == "spot":
        pages["/latest/meta-data/spot/instance-action"] = '{"action": "terminate", "time": "2099-01-01T00:00:00Z"}'
    return pages.get(path)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def mood(self):
        with open(sys.argv[2], encoding="ascii") as f:
            return f.read().strip()

    def do_PUT(self):
        self.answer(200, "token")

    def do_GET(self):
        text = metadata(self.path, self.mood())
        self.answer(404 if text is None else 200, text or "")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.mood() == "nonsense":
            self.answer(200, "<html>Welcome to this hotel's network</html>")
        else:
            self.answer(500, json.dumps({"__type": "ServerException", "message": "not well"}))


address, _, port = sys.argv[1].rpartition(":")
http.server.ThreadingHTTPServer.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
http.server.ThreadingHTTPServer((address or "127.0.0.1", int(port)), Handler).serve_forever()
