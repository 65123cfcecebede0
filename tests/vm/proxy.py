# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy for whom every name is this host: proxy.py PORT

Prints a line "METHOD NAME:PORT" for each request. Only it knows where the names lead to.
"""
import http.client
import http.server
import select
import socket
import sys
import urllib.parse


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        print("CONNECT", self.path, flush=True)
        there = socket.create_connection(("127.0.0.1", int(self.path.rpartition(":")[2])))
        self.send_response(200)
        self.end_headers()
        pair = {self.connection: there, there: self.connection}
        while True:
            for one in select.select(list(pair), [], [])[0]:
                data = one.recv(65536)
                if not data:
                    self.close_connection = True
                    there.close()
                    return
                pair[one].sendall(data)

    def pass_on(self):
        url = urllib.parse.urlsplit(self.path)
        print(self.command, url.netloc, flush=True)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {k: v for k, v in self.headers.items() if not k.lower().startswith("proxy-")}
        there = http.client.HTTPConnection("127.0.0.1", url.port or 80)
        there.request(self.command, url.path + ("?" + url.query if url.query else ""), body, headers)
        answer = there.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_HEAD = pass_on

    def log_message(self, *args):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Proxy).serve_forever()
