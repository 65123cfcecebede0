#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A scripted container agent that shares no code with anything: its own SigV4, its own WebSocket.

It registers, opens ACS and TCS, acks what it is told to ack, and takes commands, one per line, from
a FIFO. What happens to it is appended to a file, one JSON object per line. Commands:

  ack on|off               ack payloads, manifests and credentials (default on)
  heartbeat-ack on|off     ack heartbeats (default on)
  submit JSON              SubmitTaskStateChange; cluster is filled in
  call OPERATION JSON      any other operation
  tcs TYPE JSON            a signed telemetry frame; metadata's cluster and instance are filled in
  tcs-badsig TYPE JSON     the same with a wrong signature
  tcs-raw TEXT             a telemetry frame as it is
  acs-raw TEXT             an ACS frame as it is
  verify ARN               asks whether task ARN is to stop, about the last manifest
  acs-close                closes ACS by 1000; it reconnects
  acs-second               opens one more ACS connection of this instance, which is then the one
  quit
"""
import argparse
import base64
import datetime
import hashlib
import hmac
import json
import os
import socket
import struct
import sys
import threading
import time
import urllib.parse
import uuid

LOCK = threading.Lock()


class Events:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1)

    def emit(self, event, **more):
        with LOCK:
            self.file.write(json.dumps({"event": event, **more}, sort_keys=True,
                                       separators=(",", ":")) + "\n")


def quote(text, safe="-_.~"):
    return urllib.parse.quote(text, safe=safe)


class Signer:
    def __init__(self, key, secret, token, region):
        self.key, self.secret, self.token, self.region = key, secret, token, region

    def headers(self, method, url, payload, extra=None):
        """Headers in canonical capitalisation, signed; unsigned ones without a key."""
        parts = urllib.parse.urlsplit(url)
        headers = {"Host": parts.netloc, **(extra or {})}
        if not self.key:
            return headers
        stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers["X-Amz-Date"] = stamp
        if self.token:
            headers["X-Amz-Security-Token"] = self.token
        pairs = sorted((quote(k), quote(v)) for k, v in
                       urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        names = sorted(n.lower() for n in headers)
        values = {n.lower(): v.strip() for n, v in headers.items()}
        canonical = "\n".join([method, parts.path or "/", "&".join(f"{k}={v}" for k, v in pairs)]
                              + [f"{n}:{values[n]}" for n in names]
                              + ["", ";".join(names), hashlib.sha256(payload).hexdigest()])
        scope = f"{stamp[:8]}/{self.region}/ecs/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope,
                             hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + self.secret).encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, "
                                    f"SignedHeaders={';'.join(names)}, Signature={signature}")
        return dict(sorted(headers.items()))


def connect(url):
    parts = urllib.parse.urlsplit(url)
    s = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_head(s):
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(4096)
        if not more:
            raise ConnectionError("closed within the answer's headers")
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, value = line.split(":", 1)
        headers[name.strip().lower()] = value.strip()
    return int(lines[0].split()[1]), headers, rest


def read_body(s, headers, rest):
    length = int(headers.get("content-length", "0"))
    while len(rest) < length:
        rest += s.recv(65536)
    return rest.decode()


def call(signer, endpoint, operation, body):
    payload = json.dumps(body).encode()
    headers = signer.headers("POST", endpoint + "/", payload, {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "AmazonEC2ContainerServiceV20141113." + operation})
    s = connect(endpoint)
    head = "POST / HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items())
    s.sendall((head + f"Content-Length: {len(payload)}\r\nConnection: close\r\n\r\n").encode()
              + payload)
    status, answer, rest = read_head(s)
    text = read_body(s, answer, rest)
    s.close()
    return status, json.loads(text) if text else {}


class Refused(Exception):
    pass


class WebSocket:
    """Just enough of RFC 6455 for a client: text, close, ping."""

    def __init__(self, signer, url):
        key = base64.b64encode(os.urandom(16)).decode()
        self.url = url
        self.lock = threading.Lock()
        headers = signer.headers("GET", url, b"")
        parts = urllib.parse.urlsplit(url)
        self.socket = connect(url)
        head = f"GET {parts.path}?{parts.query} HTTP/1.1\r\n"
        head += "".join(f"{n}: {v}\r\n" for n, v in headers.items())
        head += ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 f"Sec-WebSocket-Key: {key}\r\n\r\n")
        self.socket.sendall(head.encode())
        status, answer, self.rest = read_head(self.socket)
        if status != 101:
            raise Refused(f"{status} {read_body(self.socket, answer, self.rest)}")
        want = base64.b64encode(hashlib.sha1(
            (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        if answer.get("sec-websocket-accept") != want:
            raise Refused("wrong Sec-WebSocket-Accept")
        if answer.get("upgrade", "").lower() != "websocket":
            raise Refused("no Upgrade: websocket in the answer")
        self.socket.settimeout(None)

    def send_frame(self, opcode, payload):
        mask = os.urandom(4)
        if len(payload) < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | len(payload))
        elif len(payload) < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload))
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, len(payload))
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        with self.lock:
            self.socket.sendall(head + mask + masked)

    def send(self, text):
        self.send_frame(1, text.encode())

    def close(self, code):
        self.send_frame(8, struct.pack("!H", code))

    def exactly(self, n):
        while len(self.rest) < n:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("end of file")
            self.rest += more
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def receive(self):
        """The next text message; raises Refused("close CODE") at a close frame."""
        message = b""
        while True:
            first, second = self.exactly(2)
            length = second & 0x7f
            if second & 0x80:
                raise Refused("the server masks")
            if length == 126:
                length, = struct.unpack("!H", self.exactly(2))
            elif length == 127:
                length, = struct.unpack("!Q", self.exactly(8))
            payload = self.exactly(length)
            opcode = first & 0x0f
            if opcode == 8:
                code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
                try:
                    self.send_frame(8, payload[:2])
                except OSError:
                    pass
                raise Refused(f"close {code}")
            if opcode == 9:
                self.send_frame(10, payload)
                continue
            if opcode in (0, 1):
                message += payload
                if first & 0x80:
                    return message.decode()


class Agent:
    def __init__(self, args):
        self.args = args
        self.events = Events(args.events)
        self.signer = Signer(args.key, args.secret, args.token, args.region)
        self.ack, self.heartbeat_ack, self.running = True, True, True
        self.instance = None
        self.acs = self.tcs = None
        self.manifest_id = None
        self.first = "true"

    def call(self, operation, body):
        status, answer = call(self.signer, self.args.endpoint, operation, body)
        self.events.emit("call", operation=operation, status=status, answer=answer)
        return status, answer

    def register(self):
        attributes = [{"name": "ecs.capability.task-eia"}, {"name": "rack", "value": "7"},
                      {"name": "ecs.os-type", "value": "linux"}]
        attributes += [{"name": "com.amazonaws.ecs.capability." + name} for name in (
            "docker-remote-api.1.17", "docker-remote-api.1.18", "docker-remote-api.1.19",
            "docker-remote-api.1.21", "docker-remote-api.1.24", "docker-remote-api.1.25",
            "logging-driver.json-file", "privileged-container", "task-iam-role")]
        attributes += [{"name": "ecs.capability." + name} for name in (
            "container-health-check", "container-ordering", "execution-role-awslogs",
            "full-sync", "task-cpu-mem-limit")]
        body = {"cluster": self.args.cluster, "attributes": attributes,
                "clientToken": str(uuid.uuid4()),
                "instanceIdentityDocument": "", "instanceIdentityDocumentSignature": "",
                "totalResources": [
                    {"name": "CPU", "type": "INTEGER", "integerValue": 4096},
                    {"name": "MEMORY", "type": "INTEGER", "integerValue": 8000},
                    {"name": "PORTS", "type": "STRINGSET", "stringSetValue": ["22"]},
                    {"name": "PORTS_UDP", "type": "STRINGSET", "stringSetValue": []}]}
        saved = self.args.state + ".arn"
        if os.path.exists(saved):
            body["containerInstanceArn"] = open(saved).read()
        status, answer = self.call("RegisterContainerInstance", body)
        if status != 200:
            raise Refused(f"registration: {answer}")
        again = self.call("RegisterContainerInstance", body)[1]
        instance = answer["containerInstance"]
        self.instance = instance["containerInstanceArn"]
        if again["containerInstance"]["containerInstanceArn"] != self.instance:
            raise Refused("the same clientToken registered another instance")
        echoed = {a["name"]: a.get("value", "") for a in instance["attributes"]}
        for a in attributes:
            if echoed.get(a["name"]) != a.get("value", ""):
                raise Refused(f"attribute {a['name']} was not echoed")
        if "ecs.availability-zone" not in echoed:
            raise Refused("no ecs.availability-zone")
        with open(saved, "w") as f:
            f.write(self.instance)
        self.events.emit("registered", arn=self.instance)

    def discover(self):
        status, answer = self.call("DiscoverPollEndpoint", {
            "cluster": self.args.cluster, "containerInstance": self.instance, "zoneId": ""})
        if status != 200:
            raise ConnectionError(f"discover: {answer}")
        return answer["endpoint"], answer["telemetryEndpoint"]

    def url(self, base, query):
        return base.rstrip("/") + "/ws?" + urllib.parse.urlencode(sorted(query.items()))

    def open_acs(self):
        base, _ = self.discover()
        ws = WebSocket(self.signer, self.url(base, {
            "agentHash": "0a1b2c3d", "agentVersion": "1.103.0",
            "clusterArn": self.args.cluster, "containerInstanceArn": self.instance,
            "dockerVersion": "DockerVersion: 25.0.8", "protocolVersion": "2", "seqNum": "1",
            "sendCredentials": self.first}))
        self.first = "false"
        self.events.emit("acs-connected")
        return ws

    def open_tcs(self):
        _, base = self.discover()
        ws = WebSocket(self.signer, self.url(base, {
            "agentHash": "0a1b2c3d", "agentVersion": "1.103.0", "cluster": self.args.cluster,
            "containerInstance": self.instance, "dockerVersion": "25.0.8"}))
        self.events.emit("tcs-connected")
        return ws

    def on_acs(self, ws, text):
        try:
            frame = json.loads(text)
        except ValueError:
            self.events.emit("bad-frame", text=text)
            return
        kind, message = frame.get("type"), frame.get("message", {})
        self.events.emit("acs", type=kind, message=message, frame=None if kind else frame)

        def say(type_, body):
            ws.send(json.dumps({"type": type_, "message": body}))
        if kind == "HeartbeatMessage" and self.heartbeat_ack:
            say("HeartbeatAckRequest", {"messageId": message["messageId"]})
        if kind == "TaskManifestMessage":
            self.manifest_id = message["messageId"]
        if not self.ack:
            return
        if kind in ("PayloadMessage", "TaskManifestMessage"):
            say("AckRequest", {"cluster": message["clusterArn"], "messageId": message["messageId"],
                               "containerInstance": message["containerInstanceArn"]})
        sets = [message["roleCredentials"]] if kind == "IAMRoleCredentialsMessage" else [
            t[k] for t in message.get("tasks", []) if kind == "PayloadMessage"
            for k in ("roleCredentials", "executionRoleCredentials") if t.get(k)]
        for credentials in sets:
            say("IAMRoleCredentialsAckRequest", {
                "messageId": message["messageId"], "expiration": credentials["expiration"],
                "credentialsId": credentials["credentialsId"]})

    def serve(self, name, open_, on_text):
        while self.running:
            ws = None
            try:
                ws = open_()
                setattr(self, name, ws)
                while True:
                    on_text(ws, ws.receive())
            except (Refused, OSError, ConnectionError) as e:
                self.events.emit(name + ("-closed" if ws else "-refused"), why=str(e))
                if not ws:
                    time.sleep(0.25)
            if ws:
                ws.socket.close()

    def on_tcs(self, ws, text):
        frame = json.loads(text)
        self.events.emit("tcs", type=frame.get("type"), message=frame.get("message"))

    def tcs_frame(self, kind, message, spoil=False):
        metadata = message.setdefault("metadata", {})
        metadata.setdefault("cluster", self.args.cluster)
        metadata.setdefault("containerInstance", self.instance)
        message.setdefault("timestamp", round(time.time(), 3))
        payload = json.dumps({"type": kind, "message": message})
        headers = self.signer.headers("GET", self.tcs.url, payload.encode())
        if spoil:
            payload += " "
        return "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + "\r\n" + payload

    def second_acs(self):
        """The newer connection becomes the one; the old loop sees its close and ends up in it."""
        ws = self.open_acs()

        def read():
            try:
                while True:
                    self.on_acs(ws, ws.receive())
            except (Refused, OSError) as e:
                self.events.emit("acs-second-closed", why=str(e))
        threading.Thread(target=read, daemon=True).start()

    def obey(self, line):
        word, _, rest = line.strip().partition(" ")
        if word == "ack":
            self.ack = rest == "on"
        elif word == "heartbeat-ack":
            self.heartbeat_ack = rest == "on"
        elif word == "submit":
            self.call("SubmitTaskStateChange", {"cluster": self.args.cluster, **json.loads(rest)})
        elif word == "call":
            operation, _, body = rest.partition(" ")
            self.call(operation, json.loads(body))
        elif word in ("tcs", "tcs-badsig"):
            kind, _, body = rest.partition(" ")
            self.tcs.send(self.tcs_frame(kind, json.loads(body), word == "tcs-badsig"))
        elif word == "tcs-raw":
            self.tcs.send(rest)
        elif word == "acs-raw":
            self.acs.send(rest)
        elif word == "verify":
            self.acs.send(json.dumps({"type": "TaskStopVerificationMessage", "message": {
                "messageId": self.manifest_id, "stopCandidates": [
                    {"taskArn": rest, "taskClusterArn": self.args.cluster,
                     "desiredStatus": "STOPPED"}]}}))
        elif word == "acs-close":
            self.acs.close(1000)
        elif word == "acs-second":
            self.second_acs()
        elif word == "quit":
            self.running = False
        else:
            self.events.emit("unknown-command", line=line)

    def run(self):
        self.register()
        threading.Thread(target=self.serve, args=("acs", self.open_acs, self.on_acs),
                         daemon=True).start()
        threading.Thread(target=self.serve, args=("tcs", self.open_tcs, self.on_tcs),
                         daemon=True).start()
        while self.running:
            with open(self.args.control) as control:
                for line in control:
                    try:
                        self.obey(line)
                    except (OSError, ValueError, KeyError, AttributeError) as e:
                        self.events.emit("command-failed", line=line, why=repr(e))


def main():
    parser = argparse.ArgumentParser()
    for name in ("endpoint", "cluster", "state", "events", "control"):
        parser.add_argument("--" + name, required=True)
    for name, default in (("key", ""), ("secret", ""), ("token", ""), ("region", "us-east-1")):
        parser.add_argument("--" + name, default=default)
    agent = Agent(parser.parse_args())
    try:
        agent.run()
    except Refused as e:
        agent.events.emit("failed", why=str(e))
        sys.exit(1)


if __name__ == "__main__":
    main()
